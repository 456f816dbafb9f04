//! Versions of an app on the local host: rollback, shares of traffic, switches under load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::tenant::{Connection, Tenant, who};

fn color(color: &str, more: &str) -> String {
    format!("[functions.http]\nenv = {{ COLOR = \"{color}\" }}\n{more}")
}

fn versions(tenant: &Tenant) -> Vec<Value> {
    tenant.run(&["versions"])["versions"].as_array().expect("a list").clone()
}

/// How many of 1,000 requests each version answered.
fn thousand(url: &str) -> BTreeMap<String, u32> {
    let mut connection = Connection::new(url);
    let mut seen = BTreeMap::new();
    for _ in 0..1000 {
        let (status, body) = connection.get("/who");
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        *seen.entry(answer["version"].as_str().expect("a version").to_owned()).or_default() += 1;
    }
    seen
}

#[test]
fn a_rollback_restores_the_environment_and_leaves_the_triggers() {
    let tenant = Tenant::new("rollback");
    let url = tenant.deploy(&color("red", "timeout = \"20s\"\n"));
    assert_eq!(who(&url)["color"], "red");
    tenant.deploy(&color("blue", "timeout = \"10s\"\n[functions.run-job]\nmax_attempts = 9\n"));
    assert_eq!((&who(&url)["color"], &who(&url)["version"]), (&json!("blue"), &json!("v2")));

    let back = tenant.run(&["rollback"]);
    assert_eq!((&back["from"], &back["to"]), (&json!("v2"), &json!("v1")), "{back}");
    let plan = back["plans"][0].to_string();
    assert!(plan.contains("env.COLOR") && plan.contains("timeout_seconds"), "{plan}");
    let stays = back["stays"].to_string();
    assert!(stays.contains("max_attempts stays 9"), "the plan says what stays: {stays}");
    assert_eq!((&who(&url)["color"], &who(&url)["version"]), (&json!("red"), &json!("v1")));

    let listed = versions(&tenant);
    let shares: Vec<_> = listed.iter().map(|v| (v["version"].clone(), v["traffic"].clone())).collect();
    assert_eq!(shares, [(json!("v1"), json!(100)), (json!("v2"), json!(0))]);
    for version in &listed {
        assert!(version["digest"].as_str().is_some_and(|d| d.len() == 64), "{version}");
        assert!(version["created"].as_str().is_some_and(|c| c.ends_with('Z')), "{version}");
        assert_eq!(version["functions"].as_array().map(Vec::len), Some(2), "{version}");
    }
    // What is deployed next has a number that was never used.
    tenant.deploy(&color("green", ""));
    assert_eq!(who(&url)["version"], "v3");
    let missing = tenant.xcloud(&["rollback", "v9"]);
    let stderr = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(missing.status.code() == Some(1) && stderr.contains("kept are v1, v2, v3"), "{stderr}");
}

#[test]
fn of_1000_requests_each_version_answers_its_share_also_after_the_host_was_killed() {
    let tenant = Tenant::new("traffic");
    let url = tenant.deploy(&color("red", ""));
    tenant.deploy(&color("blue", ""));
    let shifted = tenant.run(&["traffic", "v1=10"]);
    assert_eq!(shifted["versions"].as_array().map(Vec::len), Some(2), "{shifted}");
    let close = |seen: &BTreeMap<String, u32>| {
        let first = seen.get("v1").copied().unwrap_or(0);
        assert!(first.abs_diff(100) <= 30, "v1 should answer 100 of 1000 requests: {seen:?}");
    };
    close(&thousand(&url));
    crate::faults::kill(&crate::faults::host(&tenant.home));
    tenant.run(&["status"]);
    close(&thousand(&url));

    // Events follow the shares too.
    for id in 0..20 {
        let body = json!({ "id": format!("job-{id}") }).to_string();
        assert_eq!(Connection::new(&url).send("POST", "/jobs", &body).0, 200);
    }
    tenant.logged("run-job", "\"by\":\"v1\"");
    tenant.logged("run-job", "\"by\":\"v2\"");

    let aborted = tenant.run(&["traffic", "http", "--abort"]);
    assert!(aborted.to_string().contains("\"run-job\":10"), "the other function keeps its shares: {aborted}");
    assert_eq!(thousand(&url), BTreeMap::from([("v2".to_owned(), 1000)]));
    tenant.run(&["traffic", "v1=50"]);
    tenant.run(&["traffic", "--promote"]);
    assert_eq!(thousand(&url), BTreeMap::from([("v1".to_owned(), 1000)]));
    for (words, why) in [
        (&["traffic", "v1=10"][..], "current"),
        (&["traffic", "v7=10"], "no version v7"),
        (&["traffic", "nowhere", "v2=10"], "no function `nowhere`"),
        (&["traffic", "--promote"], "name one"),
    ] {
        let refused = tenant.xcloud(words);
        let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && stderr.contains(why), "{words:?}: {stderr}");
    }
}

#[test]
fn ten_versions_are_kept_and_none_with_traffic_goes() {
    let tenant = Tenant::new("keep");
    let url = tenant.deploy("keep_versions = 3\n[functions.http]\nenv = { COLOR = \"0\" }\n");
    for round in 1..6 {
        tenant.deploy(&format!("keep_versions = 3\n[functions.http]\nenv = {{ COLOR = \"{round}\" }}\n"));
        if round == 1 {
            tenant.run(&["rollback", "v1"]);
        }
    }
    let names: Vec<_> = versions(&tenant).iter().map(|v| v["version"].clone()).collect();
    assert_eq!(names, [json!("v4"), json!("v5"), json!("v6")]);
    assert_eq!(who(&url)["color"], "5");
}

/// Requests without a pause on four connections while versions come and go: none is answered anything but 200, none is
/// cut off.
#[test]
fn nothing_fails_while_versions_are_switched() {
    let tenant = Tenant::new("switch");
    let url = tenant.deploy(&color("0", ""));
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let client = |_| {
        let (url, stop, answered) = (url.clone(), Arc::clone(&stop), Arc::clone(&answered));
        std::thread::spawn(move || {
            let mut connection = Connection::new(&url);
            while !stop.load(Ordering::Relaxed) {
                let (status, body) = connection.get("/wait?ms=3");
                assert_eq!(status, 200, "{body}");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let clients: Vec<_> = (0..4).map(client).collect();
    for round in 1..4 {
        tenant.deploy(&color(&round.to_string(), ""));
    }
    tenant.run(&["traffic", "v2=50"]);
    tenant.run(&["rollback", "v1"]);
    tenant.run(&["traffic", "v4=30"]);
    tenant.run(&["traffic", "--abort"]);
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("every request was answered 200");
    }
    assert!(answered.load(Ordering::Relaxed) > 100, "{answered:?}");
}

/// What served before still serves.
#[test]
fn a_version_that_does_not_start_changes_nothing() {
    let tenant = Tenant::new("broken");
    let url = tenant.deploy(&color("good", ""));
    let failed = tenant.try_deploy("[functions.http]\nenv = { TENANT_INIT = \"fail\" }\n");
    let stdout = String::from_utf8_lossy(&failed.stdout).into_owned();
    assert!(!failed.status.success() && stdout.contains("init was asked to fail"), "{stdout}");
    assert_eq!((&who(&url)["color"], &who(&url)["version"]), (&json!("good"), &json!("v1")));
    assert_eq!(versions(&tenant).len(), 1);
}
