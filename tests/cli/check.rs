//! What providers cannot do, and budgets.

use std::path::Path;

use serde_json::Value;

use crate::{data, root, scratch, xcloud};

/// Runs on examples/orders with another file in place of its xcloud.toml; exit code and the one object.
fn with(home: &Path, toml: &str, arguments: &[&str]) -> (Option<i32>, Value) {
    let file = home.join("xcloud.toml");
    // Built as it always is: other tests take what lies in its `.xcloud/build` meanwhile.
    let toml = format!("{toml}\n[build]\nfeatures = [\"bindings\"]\n");
    std::fs::write(&file, toml).expect("the temporary directory can be written");
    let file = file.display().to_string();
    let fixed = ["-C", "examples/orders", "-o", "json", "--config", &file];
    let output = xcloud(home, &[&fixed[..], arguments].concat());
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}")))
}

fn found(object: &Value) -> Vec<(String, String, String, String)> {
    let text = |v: &Value| v.as_str().expect("text").to_owned();
    let each = |f: &Value| (text(&f["provider"]), text(&f["function"]), text(&f["level"]), text(&f["code"]));
    object["data"]["findings"].as_array().expect("a list").iter().map(each).collect()
}

#[test]
fn check_says_what_each_cloud_cannot_do_and_fails_on_errors_only() {
    let home = scratch("check");
    // As it is, orders has no errors: it would run everywhere.
    let findings = data(&home, &["-C", "examples/orders", "check", "-o", "json"]);
    let findings = findings["findings"].as_array().expect("a list").clone();
    assert!(findings.iter().all(|f| f["level"] == "warning"), "{findings:?}");
    let clouds: std::collections::BTreeSet<_> =
        findings.iter().filter_map(|f| f["provider"].as_str()).collect();
    // It can send to SQS: of AWS there is nothing to warn of.
    assert_eq!(clouds.into_iter().collect::<Vec<_>>(), ["alibaba", "azure", "gcp"]);

    let toml =
        "[project]\nname = \"shop\"\n[functions.http]\nmemory = \"64MB\"\n[functions.fulfil]\nbatch = 100\n";
    let (code, object) = with(&home, toml, &["check", "-p", "aws,gcp"]);
    assert_eq!((code, &object["success"]), (Some(6), &Value::from(false)), "{object}");
    let found = found(&object);
    for (provider, function, level, code) in [
        ("aws", "http", "error", "memory-too-small"),
        ("gcp", "http", "error", "memory-too-small"),
        ("aws", "fulfil", "warning", "batch-window"),
        ("gcp", "fulfil", "warning", "batch-clamped"),
    ] {
        let wanted = [provider, function, level, code].map(str::to_owned).into();
        assert!(found.contains(&wanted), "{wanted:?} is not in {found:?}");
    }
    assert!(found.iter().all(|(provider, ..)| provider == "aws" || provider == "gcp"), "{found:?}");
}

#[test]
fn a_binary_over_its_budget_is_packaged_and_exits_7() {
    let home = scratch("budget");
    let toml = "[project]\nname = \"shop\"\n[budget]\nbinary = \"1.5MB\"\n";
    let (code, object) = with(&home, toml, &["build", "-p", "gcp"]);
    assert_eq!((code, &object["success"]), (Some(7), &Value::from(false)), "{object}");
    let message = object["message"].as_str().expect("text");
    assert!(message.contains("`budget.binary` is 1500000"), "{message}");
    assert!(object["data"]["artifacts"][0]["path"].is_string(), "{object}");
    assert!(root().join("examples/orders/.xcloud/build/shop-gcp.tar.gz").exists());
}
