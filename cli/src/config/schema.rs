//! The JSON Schema of xcloud.toml, made from the keys that the reader asks for.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use xcloud_core::{Error, Result};

use super::manifest::Manifest;
use super::toml::{Key, Kind};

/// What a key means, by its path; `*` is a name of the user's. A key without a line here is an error of ours.
const MEANINGS: &[(&str, &str)] = &[
    ("project", "The project."),
    ("project.name", "Every resource's name begins with it."),
    ("project.edition", "The edition of this file's format."),
    ("project.provider", "Where commands go without -p; `local` when absent."),
    ("project.keep_versions", "How many versions a deployment keeps; one with traffic is never pruned."),
    ("build", "How the binary is built."),
    ("build.package", "The cargo package, in a workspace of several."),
    ("build.bin", "The binary, in a package of several."),
    ("build.features", "Cargo features."),
    ("build.profile", "The cargo profile; `release` when absent."),
    ("build.target", "The compilation target; this machine's own, statically linked, when absent."),
    (
        "build.include",
        "Files that every package has beside the binary, by paths below the app's directory: `*` and `?` in a name, `**` for any folders.",
    ),
    ("functions", "By function: `http`, or the name of an event handler with `-` for `_`."),
    ("functions.*", "A function."),
    ("functions.*.memory", "Memory of an instance; 1GB is 1024MB."),
    ("functions.*.timeout", "The longest call."),
    ("functions.*.concurrency", "Calls at the same time in one instance."),
    ("functions.*.min_instances", "Instances that are kept warm."),
    ("functions.*.max_instances", "The most instances."),
    ("functions.*.public", "Whether anyone may call it over HTTP; private when absent."),
    ("functions.*.max_attempts", "How often a message is delivered before it is put aside."),
    ("functions.*.env", "Environment variables. Not for secrets: plans show them."),
    (
        "functions.*.secrets",
        "Environment variables that nobody may see: where each value is when it is deployed. No plan, log or status shows it.",
    ),
    ("functions.*.aws", "What only AWS understands."),
    (
        "functions.*.aws.role",
        "The role that the function runs with; without it xcloud makes one with the least rights.",
    ),
    ("functions.*.batch", "The most messages in one call; an upper bound, see `xcloud check`."),
    (
        "functions.*.cors",
        "HTTP only: which browsers' scripts may read answers. Answered in process, the same everywhere.",
    ),
    ("functions.*.cors.origins", "`https://app.example`, or `*` alone for everyone."),
    ("functions.*.cors.methods", "Methods in capitals; GET, HEAD, POST, PUT, PATCH and DELETE when absent."),
    ("functions.*.cors.headers", "Request headers, `*` for any; authorization and content-type when absent."),
    ("functions.*.cors.expose", "Response headers that scripts may read."),
    ("functions.*.cors.credentials", "Whether cookies may be sent; not for everyone."),
    ("functions.*.cors.max_age", "How long a browser may keep a preflight's answer; 10m when absent."),
    ("providers", "By provider. What is absent comes from the provider's own environment."),
    ("providers.aws", "AWS."),
    ("providers.aws.region", "The region."),
    ("providers.aws.profile", "The profile of the AWS configuration files."),
    ("providers.aws.endpoint", "Another address of the API: an emulator."),
    ("providers.aws.endpoints", "By service: another address of its API."),
    ("providers.azure", "Azure."),
    ("providers.azure.subscription", "The subscription's id."),
    ("providers.azure.resource_group", "The resource group."),
    ("providers.azure.location", "The region."),
    ("providers.azure.endpoint", "Another address of the API: an emulator."),
    ("providers.azure.endpoints", "By service: another address of its API."),
    ("providers.gcp", "Google Cloud."),
    ("providers.gcp.project", "The project's id."),
    ("providers.gcp.region", "The region."),
    ("providers.gcp.endpoint", "Another address of the API: an emulator."),
    ("providers.gcp.endpoints", "By service: another address of its API."),
    ("providers.alibaba", "Alibaba Cloud."),
    ("providers.alibaba.region", "The region."),
    ("providers.alibaba.endpoint", "Another address of the API: an emulator."),
    ("providers.alibaba.endpoints", "By service: another address of its API."),
    ("providers.local", "This machine."),
    ("providers.local.idle_timeout", "How long an instance may be idle before it ends."),
    ("providers.local.durability", "What a stored message survives: the host's death, or power loss too."),
    ("queues", "By queue: what is to be known of it."),
    ("queues.*", "A queue."),
    (
        "queues.*.existing",
        "The name or ARN of one that somebody else has made: it is used, never changed or deleted.",
    ),
    ("buckets", "By bucket: what is to be known of it."),
    ("buckets.*", "A bucket."),
    (
        "buckets.*.existing",
        "The name or ARN of one that somebody else has made: it is used, never changed or deleted.",
    ),
    ("tables", "By table: what is to be known of it."),
    ("tables.*", "A table."),
    (
        "tables.*.existing",
        "The name or ARN of one that somebody else has made: it is used, never changed or deleted.",
    ),
    ("topics", "By topic: what is to be known of it."),
    ("topics.*", "A topic."),
    (
        "topics.*.existing",
        "The name or ARN of one that somebody else has made: it is used, never changed or deleted.",
    ),
    ("stages", "By stage: what differs there."),
    ("stages.*", "A stage."),
    ("stages.*.protect", "Nothing is deployed or destroyed there without --yes."),
    ("budget", "What must not be exceeded."),
    ("budget.binary", "The binary's size, 1MB being 1,000,000 bytes; `xcloud build` exits 7 above it."),
    ("budget.init", "From start to the first event. Not measured yet."),
];

