//! Queues and tables of the local host as a user meets them, and what happens when their disk is full or their files
//! are damaged.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xcloud_core::ErrorKind;
use xcloud_tests::tools::{Skip, skip};

use crate::faults::{host, kill};
use crate::fixture::{Deployed, handled, message, record_toml};
use crate::scratch;

/// Waits for a condition, as long as a slow machine may need.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One runtime for all: a transport keeps its connections, which belong to the runtime that made them.
fn run<T>(work: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let new = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    RUNTIME.get_or_init(new).block_on(work)
}

fn http(app: &Deployed, method: &str, path: &str, body: &str) -> (u64, Value) {
    let mut arguments = vec!["invoke", "http", "--method", method, "--path", path];
    if !body.is_empty() {
        arguments.extend(["-d", body]);
    }
    let (_, answer) = app.ask(&arguments);
    (answer["data"]["status"].as_u64().unwrap_or(0), answer["data"]["body"].clone())
}

#[test]
fn failed_messages_are_looked_at_redriven_and_purged() {
    let record = scratch("queue-record").join("handled");
    let app = Deployed::new("queues", &format!("{}max_attempts = 1\n", record_toml(&record)));
    let queue = app.queue("queues", "recorded");
    run(async {
        queue.send(vec![message("a", "fail"), message("b", "ok"), message("c", "fail")].into()).await
    })
    .expect("the queue takes messages");
    until("the failed messages are not put aside", || app.counts("recorded") == (0, 2));
    let peeked = app.run(&["queue", "peek", "recorded", "--dead", "-n", "1"]);
    let first = &peeked["messages"][0];
    assert_eq!(
        (&first["body"]["id"], &first["attempts"], &first["state"]),
        (&json!("a"), &json!(1), &json!("dead"))
    );
    assert!(first["error"].as_str().is_some_and(|error| error.contains("asked to fail")), "{first}");
    assert_eq!(peeked["messages"].as_array().map(Vec::len), Some(1));
    assert_eq!(app.run(&["queue", "redrive", "recorded"])["redriven"], 2);
    until("redriven messages are not delivered again", || handled(&record).get("c") == Some(&2));
    until("they are not put aside again", || app.counts("recorded") == (0, 2));
    let (code, refused) = app.ask(&["queue", "purge", "recorded", "--dead"]);
    assert_eq!((code, &refused["success"]), (Some(2), &json!(false)), "no terminal, no --yes: {refused}");
    assert_eq!(app.run(&["queue", "purge", "recorded", "--dead", "--yes"])["purged"], 2);
    assert_eq!(app.counts("recorded"), (0, 0));
    let (code, unknown) = app.ask(&["queue", "peek", "nowhere-at-all"]);
    let message = unknown["message"].as_str().unwrap_or_default();
    assert!(code == Some(1) && message.contains("recorded"), "{unknown}");
}

