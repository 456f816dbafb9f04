//! What a call may cost where the cost does not depend on the machine: connections, system calls, memory asked for.
//! docs/performance.md has the rest.

use serde_json::{Value, json};
use xcloud_tests::runtime_api::{Run, run};
use xcloud_tests::tools::{Skip, skip};

const FIXTURE: &str = env!("CARGO_BIN_EXE_fixture");

/// A payload 2.0; its body stands escaped in it.
fn event(method: &str, path: &str, body: &str) -> Vec<u8> {
    let event = json!({
        "version": "2.0", "rawPath": path, "rawQueryString": "", "headers": { "content-type": "application/json" },
        "requestContext": { "http": { "method": method } }, "body": body, "isBase64Encoded": false,
    });
    event.to_string().into_bytes()
}

/// The bodies of the answers, all of status 200.
fn bodies(run: &Run) -> Vec<String> {
    let body = |answer: &Vec<u8>| {
        let answer: Value = serde_json::from_slice(answer).expect("an answer is JSON");
        assert_eq!(answer["statusCode"], 200, "{answer}");
        answer["body"].as_str().expect("a body").to_owned()
    };
    run.answers.iter().map(body).collect()
}

#[test]
fn lambda_has_one_connection_for_5000_events() {
    let events = vec![event("POST", "/double", r#"{"n":21}"#); 5000];
    let run = run(FIXTURE, &[], events).expect("it runs");
    assert_eq!(bodies(&run), vec![r#"{"doubled":42}"#; 5000]);
    assert_eq!(run.connections, 1);
}

/// Write, wait, read: twice. `lambda_runtime` as its template has it makes 20 to 24.
#[test]
fn lambda_makes_at_most_eight_system_calls_for_an_event() {
    if !std::process::Command::new("strace").arg("-V").output().is_ok_and(|out| out.status.success()) {
        let why = Skip("strace is not installed: apt-get install strace".to_owned());
        return skip(&why).unwrap_or_else(|why| panic!("{why}"));
    }
    let log = std::env::temp_dir().join(format!("xcloud-strace-{}", std::process::id()));
    let path = log.to_str().expect("a path that is text");
    let calls = |events: usize| {
        let events = vec![event("POST", "/double", r#"{"n":21}"#); events];
        run(FIXTURE, &["strace", "-f", "-qq", "-o", path], events).expect("it runs");
        let text = std::fs::read_to_string(&log).expect("strace writes");
        // `PID name(…`; not signals, ends, and the second halves of calls that were interrupted.
        text.lines().filter(|line| line.split_whitespace().nth(1).is_some_and(|w| w.contains('('))).count()
    };
    let (few, many) = (calls(20), calls(220));
    drop(std::fs::remove_file(&log));
    let each = (many - few) as f64 / 200.0;
    println!("{each} system calls for an event");
    assert!((4.0..=8.0).contains(&each), "{each} system calls for an event");
}

/// Read buffer and body buffer are used again: no call after the first asks for memory of its event's size.
#[test]
fn a_large_event_asks_for_no_memory_of_its_size_once_one_was_there() {
    // Half of it is quotes, so that the body has to be written anew.
    let body = r#"""#.repeat(100_000);
    let large = event("POST", "/allocated", &body);
    let events = [vec![event("POST", "/allocated", ""); 2], vec![large; 6]].concat();
    let run = run(FIXTURE, &[], events).expect("it runs");
    let totals: Vec<usize> = bodies(&run).iter().map(|text| text.parse().expect("a number")).collect();
    let grown: Vec<_> = totals.windows(2).map(|pair| pair[1] - pair[0]).collect();
    println!("bytes asked for from call to call: {grown:?}");
    let (_, later) = grown.split_at(2);
    assert!(
        later.iter().all(|&bytes| bytes < body.len() / 4),
        "bytes asked for from call to call: {grown:?}"
    );
}