/// Where a key's path repeats another table, its meanings are there.
const SAME_AS: &[(&str, &str)] = &[
    ("stages.*.functions", "functions"),
    ("stages.*.providers", "providers"),
    ("stages.*.queues", "queues"),
    ("stages.*.buckets", "buckets"),
    ("stages.*.tables", "tables"),
    ("stages.*.topics", "topics"),
];

/// The forms that have a pattern, by the words of their error message.
const PATTERNS: &[(&str, &str)] = &[
    (super::manifest::PROJECT_NAME, "^[a-z][a-z0-9-]{0,39}$"),
    (super::manifest::MEMORY, "^0*[1-9][0-9]*(MB|GB)$"),
    (super::manifest::TIME, "^0*[1-9][0-9]*(s|m)$"),
    (super::manifest::MILLISECONDS, "^[0-9]+ms$"),
    (super::manifest::SECRET, "^(env|file):.+$"),
    (super::manifest::ROLE, "^arn:.*:role/"),
    (super::manifest::FILE_SIZE, "^[0-9]+(\\.[0-9]{1,3})?(KB|MB)$"),
];

/// The schema, draft 7: what taplo and the editors that use it read.
///
/// # Errors
/// A key of the reader that nobody has described.
pub(crate) fn schema() -> Result<Value> {
    let mut unused: BTreeSet<&str> = MEANINGS.iter().map(|(path, _)| *path).collect();
    let mut root = table(&Manifest::keys()?, "", &mut unused)?;
    if let Some(path) = unused.first() {
        return Err(Error::handler(format!("the schema describes `{path}`, which nobody reads")));
    }
    root["required"] = json!(["project"]);
    root["properties"]["project"]["required"] = json!(["name"]);
    root["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    root["title"] = json!("xcloud.toml");
    root["description"] = json!("What cargo does not say of an xcloud app.");
    Ok(root)
}

fn table(keys: &[Key], path: &str, unused: &mut BTreeSet<&str>) -> Result<Value> {
    let mut properties = Map::new();
    for Key { name, kind } in keys {
        let path = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
        let mut value = value(kind, &path, unused)?;
        value["description"] = json!(meaning(&path, unused)?);
        properties.insert((*name).to_owned(), value);
    }
    Ok(json!({ "type": "object", "properties": properties, "additionalProperties": false }))
}

fn value(kind: &Kind, path: &str, unused: &mut BTreeSet<&str>) -> Result<Value> {
    Ok(match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Form(words) => form(words),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Number(least) => json!({ "type": "integer", "minimum": least, "maximum": u32::MAX }),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Forms(words) => json!({ "type": "object", "additionalProperties": form(words) }),
        Kind::Map => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::Table(keys) => table(keys, path, unused)?,
        Kind::Named(keys) => {
            let path = format!("{path}.*");
            let mut inner = table(keys, &path, unused)?;
            inner["description"] = json!(meaning(&path, unused)?);
            json!({ "type": "object", "additionalProperties": inner })
        }
    })
}

/// A pattern where there is one, else the quoted words when there is nothing else, as in `"a" or "b"`.
fn form(words: &str) -> Value {
    if let Some((_, pattern)) = PATTERNS.iter().find(|(known, _)| *known == words) {
        return json!({ "type": "string", "pattern": pattern, "title": words });
    }
    let parts: Vec<_> = words.split('"').collect();
    let between = |part: &&str| ["", ",", "or", ", or"].contains(&part.trim());
    if parts.len() >= 3 && parts.iter().step_by(2).all(between) {
        let choices: Vec<_> = parts.iter().skip(1).step_by(2).collect();
        return json!({ "type": "string", "enum": choices });
    }
    json!({ "type": "string", "title": words })
}

fn meaning(path: &str, unused: &mut BTreeSet<&str>) -> Result<&'static str> {
    let same = SAME_AS.iter().find_map(|(from, to)| Some(format!("{to}{}", path.strip_prefix(from)?)));
    let path = same.as_deref().unwrap_or(path);
    let found = MEANINGS.iter().find(|(known, _)| *known == path);
    let (known, text) = found.ok_or_else(|| {
        Error::handler(format!(
            "`{path}` is read from xcloud.toml, and cli/src/config/schema.rs does not describe it"
        ))
    })?;
    unused.remove(known);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_reader_is_described_and_no_other() {
        let schema = schema().unwrap();
        let functions = &schema["properties"]["functions"]["additionalProperties"];
        assert_eq!(functions["properties"]["concurrency"]["minimum"], 1);
        let staged = &schema["properties"]["stages"]["additionalProperties"]["properties"]["functions"];
        assert_eq!(staged["additionalProperties"]["properties"], functions["properties"]);
        assert_eq!(schema["properties"]["project"]["properties"]["edition"]["enum"], json!(["1"]));
    }

    #[test]
    fn forms_are_patterns_or_choices() {
        assert_eq!(form("\"process\" or \"fsync\"")["enum"], json!(["process", "fsync"]));
        assert_eq!(form("\"a\", \"b\" or \"c\"")["enum"], json!(["a", "b", "c"]));
        assert!(form("a thing like \"x\"")["enum"].is_null());
        assert!(form("text")["enum"].is_null());
    }
}