#[test]
fn rows_are_kept_over_a_kill_and_by_a_destroy() {
    let app = Deployed::new("rows", "[providers.local]\ndurability = \"fsync\"\n");
    let (status, version) = http(&app, "PUT", "/rows/a%2F1", r#"{"n":1}"#);
    assert_eq!(status, 200, "{version}");
    let version = version.to_string();
    assert_eq!(http(&app, "PUT", "/rows/a%2F1?over=nothing", "2").0, 409, "it is there already");
    assert_eq!(http(&app, "PUT", &format!("/rows/a%2F1?over={version}"), r#"{"n":2}"#).0, 200);
    assert_eq!(http(&app, "PUT", &format!("/rows/a%2F1?over={version}"), "3").0, 409, "it was changed");
    for key in ["a%2F2", "b", "%C3%A4"] {
        assert_eq!(http(&app, "PUT", &format!("/rows/{key}"), "0").0, 200);
    }
    kill(&host(&app.home));
    assert_eq!(http(&app, "GET", "/rows/a%2F1", "").1["value"], json!({ "n": 2 }));
    assert_eq!(http(&app, "GET", "/rows?prefix=a", "").1, json!(["a/1", "a/2"]));
    assert_eq!(http(&app, "GET", "/rows?after=a%2F1&limit=2", "").1, json!(["a/2", "b"]));
    assert_eq!(http(&app, "DELETE", "/rows/b", "").0, 204);
    assert_eq!(http(&app, "GET", "/rows/b", "").0, 404);
    assert_eq!(http(&app, "GET", "/rows", "").1, json!(["a/1", "a/2", "ä"]));
    let large = format!("\"{}\"", "x".repeat(300 * 1024));
    let file = app.home.join("large");
    std::fs::write(&file, large).expect("the temporary directory can be written");
    let (status, answer) = http(&app, "PUT", "/rows/large", &format!("@{}", file.display()));
    assert_eq!(status, 413, "{answer}");
    assert_eq!(http(&app, "PUT", &format!("/rows/{}", "k".repeat(513)), "0").0, 400);
    app.run(&["destroy", "--yes"]);
    let artifact = app.directory.join("artifact").display().to_string();
    app.run(&["deploy", "--artifact", &artifact]);
    assert_eq!(http(&app, "GET", "/rows/a%2F1", "").1["value"], json!({ "n": 2 }), "data is kept");
}

/// A file system that is as small as a test wants it; unmounted with the value.
struct Small(PathBuf);

impl Small {
    fn new(name: &str) -> Result<Self, Skip> {
        let path = scratch(name);
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=96m", "tmpfs"]).arg(&path).output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Self(path)),
            Ok(output) => {
                Err(Skip(format!("no small disk: {}", String::from_utf8_lossy(&output.stderr).trim())))
            }
            Err(error) => Err(Skip(format!("no small disk: mount: {error}"))),
        }
    }

    /// Fills it to the last byte.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("filler")).expect("there is room for a name");
        for piece in [1 << 20, 4096, 1] {
            let zeros = vec![0; piece];
            while file.write_all(&zeros).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("filler")).expect("the filler can be removed");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// Sends until the disk is full: what was acknowledged, and the refusal.
fn send_until_refused(app: &Deployed, name: &str, first: usize) -> (Vec<String>, xcloud_core::Error) {
    let queue = app.queue(name, "recorded");
    let mut acknowledged = Vec::new();
    for number in first..first + 5000 {
        let id = format!("{number}-{}", "x".repeat(500));
        match run(queue.send(vec![message(&id, "ok")].into())) {
            Ok(_) => acknowledged.push(id),
            Err(refused) => return (acknowledged, refused),
        }
    }
    panic!("{} messages went onto a full disk", acknowledged.len());
}

/// What status says of a function.
fn state(app: &Deployed, function: &str) -> String {
    let status = app.run(&["status"]);
    let functions = status["functions"].as_array().expect("a list");
    let found = functions.iter().find(|f| f["name"] == function).expect("the function is listed");
    found["state"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_full_disk_refuses_loses_nothing_and_works_again_when_there_is_room() {
    let disk = match Small::new("full") {
        Ok(disk) => disk,
        Err(why) => return skip(&why).expect("nothing may be skipped"),
    };
    // The handler's own file is elsewhere.
    let record = scratch("full-record").join("handled");
    let app = Deployed::in_home(&disk.0, "full", &record_toml(&record));
    disk.fill();
    let (mut acknowledged, refused) = send_until_refused(&app, "full", 0);
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    assert!(refused.message().contains("disk") && refused.message().contains("free some space"), "{refused}");
    // A small message may still find room where a larger one did not.
    until("a handler's sends are not refused", || {
        let (status, answer) = http(&app, "POST", "/send", "{}");
        status == 503 && answer.to_string().contains("is full")
    });
    assert_eq!(http(&app, "GET", "/hello", "").1, "hello", "what stores nothing goes on");
    let queue = app.queue("full", "recorded");
    until("status does not say that the disk is full", || {
        drop(run(queue.send(vec![message(&"x".repeat(10_000), "ok")].into())));
        state(&app, "record").contains("is full")
    });
    disk.free();
    until("the store does not notice that there is room", || !state(&app, "record").contains("is full"));
    run(queue.send(vec![message("after", "ok")].into())).expect("there is room again");
    acknowledged.push("after".to_owned());
    until("an acknowledged message was lost", || {
        let seen = handled(&record);
        acknowledged.iter().all(|id| seen.contains_key(id))
    });
    // Killed while the disk is full: the journal is what it was.
    disk.fill();
    let (more, _) = send_until_refused(&app, "full", 10_000);
    acknowledged.extend(more);
    kill(&host(&app.home));
    disk.free();
    app.run(&["status"]);
    until("a message was lost with the host on a full disk", || {
        let seen = handled(&record);
        acknowledged.iter().all(|id| seen.contains_key(id))
    });
    until("the queue is not empty", || app.counts("recorded") == (0, 0));
    // Before the disk goes.
    drop(app);
}

#[test]
fn a_damaged_store_is_named_with_what_to_do_and_other_apps_do_not_notice() {
    let home = scratch("damaged");
    let record = scratch("damaged-record").join("handled");
    let hurt = Deployed::in_home(&home, "hurt", &record_toml(&record));
    let well = Deployed::in_home(&home, "well", &record_toml(&record));
    run(hurt.queue("hurt", "recorded").send(vec![message("before", "ok")].into()))
        .expect("the queue takes messages");
    until("the message is not handled", || handled(&record).contains_key("before"));
    kill(&host(&home));
    let store = home.join("apps/hurt.dev/store.redb");
    let length = std::fs::metadata(&store).expect("the store is there").len();
    std::fs::write(&store, vec![0x5a; usize::try_from(length).expect("small")]).expect("it can be written");

    assert!(state(&hurt, "record").contains("store.redb is damaged"), "{}", state(&hurt, "record"));
    assert!(!state(&hurt, "anything").contains("damaged"), "a function that stores nothing is well");
    assert_eq!(http(&hurt, "GET", "/hello", "").1, "hello");
    let refused = run(hurt.queue("hurt", "recorded").send(vec![message("during", "ok")].into()))
        .expect_err("it is damaged");
    for part in [store.to_str().expect("text"), "is damaged", "move both away", "other apps are not affected"]
    {
        assert!(refused.message().contains(part), "{part} is not in {refused}");
    }
    let (code, answer) = hurt.ask(&["queue", "ls"]);
    assert!(code == Some(1) && answer["message"].to_string().contains("is damaged"), "{answer}");

    run(well.queue("well", "recorded").send(vec![message("neighbour", "ok")].into()))
        .expect("another app's queue works");
    until("the neighbour's message is not handled", || handled(&record).contains_key("neighbour"));

    move_away(&store);
    run(hurt.queue("hurt", "recorded").send(vec![message("afterwards", "ok")].into()))
        .expect("an empty store works");
    until("the message is not handled", || handled(&record).contains_key("afterwards"));
    assert!(!state(&hurt, "record").contains("damaged"), "{}", state(&hurt, "record"));
}

fn move_away(store: &Path) {
    for file in [store.to_owned(), store.with_extension("journal")] {
        std::fs::rename(&file, file.with_extension("damaged")).expect("it can be moved");
    }
}
