//! The schema of xcloud.toml: the file in docs/ is this version's, and a validator of others agrees with the reader.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use xcloud_tests::tools;

use crate::{data, root, scratch, xcloud};

const FILE: &str = "docs/xcloud.schema.json";

#[test]
fn the_schema_in_docs_is_this_versions() {
    let home = scratch("schema-file");
    let kept: Value = serde_json::from_str(&read(FILE)).expect("JSON");
    let made = data(&home, &["schema", "-o", "json"]);
    assert!(kept == made, "`cargo run -p xcloud-cli -- schema > {FILE}` writes what this version reads");
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A file that must be taken by both or refused by both.
const GOOD: [&str; 14] = [
    "[functions.http]\ncors = { origins = [\"https://a.example\"], credentials = true, max_age = \"1m\" }",
    "[build]\nfeatures = [\"a\"]\ntarget = \"x\"",
    "[functions.http]\nmemory = \"1GB\"\ntimeout = \"2m\"\nenv = { A = \"\" }\npublic = false",
    "[functions.any-name]\nbatch = 1\nconcurrency = 80\nmin_instances = 0",
    "[functions]",
    "[providers.gcp]\nproject = \"p\"",
    "[providers.local]\ndurability = \"fsync\"\nidle_timeout = \"5m\"",
    "[stages.prod]\nprotect = true\nfunctions.http.timeout = \"5s\"",
    "[budget]\nbinary = \"2.5MB\"\ninit = \"20ms\"",
    "[budget]\nbinary = \"900KB\"",
    "[functions.http]\nsecrets = { A = \"env:A\", B = \"file:keys/b\" }",
    "[functions.http.aws]\nrole = \"arn:aws:iam::123456789012:role/shop\"",
    "[providers.aws]\nendpoints = { sqs = \"http://127.0.0.1:1\" }\n[stages.prod.providers.aws]\nprofile = \"p\"",
    "[queues.placed]\nexisting = \"q\"\n[stages.prod.tables.t]\nexisting = \"arn:t\"",
];
const BAD: [&str; 35] = [
    "[providers.local]\ndurability = \"never\"",
    "[providers.local]\nidle_timeout = \"5\"",
    "[functions.http]\ncors = { origin = [\"*\"] }",
    "[functions.http]\ncors = { origins = \"*\" }",
    "x = 1",
    "[nothing]",
    "build = 1",
    "[build]\nfeatures = \"a\"",
    "[build]\nfeatures = [1]",
    "[build]\npackages = \"a\"",
    "[functions]\nhttp = 1",
    "[functions.http]\nmemory = 256",
    "[functions.http]\nmemory = \"256\"",
    "[functions.http]\nmemory = \"0MB\"",
    "[functions.http]\nmemory = \"256 MB\"",
    "[functions.http]\ntimeout = \"2h\"",
    "[functions.http]\ntimeout = \"-1s\"",
    "[functions.http]\nconcurrency = 0",
    "[functions.http]\nconcurrency = 1.5",
    "[functions.http]\nmax_instances = 4294967296",
    "[functions.http]\npublic = \"yes\"",
    "[functions.http]\nenv = { A = 1 }",
    "[functions.http]\nenv = [\"A\"]",
    "[functions.http]\nmemori = \"1GB\"",
    "[providers.gpc]",
    "[providers.gcp]\nproject = 1",
    "[stages.prod]\nfunctions.http.publik = true",
    "[stages.prod]\nprotect = 1",
    "[budget]\nbinary = \"2.5555MB\"",
    "[budget]\ninit = \"20s\"",
    "[functions.http]\nsecrets = { A = \"value\" }",
    "[functions.http]\nsecrets = { A = \"env:\" }",
    "[functions.http.aws]\nrole = \"shop\"",
    "[providers.aws]\nendpoints = \"x\"",
    "[queues.placed]\nexists = \"q\"",
];

/// Whether the reader takes a file: a wrong one exits 2, with a right one `status` finds nothing deployed.
fn taken(home: &Path, file: &Path) -> bool {
    let file = file.display().to_string();
    let output = xcloud(home, &["--config", &file, "status"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(1) => true,
        Some(2) => false,
        other => panic!("{file}: {other:?}: {stderr}"),
    }
}

const VALIDATE: &str = "import sys, json
try: import tomllib
except ImportError: from pip._vendor import tomli as tomllib
from jsonschema import Draft7Validator
schema = json.load(open(sys.argv[1]))
Draft7Validator.check_schema(schema)
validator = Draft7Validator(schema)
print(json.dumps([validator.is_valid(tomllib.load(open(path, 'rb'))) for path in sys.argv[2:]]))";

#[test]
fn a_validator_of_others_takes_and_refuses_what_the_reader_does() {
    let home = scratch("schema");
    let python = match tools::python("jsonschema", "4.26.0", &[]) {
        Ok(folder) => folder.join("python"),
        Err(why) => return tools::skip(&why).expect("nothing may be skipped here"),
    };
    let name = "[project]\nname = \"shop\"\nedition = \"1\"\n";
    let mut cases: Vec<(String, bool)> = Vec::new();
    cases.extend(GOOD.iter().map(|text| (format!("{name}{text}\n"), true)));
    // Keys before the first table are the file's own.
    cases.extend(BAD.iter().map(|text| {
        let text = if text.starts_with('[') { format!("{name}{text}\n") } else { format!("{text}\n{name}") };
        (text, false)
    }));
    let projects = ["name = \"Shop\"", "name = \"\"", "edition = \"1\"", "name = \"a\"\nedition = \"2\""];
    cases.extend(projects.iter().map(|text| (format!("[project]\n{text}\n"), false)));
    cases.push((String::new(), false));
    for example in ["examples/orders", "cli/templates/http", "cli/templates/queue", "cli/templates/api"] {
        cases.push((read(&format!("{example}/xcloud.toml")).replace("{{name}}", "app"), true));
    }
    let mut files = Vec::new();
    for (index, (text, _)) in cases.iter().enumerate() {
        let file = home.join(format!("{index}.toml"));
        std::fs::write(&file, text).expect("the temporary directory can be written");
        files.push(file);
    }
    let output = Command::new(python).args(["-c", VALIDATE]).arg(root().join(FILE)).args(&files).output();
    let output = output.expect("python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let verdicts: Vec<bool> = serde_json::from_slice(&output.stdout).expect("a list");
    for (((text, good), file), valid) in cases.iter().zip(&files).zip(verdicts) {
        assert_eq!(taken(&home, file), *good, "the reader: {text}");
        assert_eq!(valid, *good, "the schema: {text}");
    }
}
