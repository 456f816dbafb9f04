//! A function's configuration: made, changed, shown.

use serde_json::{Value, json};

use super::super::state::{NOW, arn};
use super::{Function, Version};

/// What `UpdateFunctionConfiguration` sets.
const SETTABLE: [&str; 8] = [
    "Role",
    "Handler",
    "Description",
    "Timeout",
    "MemorySize",
    "Runtime",
    "TracingConfig",
    "EphemeralStorage",
];

/// A new one, with Lambda's defaults where the request says nothing.
pub(super) fn new(asked: &Value, name: &str, (digest, size): &(String, usize), revision: String) -> Value {
    let mut config = json!({
        "FunctionName": name,
        "FunctionArn": arn("lambda", &format!("function:{name}")),
        "CodeSha256": digest,
        "CodeSize": size,
        "Description": "",
        "Timeout": 3,
        "MemorySize": 128,
        "LastModified": NOW,
        "Version": "$LATEST",
        "RevisionId": revision,
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
        "TracingConfig": { "Mode": "PassThrough" },
        "EphemeralStorage": { "Size": 512 },
        "LoggingConfig": { "LogFormat": "Text", "LogGroup": format!("/aws/lambda/{name}") },
    });
    if asked["Architectures"].is_array() {
        config["Architectures"] = asked["Architectures"].clone();
    }
    change(&mut config, asked);
    config
}

/// What a request says, and nothing else; an environment is replaced as a whole.
pub(super) fn change(config: &mut Value, asked: &Value) {
    for key in SETTABLE.into_iter().filter(|key| !asked[*key].is_null()) {
        config[key] = asked[key].clone();
    }
    if let Some(variables) = asked["Environment"]["Variables"].as_object() {
        config["Environment"] = json!({ "Variables": variables });
    }
    if let Some(format) = asked["LoggingConfig"]["LogFormat"].as_str() {
        config["LoggingConfig"]["LogFormat"] = format.into();
    }
}

/// `$LATEST` with its states.
pub(super) fn shown(function: &Function) -> Value {
    let mut config = function.config.clone();
    config["State"] = if function.pending > 0 { "Pending" } else { "Active" }.into();
    config["LastUpdateStatus"] = if function.updating > 0 { "InProgress" } else { "Successful" }.into();
    config
}

/// A version with its states.
pub(super) fn of_version(version: &Version) -> Value {
    let mut config = version.config.clone();
    config["State"] = if version.pending > 0 { "Pending" } else { "Active" }.into();
    config["LastUpdateStatus"] = "Successful".into();
    config
}
