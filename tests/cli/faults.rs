//! What goes wrong around the local host: it is killed, its port is taken, two start at once.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::deploy::{Home, ORDERS, fulfilled, good, order, run};
use crate::{program, root, scratch, xcloud};

/// The process that its log names last.
pub(crate) fn host(home: &Path) -> String {
    let log = std::fs::read_to_string(home.join("host.log")).expect("the host writes a log");
    let line = log.lines().rfind(|line| line.contains(" runs as process ")).expect("a host has run");
    line.rsplit(' ').next().expect("a number").to_owned()
}

pub(crate) fn kill(pid: &str) {
    let status = Command::new("kill").args(["-KILL", pid]).status().expect("kill runs");
    assert!(status.success(), "kill {pid}");
    let gone = Path::new("/proc").join(pid).join("fd");
    let end = Instant::now() + Duration::from_secs(10);
    // A zombie has no open files: nobody may be waiting for it.
    while std::fs::read_dir(&gone).is_ok_and(|mut files| files.next().is_some()) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_killed_host_comes_back_with_what_it_had_accepted() {
    let home = Home(scratch("killed"));
    let home = &home.0;
    let deployed = run(home, &["deploy"]);
    let url = deployed["deployments"][0]["url"].as_str().expect("a URL").to_owned();
    assert_eq!(order(&url, "application/json", &good().to_string()).0, 200);
    kill(&host(home));
    let status = run(home, &["status"]);
    let functions = status["functions"].as_array().expect("a list");
    assert!(functions.iter().any(|f| f["url"] == json!(url)), "the port stays: {status}");
    // Its socket file was left behind, its children too; neither is in the way.
    let mut second = good();
    second["order_id"] = json!("o-2");
    assert_eq!(order(&url, "application/json", &second.to_string()).0, 200);
    // That the first was fulfilled may have been written into the killed host's pipe: the queue says that it was.
    settled(home);
    fulfilled(home, "o-2");
    taken_port(home, &url);
    at_once(home);
    another_build(home, &url);
}

/// Waits until the queue has nothing left, and nothing that was put aside.
fn settled(home: &Path) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let queues = run(home, &["queue", "ls"]);
        let queue = &queues["queues"][0];
        assert_eq!(queue["dead"], 0, "{queues}");
        if queue["waiting"] == 0 && queue["in_flight"].as_u64().unwrap_or(0) == 0 {
            return;
        }
        assert!(Instant::now() < end, "{queues}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A host of another build is replaced on contact; the app is where it was.
fn another_build(home: &Path, url: &str) {
    let copy = home.join("xcloud");
    std::fs::copy(program(), &copy).expect("the command can be copied");
    let mut command = Command::new(&copy);
    command.env("XCLOUD_HOME", home).current_dir(root()).args(ORDERS).arg("status");
    let output = command.output().expect("xcloud starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(order(url, "application/json", &good().to_string()).0, 200);
    let log = std::fs::read_to_string(home.join("host.log")).expect("the host writes a log");
    assert!(log.contains("asked to end by a client"), "{log}");
}

/// Another program has taken the app's port while no host was there: it is named, nothing of ours is harmed, and the
/// app is back once the port is free.
fn taken_port(home: &Path, url: &str) {
    kill(&host(home));
    let address = url.trim_start_matches("http://").to_owned();
    let end = Instant::now() + Duration::from_secs(10);
    let squatter = loop {
        match TcpListener::bind(&address) {
            Ok(listener) => break listener,
            Err(error) if Instant::now() > end => panic!("{address}: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    run(home, &["status"]);
    let port = address.rsplit(':').next().expect("a port");
    let logs = run(home, &["logs", "http"]).to_string();
    assert!(logs.contains(&format!("cannot listen on this app's port {port}")), "{logs}");
    drop(squatter);
    let end = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(&address).is_err() {
        assert!(Instant::now() < end, "the app does not come back to {address}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(order(url, "application/json", &good().to_string()).0, 200);
}

/// Commands that find no host start one each; one host comes of it and all get their answers.
fn at_once(home: &Path) {
    kill(&host(home));
    let status = |_| {
        let mut command = Command::new(program());
        command.env("XCLOUD_HOME", home).current_dir(root()).args(ORDERS).args(["status", "-o", "json"]);
        command.stdout(std::process::Stdio::piped()).spawn().expect("xcloud starts")
    };
    let running: Vec<_> = (0..4).map(status).collect();
    for child in running {
        let output = child.wait_with_output().expect("xcloud ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let log = std::fs::read_to_string(home.join("host.log")).expect("the host writes a log");
    // Deployed, killed, killed with the port taken, and now: four hosts in all.
    assert_eq!(log.matches(" runs as process ").count(), 4, "{log}");
}

#[test]
fn without_cargo_it_says_where_to_get_it() {
    let home = scratch("no-cargo");
    let mut command = Command::new(program());
    command.env("PATH", &home).env("XCLOUD_HOME", &home).env_remove("CARGO").current_dir(root());
    let output = command.args(ORDERS).arg("build").output().expect("xcloud starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("cargo") && stderr.contains("https://rustup.rs"), "{stderr}");
    let plan = xcloud(&home, &["-C", "examples/orders", "status"]);
    assert_eq!(plan.status.code(), Some(1), "what needs no build needs no cargo");
}
