//! Instances of the local host come with the load and go with it.

use std::collections::BTreeSet;

use crate::tenant::{Tenant, get};

/// Which processes answer so many requests at once.
fn at_once(url: &str, requests: usize, path: &'static str) -> BTreeSet<String> {
    let client = |_| {
        let url = url.to_owned();
        std::thread::spawn(move || get(&url, path))
    };
    let clients: Vec<_> = (0..requests).map(client).collect();
    let answers = clients.into_iter().map(|client| client.join().expect("an answer"));
    answers
        .map(|(status, body)| (status == 200).then_some(body).expect("every request is answered 200"))
        .collect()
}

#[test]
fn instances_come_with_the_load_and_go_when_idle() {
    let tenant = Tenant::new("scale");
    let settings =
        "[functions.http]\nconcurrency = 1\nmax_instances = 3\n[providers.local]\nidle_timeout = \"1s\"\n";
    let url = tenant.deploy(settings);
    let processes = at_once(&url, 6, "/wait?ms=300");
    assert!(
        (2..=3).contains(&processes.len()),
        "six calls at once, one per instance, at most three: {processes:?}"
    );
    tenant.until("http", "idle", |state| state == "idle");
    // From zero again.
    assert_eq!(at_once(&url, 1, "/wait?ms=1").len(), 1);
    tenant.until("run-job", "idle", |state| state == "idle");
}

#[test]
fn min_instances_stay_warm() {
    let tenant = Tenant::new("warm");
    let settings = "[functions.http]\nmin_instances = 2\n[providers.local]\nidle_timeout = \"1s\"\n[functions.run-job]\nmin_instances = 0\n";
    let url = tenant.deploy(settings);
    tenant.until("http", "warm", |state| state == "running, 2 instances");
    tenant.until("run-job", "idle", |state| state == "idle");
    assert_eq!(tenant.state("http"), "running, 2 instances", "they stay although they are idle");
    // One that ends is replaced although nobody asks.
    assert_eq!(get(&url, "/exit").0, 502);
    tenant.until("http", "warm again", |state| state == "running, 2 instances");
}

#[test]
fn who_waits_too_long_is_told_why() {
    let tenant = Tenant::new("busy");
    let url = tenant.deploy("[functions.http]\nconcurrency = 1\nmax_instances = 1\ntimeout = \"2s\"\n");
    let client = |_| {
        let url = url.clone();
        std::thread::spawn(move || get(&url, "/wait?ms=1500"))
    };
    let clients: Vec<_> = (0..4).map(client).collect();
    let mut answers: Vec<_> = clients.into_iter().map(|client| client.join().expect("an answer")).collect();
    answers.sort();
    let statuses: Vec<_> = answers.iter().map(|(status, _)| *status).collect();
    assert!(statuses[0] == 200 && statuses[3] == 503, "{answers:?}");
    assert!(answers[3].1.contains("max_instances"), "{answers:?}");
}
