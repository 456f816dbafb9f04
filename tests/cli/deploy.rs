//! Deployed to this machine.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{data, scratch, xcloud};

pub(crate) const ORDERS: [&str; 2] = ["-C", "examples/orders"];

pub(crate) fn run(home: &Path, arguments: &[&str]) -> Value {
    data(home, &[&ORDERS[..], arguments, &["-o", "json"]].concat())
}

/// Takes everything down, whatever becomes of the test.
pub(crate) struct Home(pub(crate) PathBuf);

impl Drop for Home {
    fn drop(&mut self) {
        xcloud(&self.0, &[&ORDERS[..], &["destroy", "--yes", "--delete-data"]].concat());
        let pid = std::fs::read_to_string(self.0.join("run/host.pid")).unwrap_or_default();
        if !pid.trim().is_empty() {
            drop(std::process::Command::new("kill").arg(pid.trim()).status());
        }
        // The host ends by itself once its socket is gone.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Status and body of a `POST /orders`.
pub(crate) fn order(url: &str, content_type: &str, body: &str) -> (u16, Value) {
    post(url, "/orders", content_type, body)
}

/// Status and body of a `POST`, on a socket of our own.
pub(crate) fn post(url: &str, path: &str, content_type: &str, body: &str) -> (u16, Value) {
    let address = url.strip_prefix("http://").expect("an http URL");
    let mut stream = TcpStream::connect(address).expect("the app listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("the request can be sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

pub(crate) fn good() -> Value {
    json!({ "order_id": "o-1", "customer": "ada", "currency": "EUR",
        "items": [{ "sku": "A", "qty": 2, "price_cents": 1250 }, { "sku": "B", "qty": 1, "price_cents": 5 }] })
}

fn with(field: &str, value: Value) -> String {
    let mut order = good();
    order[field] = value;
    order.to_string()
}

/// The main job of the project, from nothing to nothing.
#[test]
fn orders_is_deployed_takes_orders_fulfils_them_and_goes() {
    let home = Home(scratch("deploy"));
    let home = &home.0;
    let planned = run(home, &["plan"]);
    assert_eq!(planned["plans"][0]["summary"]["create"], 3, "{planned}");
    let deployed = run(home, &["deploy"]);
    let deployment = &deployed["deployments"][0];
    let url = deployment["url"].as_str().expect("a URL").to_owned();
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    assert_eq!(deployment["functions"][0]["action"], "created", "{deployment}");

    contract(&url);
    fulfilled(home, "o-1");

    let again = run(home, &["deploy"]);
    let again = &again["deployments"][0];
    assert_eq!((&again["calls"]["write"], &again["url"]), (&json!(0), &json!(url)), "{again}");
    assert!(
        again["functions"].as_array().expect("a list").iter().all(|f| f["action"] == "unchanged"),
        "{again}"
    );

    built_once(home);

    let status = run(home, &["status"]);
    assert!(status["functions"].as_array().expect("a list").iter().all(|f| f["healthy"] == true), "{status}");
    let invoked = run(home, &["invoke", "http", "--path", "/nowhere"]);
    assert_eq!(invoked["status"], 404, "{invoked}");
    let message =
        json!({ "order_id": "by-hand", "customer": "c", "currency": "EUR", "total_cents": 1 }).to_string();
    assert_eq!(run(home, &["invoke", "fulfil", "-d", &message])["status"], 200);
    fulfilled(home, "by-hand");

    let refused = xcloud(home, &[&ORDERS[..], &["destroy"]].concat());
    assert_eq!(refused.status.code(), Some(2), "destroy without a terminal and without --yes");
    assert_eq!(order(&url, "application/json", &good().to_string()).0, 200, "it still serves");
    run(home, &["destroy", "--yes", "--delete-data"]);
    assert!(TcpStream::connect(url.trim_start_matches("http://")).is_err(), "it still listens");
    let nothing = xcloud(home, &[&ORDERS[..], &["status"]].concat());
    assert_eq!(nothing.status.code(), Some(1), "status of what is not there");
}

/// What a build left is deployed without building, here or from a copy; a binary that was changed is refused.
fn built_once(home: &Path) {
    let again = run(home, &["deploy", "--no-build"]);
    assert_eq!(again["deployments"][0]["calls"]["write"], 0, "{again}");
    let copy = home.join("artifact");
    std::fs::create_dir_all(&copy).expect("the temporary directory can be written");
    for file in ["binary", "binary.json"] {
        let built = crate::root().join("examples/orders/.xcloud/build").join(file);
        std::fs::copy(&built, copy.join(file)).expect("a build leaves its binary");
    }
    let artifact = copy.display().to_string();
    let planned = run(home, &["plan", "--artifact", &artifact]);
    assert_eq!(planned["plans"][0]["summary"]["unchanged"], 3, "{planned}");
    std::fs::write(copy.join("binary"), "other bytes").expect("the copy can be written");
    let refused = xcloud(home, &[&ORDERS[..], &["deploy", "--artifact", &artifact]].concat());
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && stderr.contains("sha256"), "{stderr}");
}

/// The order's contract, as issue 2 states it.
fn contract(url: &str) {
    let json = "application/json";
    let (status, receipt) = order(url, json, &good().to_string());
    let expected = json!({ "order_id": "o-1", "status": "accepted", "items": 2, "total_cents": 2505 });
    assert_eq!((status, receipt), (200, expected));
    let item =
        |sku: &str, qty: Value, price: Value| json!([{ "sku": sku, "qty": qty, "price_cents": price }]);
    for (body, wanted) in [
        ("not json".to_owned(), 400),
        ("{}".to_owned(), 400),
        (with("order_id", json!(1)), 400),
        (with("items", item("A", json!(-1), json!(1))), 400),
        (with("items", item("A", json!("1"), json!(1))), 400),
        (with("order_id", json!("")), 422),
        (with("customer", json!("")), 422),
        (with("currency", json!("eur")), 422),
        (with("items", json!([])), 422),
        (with("items", item("A", json!(0), json!(1))), 422),
        (with("items", item("A", json!(2), json!(u64::MAX))), 422),
        (with("items", item("OUT-1", json!(0), json!(1))), 422),
        (with("items", item("OUT-1", json!(1), json!(1))), 409),
    ] {
        let (status, answer) = order(url, json, &body);
        assert_eq!(status, wanted, "{body}: {answer}");
        assert!(answer["error"].is_string(), "{body}: {answer}");
    }
    assert_eq!(order(url, "text/plain", &good().to_string()).0, 415);
}

pub(crate) fn fulfilled(home: &Path, id: &str) {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let logs = run(home, &["logs", "fulfil"]);
        let lines = logs["lines"].as_array().expect("a list");
        if lines
            .iter()
            .any(|l| l["line"].as_str().is_some_and(|l| l.contains("order fulfilled") && l.contains(id)))
        {
            return;
        }
        assert!(Instant::now() < end, "{id} was not fulfilled: {logs}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
