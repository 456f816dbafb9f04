//! What was acknowledged is not lost: the local host killed at random, its disk full, its files damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use xcloud_core::queue::QueueTransport;

use crate::faults::{host, kill};
use crate::{data, scratch, xcloud};

/// A project around the fixture, deployed without a build; taken down with the value.
pub(crate) struct Deployed {
    pub(crate) home: PathBuf,
    pub(crate) directory: PathBuf,
}

impl Deployed {
    /// `toml` comes after `[project]`.
    pub(crate) fn new(name: &str, toml: &str) -> Self {
        let home = scratch(name);
        let this = Self { directory: home.join("app"), home };
        let artifact = this.directory.join("artifact");
        std::fs::create_dir_all(&artifact).expect("the temporary directory can be written");
        let toml = format!("[project]\nname = \"{name}\"\n{toml}");
        std::fs::write(this.directory.join("xcloud.toml"), toml)
            .expect("the temporary directory can be written");
        kept(&artifact);
        let artifact = artifact.display().to_string();
        this.run(&["deploy", "--artifact", &artifact]);
        this
    }

    fn arguments<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        let directory = self.directory.to_str().expect("a path of ours is text");
        [&["-C", directory], arguments, &["-o", "json"]].concat()
    }

    /// Runs the command and expects success.
    pub(crate) fn run(&self, arguments: &[&str]) -> Value {
        data(&self.home, &self.arguments(arguments))
    }

    /// Runs the command: exit code and the one object.
    pub(crate) fn ask(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let output = xcloud(&self.home, &self.arguments(arguments));
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default())
    }

    /// The way to a queue, as functions have it.
    pub(crate) fn queue(&self, name: &str, queue: &str) -> Arc<dyn QueueTransport> {
        let socket = self.home.join("run/data.sock");
        xcloud_local::sender::open_queue(&format!("{name}.dev/{queue}@{}", socket.display()))
            .expect("a binding")
    }

    fn counts(&self, queue: &str) -> (u64, u64) {
        let listed = self.run(&["queue", "ls"]);
        let queues = listed["queues"].as_array().expect("a list");
        let found = queues.iter().find(|q| q["name"] == queue).expect("the queue is listed");
        (found["waiting"].as_u64().expect("a number"), found["dead"].as_u64().expect("a number"))
    }
}

impl Drop for Deployed {
    fn drop(&mut self) {
        xcloud(&self.home, &self.arguments(&["destroy", "--yes", "--delete-data"]));
        drop(std::fs::remove_dir_all(&self.home));
    }
}

/// The fixture as a build would leave it.
fn kept(artifact: &Path) {
    let program = env!("CARGO_BIN_EXE_fixture");
    let spec = artifact.join("spec.json");
    let described = Command::new(program).env("XCLOUD_DESCRIBE", &spec).status().expect("the fixture starts");
    assert!(described.success());
    let spec: Value = serde_json::from_slice(&std::fs::read(&spec).expect("a spec")).expect("JSON");
    let sum = Command::new("sha256sum").arg(program).output().expect("sha256sum runs");
    let sum = String::from_utf8_lossy(&sum.stdout);
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let facts = json!({ "sha256": sum.split(' ').next(), "arch": arch, "spec": spec });
    std::fs::write(artifact.join("binary.json"), facts.to_string()).expect("the directory can be written");
    std::fs::copy(program, artifact.join("binary")).expect("the fixture can be copied");
}

/// Where the fixture writes down what it was given.
fn record_toml(file: &Path) -> String {
    format!("[functions.record]\nenv = {{ FIXTURE_RECORD = {file:?} }}\n")
}

/// How often each message was handled.
fn handled(file: &Path) -> BTreeMap<String, usize> {
    let mut handled = BTreeMap::new();
    for line in std::fs::read_to_string(file).unwrap_or_default().lines() {
        *handled.entry(line.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    handled
}

fn message(id: &str, action: &str) -> Bytes {
    json!({ "id": id, "action": action }).to_string().into()
}

const MESSAGES: usize = 10_000;
const KILLS: usize = 10;
const SENDERS: usize = 8;

/// Numbers that are the same for the same seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Sends until acknowledged, however often the host dies meanwhile.
struct Sending {
    queue: Arc<dyn QueueTransport>,
    next: AtomicUsize,
    acknowledged: Mutex<BTreeSet<String>>,
    attempts: AtomicUsize,
}

impl Sending {
    async fn run(self: Arc<Self>) {
        loop {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            if number >= MESSAGES {
                return;
            }
            let id = format!("m-{number}");
            loop {
                self.attempts.fetch_add(1, Ordering::SeqCst);
                if self.queue.send(vec![message(&id, "ok")]).await.is_ok() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            self.acknowledged.lock().expect("no sender panics").insert(id);
        }
    }

    fn done(&self) -> usize {
        self.acknowledged.lock().expect("no sender panics").len()
    }
}

/// The acceptance run of issue 3: 10,000 messages, the host killed ten times at random, none lost.
#[test]
fn every_acknowledged_message_is_handled_though_the_host_is_killed_ten_times() {
    let seed = std::env::var("XCLOUD_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_125);
    println!("seed {seed} (XCLOUD_SEED sets it)");
    let record = scratch("killed-record").join("handled");
    let app = Deployed::new("killed-often", &record_toml(&record));
    let sending = Arc::new(Sending {
        queue: app.queue("killed-often", "recorded"),
        next: AtomicUsize::new(0),
        acknowledged: Mutex::default(),
        attempts: AtomicUsize::new(0),
    });
    let client = {
        let sending = Arc::clone(&sending);
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let senders: Vec<_> =
                    (0..SENDERS).map(|_| tokio::spawn(Arc::clone(&sending).run())).collect();
                for sender in senders {
                    sender.await.expect("no sender panics");
                }
            });
        })
    };
    let mut random = Random(seed);
    let started = Instant::now();
    for kills in 0..KILLS {
        // Somewhere in the next tenth of the messages, and then somewhere between two instructions.
        let at = MESSAGES / KILLS * kills + random.below((MESSAGES / KILLS) as u64) as usize;
        while sending.done() < at {
            assert!(
                started.elapsed() < Duration::from_secs(120),
                "only {} were acknowledged",
                sending.done()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(random.below(5000)));
        kill(&host(&app.home));
        app.run(&["status"]);
    }
    client.join().expect("the client ends");
    let acknowledged = sending.acknowledged.lock().expect("no sender panics").clone();
    let end = Instant::now() + Duration::from_secs(60);
    let seen = loop {
        let seen = handled(&record);
        let lost = acknowledged.iter().filter(|id| !seen.contains_key(*id)).count();
        if lost == 0 {
            break seen;
        }
        assert!(
            Instant::now() < end,
            "{lost} acknowledged messages were not handled: {:?}",
            app.counts("recorded")
        );
        std::thread::sleep(Duration::from_millis(100));
    };
    let total: usize = seen.values().sum();
    println!(
        "sent {MESSAGES} messages in {} attempts, acknowledged {}, handled {}, duplicates {}, kills {KILLS}, {:.1} s",
        sending.attempts.load(Ordering::SeqCst),
        acknowledged.len(),
        seen.len(),
        total - seen.len(),
        started.elapsed().as_secs_f64()
    );
    assert_eq!((acknowledged.len(), seen.len()), (MESSAGES, MESSAGES));
    let end = Instant::now() + Duration::from_secs(30);
    while app.counts("recorded") != (0, 0) {
        assert!(Instant::now() < end, "the queue is not empty: {:?}", app.counts("recorded"));
        std::thread::sleep(Duration::from_millis(50));
    }
}
