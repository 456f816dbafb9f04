//! Handlers that do what they should not: the host holds its limits, says what happened, and goes on.

use std::time::Duration;

use serde_json::{Value, json};

use crate::tenant::{Connection, Tenant, get, who};

fn count(tenant: &Tenant, function: &str, outcome: &str) -> u64 {
    let metrics = tenant.run(&["metrics", function]);
    metrics["functions"][0]["outcomes"][outcome].as_u64().expect("a number")
}

#[test]
fn an_instance_over_its_memory_is_ended_and_its_callers_are_told() {
    let tenant = Tenant::new("memory");
    let url = tenant.deploy("[functions.http]\nmemory = \"96MB\"\n");
    let before = who(&url)["pid"].clone();
    let other = {
        let url = url.clone();
        std::thread::spawn(move || get(&url, "/wait?ms=20000"))
    };
    let (status, body) = get(&url, "/leak?mb=200&ms=10000");
    assert!(status == 502 && body.contains("memory_exceeded") && body.contains("96 MB"), "{status} {body}");
    let (status, body) = other.join().expect("an answer");
    assert!(
        status == 502 && body.contains("memory_exceeded"),
        "calls beside it are told too: {status} {body}"
    );
    tenant.logged("http", "memory_exceeded");
    assert_ne!(who(&url)["pid"], before, "another instance serves");
    let metrics = tenant.run(&["metrics", "http"]);
    let function = &metrics["functions"][0];
    assert_eq!((&function["memory_kills"], &function["outcomes"]["memory_exceeded"]), (&json!(1), &json!(2)));
    // Where the kernel holds the limit, nothing is ever above it.
    let host = crate::data(&tenant.home, &["local", "status", "-o", "json"]);
    let kernel = host["memory_limits"].as_str().is_some_and(|how| how.contains("held by the kernel"));
    let above = function["peak_memory_bytes"].as_u64().is_some_and(|b| b > 96 << 20);
    assert!(above || kernel, "{function}");
}

#[test]
fn a_handler_that_never_answers_is_cut_off_and_its_instance_replaced() {
    let tenant = Tenant::new("hang");
    let url = tenant.deploy("[functions.http]\ntimeout = \"1s\"\n");
    let before = who(&url)["pid"].clone();
    let (status, body) = get(&url, "/hang");
    assert!(status == 504 && body.contains("deadline"), "{status} {body}");
    assert_ne!(who(&url)["pid"], before, "another instance serves");
    // One that waits in its own time is answered by itself.
    let (status, body) = get(&url, "/wait?ms=5000");
    assert!(status == 504 && body.contains("deadline"), "{status} {body}");
    assert_eq!(count(&tenant, "http", "timeout"), 2);
}

#[test]
fn a_process_that_exits_is_replaced_and_a_loop_of_exits_is_slowed_down() {
    let tenant = Tenant::new("exit");
    let url = tenant.deploy("");
    let before = who(&url)["pid"].clone();
    assert_eq!(get(&url, "/exit").0, 502);
    assert_ne!(who(&url)["pid"], before, "another instance serves");
    tenant.logged("http", "exit status: 7");
    let mut refused = 0;
    for _ in 0..12 {
        let (status, body) = get(&url, "/exit");
        assert!([502, 503].contains(&status), "{status} {body}");
        if status == 503 {
            assert!(body.contains("the function is down") && body.contains("exit status: 7"), "{body}");
            refused += 1;
        }
    }
    assert!(refused > 0, "a loop of exits is slowed down");
    assert!(tenant.state("http").starts_with("failed: "), "{}", tenant.state("http"));
    // It comes back by itself.
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while get(&url, "/who").0 != 200 {
        assert!(std::time::Instant::now() < end, "it does not come back");
        std::thread::sleep(Duration::from_millis(100));
    }
    // A message whose handler exits comes again until its attempts are over, and blocks no other.
    let mut connection = Connection::new(&url);
    let job = |id: &str, action: &str| json!({ "id": id, "action": action }).to_string();
    assert_eq!(connection.send("POST", "/jobs", &job("bad", "exit")).0, 200);
    assert_eq!(connection.send("POST", "/jobs", &job("good", "")).0, 200);
    tenant.logged("run-job", "\"job\":\"good\"");
    tenant.logged("run-job", "exit status: 8");
}

#[test]
fn binary_on_standard_output_is_logged_as_text_and_harms_nobody() {
    let tenant = Tenant::new("binary");
    let url = tenant.deploy("");
    assert_eq!(get(&url, "/binary"), (200, "written".to_owned()));
    tenant.logged("http", "\u{fffd}");
    assert_eq!(get(&url, "/wait?ms=1").0, 200);
}

#[test]
fn calls_are_measured() {
    let tenant = Tenant::new("metrics");
    let url = tenant.deploy("");
    assert_eq!(get(&url, "/burn?ms=300").0, 200);
    for _ in 0..20 {
        assert_eq!(get(&url, "/wait?ms=5").0, 200);
    }
    // The share of a call is known once its instance was looked at.
    let end = std::time::Instant::now() + Duration::from_secs(10);
    let (metrics, burnt) = loop {
        let metrics = tenant.run(&["metrics", "http", "-n", "50"]);
        let calls = metrics["invocations"].as_array().expect("a list").clone();
        assert_eq!(calls.len(), 21, "{metrics}");
        if calls.iter().all(|call| call["cpu_ms"].is_number()) {
            break (metrics, calls[0].clone());
        }
        assert!(std::time::Instant::now() < end, "{metrics}");
        std::thread::sleep(Duration::from_millis(100));
    };
    let ms = |value: &Value| value.as_f64().expect("a number");
    // Alone on its instance, so all of the time is its own; the machine may be busy with others meanwhile.
    assert!(burnt["cold_start"] == true && ms(&burnt["duration_ms"]) >= 300.0, "{burnt}");
    assert!(ms(&burnt["cpu_ms"]) > 20.0 && ms(&burnt["cpu_ms"]) < ms(&burnt["duration_ms"]) * 2.0, "{burnt}");
    let function = &metrics["functions"][0];
    assert_eq!(
        (&function["calls"], &function["errors"], &function["cold_starts"]),
        (&json!(21), &json!(0), &json!(1))
    );
    let times = &function["duration_ms"];
    assert!(ms(&times["p50"]) >= 4.9 && ms(&times["p99"]) >= ms(&times["p50"]), "{times}");
    assert!(
        ms(&function["cpu_ms_total"]) > 20.0 && function["peak_memory_bytes"].as_u64() > Some(0),
        "{function}"
    );

    let prometheus = metrics["prometheus_url"].as_str().expect("a URL");
    let (status, text) = get(prometheus.trim_end_matches("/metrics"), "/metrics");
    assert_eq!(status, 200);
    let sample = "xcloud_calls_total{app=\"tenant.dev\",function=\"http\",version=\"v1\",outcome=\"ok\"} 21";
    assert!(text.contains(sample), "{text}");
    let unknown = tenant.xcloud(&["metrics", "nowhere"]);
    assert_eq!(unknown.status.code(), Some(1));
}
