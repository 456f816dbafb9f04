//! The package: a zip with `host.json`, one folder with `function.json` per function, and the custom handler
//! (<https://learn.microsoft.com/azure/azure-functions/functions-custom-handlers>).

use xcloud_azure::binding::{ENTRY, SUFFIX_LEN, function_folder, function_json, host_json};
use xcloud_core::spec::Spec;
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::package::{Entry, with_files, zip};
use xcloud_deploy::{Artifact, Binary, Stage};

/// Packs the binary with the files that the host reads. Pure and reproducible: the suffix that keeps outsiders from
/// guessing an event function's name comes from the binary's hash, which nobody outside has.
///
/// # Errors
/// When the binary is too large for the format, a file has the place of one of ours, or Azure cannot run a schedule.
pub fn package(stage: &Stage, binary: &Binary, spec: &Spec) -> Result<Artifact> {
    let suffix = binary.sha256.get(..SUFFIX_LEN).unwrap_or(&binary.sha256);
    let mut files = vec![("host.json".to_owned(), pretty(&host_json())?)];
    for function in &spec.functions {
        if let Some(json) = function_json(function)? {
            files.push((format!("{}/function.json", function_folder(function, suffix)), pretty(&json)?));
        }
    }
    // The host takes such a folder for a function, and outsiders could guess its name.
    let function = |path: &str| path.split_once('/').is_some_and(|(_, rest)| rest == "function.json");
    if let Some(file) = binary.files.iter().find(|file| function(&file.path)) {
        let message = format!("`build.include` has `{}`, which Azure takes for a function", file.path);
        return Err(Error::new(ErrorKind::Config, message));
    }
    let mut entries: Vec<_> =
        files.iter().map(|(path, bytes)| Entry { path, bytes, executable: false }).collect();
    entries.push(Entry { path: ENTRY, bytes: &binary.bytes, executable: true });
    let entries = with_files(entries, binary)?;
    let bytes = zip(&entries)?;
    let file_name = format!("{}-azure.zip", stage.project);
    Ok(Artifact::new("azure", file_name, bytes, ENTRY, binary.clone()))
}

fn pretty(json: &serde_json::Value) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec_pretty(json)?)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use xcloud_deploy::package::File;

    fn packed(functions: &Value) -> Result<Artifact> {
        packed_with(functions, &[])
    }

    fn packed_with(functions: &Value, files: &[&str]) -> Result<Artifact> {
        let spec = json!({ "version": 1, "functions": functions, "queues": [] });
        let stage = Stage { project: "shop".to_owned(), stage: "dev".to_owned() };
        let sha256 = "5d1f0c9ab8e7426300000000000000000000000000000000000000000000000".to_owned();
        let file = |path: &&str| File { path: (*path).to_owned(), bytes: Vec::new(), executable: false };
        let files = files.iter().map(file).collect();
        let binary = Binary { bytes: b"\x7fELF"[..].into(), sha256, arch: "x86_64".to_owned(), files };
        package(&stage, &binary, &serde_json::from_value(spec)?)
    }

    /// Names stand in an archive as they are.
    fn holds(artifact: &Artifact, name: &str) -> bool {
        artifact.bytes.windows(name.len()).any(|window| window == name.as_bytes())
    }

    #[test]
    fn every_trigger_gets_its_function_json_and_a_raw_handler_none() {
        let artifact = packed(&json!([
            { "name": "http", "trigger": { "kind": "http", "routes": [] } },
            { "name": "see", "trigger": { "kind": "object", "bucket": "uploads", "on": "any" } },
            { "name": "sweep", "trigger": { "kind": "schedule", "schedule": "every 5 minutes" } },
            { "name": "audit", "trigger": { "kind": "change", "table": "ledger" } },
            { "name": "hear", "trigger": { "kind": "topic", "topic": "news" } },
            { "name": "notice", "trigger": { "kind": "event" } },
            { "name": "anything", "trigger": { "kind": "raw" } },
        ]))
        .unwrap();
        assert!(holds(&artifact, "http/function.json"));
        for name in ["see", "sweep", "audit", "hear", "notice"] {
            assert!(holds(&artifact, &format!("{name}-5d1f0c9ab8e74263/function.json")), "{name}");
        }
        assert!(!holds(&artifact, "anything"));
    }

    #[test]
    fn files_lie_beside_the_handler_and_none_is_taken_for_a_function() {
        let http = json!([{ "name": "http", "trigger": { "kind": "http", "routes": [] } }]);
        let artifact = packed_with(&http, &["templates/a.html", "data/deep/function.json"]).unwrap();
        assert!(holds(&artifact, "templates/a.html") && holds(&artifact, "data/deep/function.json"));
        for taken in ["admin/function.json", "host.json", "http", "handler"] {
            let error = packed_with(&http, &[taken]).unwrap_err();
            assert!(error.message().contains(taken), "{error}");
        }
    }

    #[test]
    fn a_schedule_that_azure_cannot_run_makes_no_package() {
        let sweep =
            json!([{ "name": "sweep", "trigger": { "kind": "schedule", "schedule": "every 7 minutes" } }]);
        let error = packed(&sweep).unwrap_err();
        assert!(
            error.message().contains("function `sweep`: Azure cannot run the schedule `every 7 minutes`"),
            "{error}"
        );
    }
}
