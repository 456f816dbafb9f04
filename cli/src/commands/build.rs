//! `xcloud build`

use serde_json::json;
use xcloud_core::Result;
use xcloud_deploy::{package, provider::Built};

use super::Project;
use crate::args::Args;
use crate::printer::{Done, Printer};
use crate::registry::CLOUDS;

/// One binary, and each provider's package around it.
pub(super) async fn run(project: &Project, args: &Args, printer: &Printer) -> Result<Done> {
    let providers = project.providers(args, &CLOUDS)?;
    let app = project.build(args, printer).await?;
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
    Ok(Done::new(message, json!({ "artifacts": artifacts }), text))
}
