//! `xcloud build`

use serde_json::json;
use xcloud_core::Result;
use xcloud_deploy::provider::Built;

use super::Project;
use super::project::App;
use super::several::Each;
use crate::args::Args;
use crate::config::Budget;
use crate::exit;
use crate::printer::{Done, Printer};
use crate::registry::CLOUDS;

/// One binary, and each provider's package around it.
pub(super) async fn run(project: &Project, args: &Args, printer: &Printer) -> Result<Done> {
    let providers = project.providers(args, &CLOUDS)?;
    let app = project.build(printer).await?;
    let each = Each::of(providers).then(async |name, ()| package(project, name, &app)).await;
    each.finish(|built| done(built.into_iter().map(|(_, built)| built).collect(), project, &app, printer))
}

fn package(project: &Project, provider: &'static str, app: &App) -> Result<Built> {
    let (artifact, path) = project.package(provider, app)?;
    Ok(Built {
        provider: provider.to_owned(),
        path,
        sha256: artifact.sha256(),
        bytes: artifact.bytes.len() as u64,
        entry: artifact.entry.into_owned(),
        binary_sha256: artifact.binary.sha256.clone(),
        binary_bytes: artifact.binary.bytes.len() as u64,
        arch: artifact.binary.arch,
    })
}

fn done(artifacts: Vec<Built>, project: &Project, app: &App, printer: &Printer) -> Done {
    let line = |built: &Built| {
        let Built { provider, path, bytes, sha256, .. } = built;
        format!("{provider}\t{}\t{bytes} bytes\tsha256 {sha256}\n", path.display())
    };
    let text: String = artifacts.iter().map(line).collect();
    let message = format!("{} packages around one binary", artifacts.len());
    let over = over_budget(app.binary.bytes.len() as u64, &project.manifest.budget);
    if let Some(over) = &over {
        printer.note(over);
    }
    let mut done = Done::new(over.clone().unwrap_or(message), json!({ "artifacts": artifacts }), text);
    if over.is_some() {
        done.code = exit::BUDGET;
    }
    done
}

/// What `[budget]` says against the binary. The packages are there all the same: one wants to look into them.
fn over_budget(bytes: u64, budget: &Budget) -> Option<String> {
    let most = budget.binary.filter(|most| bytes > *most)?;
    Some(format!("over budget: the binary has {bytes} bytes, `budget.binary` is {most}"))
}
