//! The package: a zip with `host.json`, one folder with `function.json` per function, and the custom handler
//! (<https://learn.microsoft.com/azure/azure-functions/functions-custom-handlers>).

use xcloud_azure::binding::{ENTRY, SUFFIX_LEN, function_folder, function_json, host_json};
use xcloud_core::Result;
use xcloud_core::spec::Spec;
use xcloud_deploy::package::{Entry, zip};
use xcloud_deploy::{Artifact, Binary, Stage};

/// Packs the binary with the files that the host reads. Pure and reproducible: the suffix that keeps outsiders from
/// guessing an event function's name comes from the binary's hash, which nobody outside has.
///
/// # Errors
/// When the binary is too large for the format, or Azure cannot run a schedule.
pub fn package(stage: &Stage, binary: &Binary, spec: &Spec) -> Result<Artifact> {
    let suffix = binary.sha256.get(..SUFFIX_LEN).unwrap_or(&binary.sha256);
    let mut files = vec![("host.json".to_owned(), pretty(&host_json())?)];
    for function in &spec.functions {
        if let Some(json) = function_json(function)? {
            files.push((format!("{}/function.json", function_folder(function, suffix)), pretty(&json)?));
        }
    }
    let mut entries: Vec<_> =
        files.iter().map(|(path, bytes)| Entry { path, bytes, executable: false }).collect();
    entries.push(Entry { path: ENTRY, bytes: &binary.bytes, executable: true });
    let bytes = zip(&entries)?;
    let file_name = format!("{}-azure.zip", stage.project);
    Ok(Artifact { provider: "azure", file_name, bytes, entry: ENTRY, binary: binary.clone() })
}

fn pretty(json: &serde_json::Value) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec_pretty(json)?)
}
