//! `xcloud build`

use serde_json::json;
use xcloud_core::Result;
use xcloud_deploy::{package, provider::Built};

use super::Project;
use crate::args::Args;
use crate::config::Budget;
use crate::exit;
use crate::printer::{Done, Printer};
use crate::registry::CLOUDS;

/// One binary, and each provider's package around it.
pub(super) async fn run(project: &Project, args: &Args, printer: &Printer) -> Result<Done> {
    let providers = project.providers(args, &CLOUDS)?;
    let app = project.build(printer).await?;
    let mut artifacts = Vec::new();
    let mut text = String::new();
    for provider in providers {
        let (artifact, path) = project.package(provider, &app)?;
        let built = Built {
            provider: provider.to_owned(),
            path,
            sha256: package::sha256(&artifact.bytes),
            bytes: artifact.bytes.len() as u64,
            entry: artifact.entry.to_owned(),
            binary_sha256: artifact.binary.sha256.clone(),
            binary_bytes: artifact.binary.bytes.len() as u64,
            arch: artifact.binary.arch,
        };
        text += &format!(
            "{provider}\t{}\t{} bytes\tsha256 {}\n",
            built.path.display(),
            built.bytes,
            built.sha256
        );
        artifacts.push(built);
    }
    let message = format!("{} packages around one binary", artifacts.len());
    let over = over_budget(app.binary.bytes.len() as u64, &project.manifest.budget);
    if let Some(over) = &over {
        printer.note(over);
    }
    let mut done = Done::new(over.clone().unwrap_or(message), json!({ "artifacts": artifacts }), text);
    if over.is_some() {
        done.code = exit::BUDGET;
    }
    Ok(done)
}

/// What `[budget]` says against the binary. The packages are there all the same: one wants to look into them.
fn over_budget(bytes: u64, budget: &Budget) -> Option<String> {
    let most = budget.binary.filter(|most| bytes > *most)?;
    Some(format!("over budget: the binary has {bytes} bytes, `budget.binary` is {most}"))
}
