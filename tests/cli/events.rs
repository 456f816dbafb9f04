//! Every kind of event on this machine: put in by hand, by a file, by a row, by the clock; retried, put aside, redriven.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::faults::{host, kill};
use crate::fixture::Deployed;

/// What a handler saw, once it saw so many.
fn seen(app: &Deployed, function: &str, count: usize) -> Vec<Value> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let lines = app.run(&["logs", function, "-n", "10000"]);
        let lines = lines["lines"].as_array().cloned().unwrap_or_default();
        let sights: Vec<Value> = lines.iter().filter_map(sight).collect();
        if sights.len() >= count {
            return sights;
        }
        assert!(Instant::now() < end, "{function} saw {sights:?}, {count} were wanted; it logged {lines:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn sight(line: &Value) -> Option<Value> {
    let line: Value = serde_json::from_str(line["line"].as_str()?).ok()?;
    serde_json::from_str(line["message"].as_str()?.strip_prefix("saw ")?).ok()
}

#[test]
fn each_kind_of_event_reaches_its_handler() {
    let app = Deployed::new("kinds", "");
    let file = app.directory.join("red flower.txt");
    std::fs::write(&file, "12345").unwrap();
    app.run(&["emit", "object", "uploads", file.to_str().unwrap(), "--key", "folder/red flower.txt"]);
    app.run(&["emit", "tick", "sweep"]);
    app.run(&["emit", "change", "ledger", "r-1", r#"{"id":"r-1","action":"ok"}"#]);
    app.run(&["emit", "change", "ledger", "r-1", r#"{"id":"r-1","action":"again"}"#]);
    app.run(&["emit", "change", "ledger", "r-1", "--deleted"]);
    app.run(&["emit", "topic", "news", r#"{"id":"n-1","action":"ok"}"#, "-a", "colour=red"]);
    app.run(&["emit", "event", r#"{"type":"OrderPaid","subject":"o-1","data":{"total":7}}"#]);
    app.run(&["emit", "message", "work-items", r#"{"id":"m-1","action":"ok"}"#]);

    let object = &seen(&app, "see", 1)[0]["what"];
    assert_eq!(
        (&object["key"], &object["action"], &object["size"]),
        (&json!("folder/red flower.txt"), &json!("created"), &json!(5))
    );
    assert!(seen(&app, "sweep", 1)[0]["what"]["late"].as_u64().unwrap() < 60);
    let changes = seen(&app, "audit", 3);
    let kinds: Vec<_> = changes
        .iter()
        .map(|c| (&c["what"]["kind"], &c["what"]["old"]["action"], &c["what"]["new"]["action"]))
        .collect();
    let (ok, again, none) = (json!("ok"), json!("again"), Value::Null);
    assert_eq!(
        kinds,
        [
            (&json!("created"), &none, &ok),
            (&json!("updated"), &ok, &again),
            (&json!("deleted"), &again, &none)
        ]
    );
    let news = &seen(&app, "hear", 1)[0]["what"];
    assert_eq!((&news["item"]["id"], &news["colour"]), (&json!("n-1"), &json!("red")));
    let event = &seen(&app, "notice", 1)[0];
    assert_eq!(
        (&event["type"], &event["what"]["subject"], &event["what"]["data"]["total"]),
        (&json!("OrderPaid"), &json!("o-1"), &json!(7))
    );
    app.run(&["emit", "object", "uploads", "folder/red flower.txt", "--deleted"]);
    assert_eq!(seen(&app, "see", 2)[1]["what"]["action"], "deleted");

    for (arguments, what) in [
        (&["emit", "object", "uplods", "x", "--deleted"][..], "there is inbox, uploads"),
        (&["emit", "tick", "see"], "there is"),
        (&["emit", "topic", "nwes", "{}"], "no topic `nwes`"),
        (&["emit", "change", "ledger", "r", "{"], "not JSON"),
        (&["emit", "object", "uploads", "../x", "--deleted"], "cannot be the key"),
    ] {
        let (code, answer) = app.ask(arguments);
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(code != Some(0) && message.contains(what), "{arguments:?}: {code:?} {answer}");
    }
}

/// Made-up events are handed over at once, and who made them up is told how it went.
#[test]
fn an_example_of_each_kind_is_handled_and_answered() {
    let app = Deployed::new("examples", "");
    for file in ["binary", "binary.json"] {
        let built = app.directory.join(".xcloud/build");
        std::fs::create_dir_all(&built).unwrap();
        std::fs::rename(app.directory.join("artifact").join(file), built.join(file)).unwrap();
    }
    let item = r#"{"id":"x-1","action":"ok"}"#;
    for arguments in [
        &["object", "-d", "folder/cat.png"][..],
        &["tick"],
        &["change", "-d", item],
        &["topic", "-d", item],
        &["event", "-d", item],
    ] {
        let answer = app.run(&[&["invoke", "--example"], arguments].concat());
        assert_eq!(answer["status"], 200, "{arguments:?}: {answer}");
    }
    assert_eq!(seen(&app, "see", 1)[0]["what"]["key"], "folder/cat.png");
    assert!(seen(&app, "sweep", 1)[0]["what"]["late"].as_u64().unwrap() < 60);
    assert_eq!(seen(&app, "audit", 1)[0]["what"]["new"]["id"], "x-1");
    assert_eq!(seen(&app, "hear", 1)[0]["what"]["item"]["id"], "x-1");
    assert_eq!(seen(&app, "notice", 1)[0]["what"]["data"]["id"], "x-1");

    // Named, the second bucket's function; and a whole event of one's own.
    app.run(&["invoke", "new-only", "--example", "object"]);
    assert_eq!(seen(&app, "new-only", 1)[0]["what"]["key"], "example");
    let whole = r#"{"type":"dev.xcloud.object.deleted","data":{"bucket":"uploads","key":"gone.png"}}"#;
    app.run(&["invoke", "see", "-d", whole]);
    let last = &seen(&app, "see", 2)[1]["what"];
    assert_eq!((&last["key"], &last["action"]), (&json!("gone.png"), &json!("deleted")));

    for (arguments, what) in [
        (&["--example", "topic"][..], "missing field"),
        (&["--example", "event", "-d", r#"{"action":"fail"}"#], "asked to fail"),
        (&["--example", "schedule", "-d", "now"], "no data"),
        (&["--example", "change", "see"], "no change function named `see`"),
        (&["see", "-d", r#"{"type":"dev.xcloud.object.created","data":{}}"#], "{bucket, key"),
        (&["see", "-d", "cat.png"], "not JSON"),
    ] {
        let (code, answer) = app.ask(&[&["invoke"], arguments].concat());
        assert!(code != Some(0) && answer.to_string().contains(what), "{arguments:?}: {code:?} {answer}");
    }
}

#[test]
fn a_handler_that_fails_twice_is_run_three_times_and_one_that_always_fails_ends_in_the_dead_letters() {
    let app =
        Deployed::new("retries", "[functions.hear]\nmax_attempts = 3\n[functions.see]\nmax_attempts = 2\n");
    app.run(&["emit", "topic", "news", r#"{"id":"n-1","action":"flaky"}"#]);
    assert_eq!(seen(&app, "hear", 1)[0]["attempt"], 3);
    // The bucket is a directory: what is put into it by any program is an event.
    let bucket = app.home.join("apps/retries.dev/buckets/uploads");
    for name in ["fail", "good.txt"] {
        std::fs::write(bucket.join(name), "x").unwrap();
    }
    assert_eq!(seen(&app, "see", 1)[0]["what"]["key"], "good.txt");
    let dead = || {
        let queues = app.run(&["queue", "ls"]);
        let found = queues["queues"].as_array().unwrap().iter().find(|q| q["name"] == "@see").cloned();
        found.map_or(0, |queue| queue["dead"].as_u64().unwrap())
    };
    let end = Instant::now() + Duration::from_secs(20);
    while dead() < 1 {
        assert!(Instant::now() < end, "nothing was put aside");
        std::thread::sleep(Duration::from_millis(50));
    }
    let peeked = app.run(&["queue", "peek", "@see", "--dead"]);
    let message = &peeked["messages"][0];
    assert!(message["error"].as_str().unwrap().contains("attempt 2 of 2"), "{peeked}");
    assert_eq!(message["body"]["data"]["key"], "fail");
    assert_eq!(app.run(&["queue", "redrive", "@see"])["redriven"], 1);
    assert_eq!(dead(), 0);
}

/// What happens while the host is away is told when it is back: files, and a time that went by.
#[test]
fn nothing_that_happens_while_the_host_is_dead_is_lost() {
    let app = Deployed::new("away", "");
    let bucket = app.home.join("apps/away.dev/buckets/uploads");
    std::fs::write(bucket.join("before.txt"), "x").unwrap();
    seen(&app, "see", 1);
    kill(&host(&app.home));
    std::fs::write(bucket.join("during.txt"), "x").unwrap();
    std::fs::remove_file(bucket.join("before.txt")).unwrap();
    let saw = seen(&app, "see", 3);
    let mut told: Vec<_> = saw
        .iter()
        .map(|s| (s["what"]["action"].as_str().unwrap(), s["what"]["key"].as_str().unwrap()))
        .collect();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told, [("created", "before.txt"), ("created", "during.txt"), ("deleted", "before.txt")]);
}

/// A writer that takes its time: the handler sees the whole file and is called once.
#[test]
fn a_file_that_is_still_being_written_is_left_alone() {
    let app = Deployed::new("partial", "");
    let path = app.home.join("apps/partial.dev/buckets/uploads/slow.txt");
    let mut file = std::fs::File::create(&path).unwrap();
    for _ in 0..12 {
        std::io::Write::write_all(&mut file, b"0123456789").unwrap();
        std::thread::sleep(Duration::from_millis(60));
    }
    drop(file);
    assert_eq!(seen(&app, "see", 1)[0]["what"]["size"], 120);
}
