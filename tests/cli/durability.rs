//! What was acknowledged is not lost: the local host killed at random.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use xcloud_core::queue::QueueTransport;

use crate::faults::{host, kill};
use crate::fixture::{Deployed, handled, message, record_toml};
use crate::scratch;

const MESSAGES: usize = 10_000;
const KILLS: usize = 10;
/// Of the run that kills while messages are delivered only.
const DELIVERY_KILLS: usize = 5;
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
                if self.queue.send(vec![message(&id, "ok")].into()).await.is_ok() {
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

/// Says where the host is killed.
fn seed() -> u64 {
    std::env::var("XCLOUD_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_125)
}

/// Kills the host somewhere in the next millisecond or five, that is between any two instructions; the next command
/// brings it back.
fn strike(app: &Deployed, random: &mut Random) {
    std::thread::sleep(Duration::from_micros(random.below(5000)));
    kill(&host(&app.home));
    app.run(&["status"]);
}

/// Waits until each of these was handled, and says how often each message was.
fn all_handled(app: &Deployed, record: &Path, ids: &BTreeSet<String>) -> BTreeMap<String, usize> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let seen = handled(record);
        let lost = ids.iter().filter(|id| !seen.contains_key(*id)).count();
        if lost == 0 {
            return seen;
        }
        assert!(
            Instant::now() < end,
            "{lost} acknowledged messages were not handled: {:?}",
            app.counts("recorded")
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Waits until nothing is left in the queue.
fn emptied(app: &Deployed) {
    let end = Instant::now() + Duration::from_secs(30);
    while app.counts("recorded") != (0, 0) {
        assert!(Instant::now() < end, "the queue is not empty: {:?}", app.counts("recorded"));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The acceptance run of issue 3: 10,000 messages, the host killed ten times at random, none lost.
#[test]
fn every_acknowledged_message_is_handled_though_the_host_is_killed_ten_times() {
    let seed = seed();
    println!("seed {seed} (XCLOUD_SEED sets it)");
    let mut random = Random(seed);
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
        strike(&app, &mut random);
    }
    client.join().expect("the client ends");
    let acknowledged = sending.acknowledged.lock().expect("no sender panics").clone();
    let seen = all_handled(&app, &record, &acknowledged);
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
    emptied(&app);
}

/// 10,000 messages wait when delivery begins; the host is killed five times while they are handed out.
#[test]
fn every_queued_message_is_handled_though_the_host_is_killed_five_times_while_it_delivers() {
    let seed = seed();
    println!("seed {seed} (XCLOUD_SEED sets it)");
    let mut random = Random(seed);
    let directory = scratch("delivered-record");
    let (record, gate) = (directory.join("handled"), directory.join("gate"));
    let app = Deployed::new(
        "killed-delivering",
        &format!("[functions.record]\nenv = {{ FIXTURE_RECORD = {record:?}, FIXTURE_GATE = {gate:?} }}\n"),
    );
    let ids: BTreeSet<String> = (0..MESSAGES).map(|number| format!("m-{number}")).collect();
    queue_all(&app, &ids);
    assert_eq!((app.counts("recorded"), handled(&record).len()), ((MESSAGES as u64, 0), 0));
    std::fs::write(&gate, "").expect("the temporary directory can be written");
    let (started, mut struck) = (Instant::now(), Vec::new());
    for kills in 0..DELIVERY_KILLS {
        // In the first half: on a busy machine much is delivered between what is seen here and the kill.
        let share = MESSAGES / (2 * DELIVERY_KILLS);
        let at = share * kills + random.below(share as u64) as usize;
        while handled(&record).len() < at {
            assert!(started.elapsed() < Duration::from_secs(120), "delivery stands still before {at}");
            std::thread::sleep(Duration::from_millis(1));
        }
        strike(&app, &mut random);
        struck.push(handled(&record).len());
    }
    assert!(struck.iter().all(|seen| *seen < MESSAGES), "killed when all was over: {struck:?}");
    let seen = all_handled(&app, &record, &ids);
    let total: usize = seen.values().sum();
    println!(
        "queued {MESSAGES} messages, handled {}, duplicates {}, {DELIVERY_KILLS} kills after {struck:?}, {:.1} s",
        seen.len(),
        total - seen.len(),
        started.elapsed().as_secs_f64()
    );
    assert_eq!(seen.len(), MESSAGES);
    emptied(&app);
}

/// Sends in hundreds; each message makes its batch take a moment, so that there is a delivery to be killed in.
fn queue_all(app: &Deployed, ids: &BTreeSet<String>) {
    let queue = app.queue("killed-delivering", "recorded");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ids: Vec<_> = ids.iter().collect();
    runtime.block_on(async {
        for some in ids.chunks(100) {
            let messages: Vec<_> = some.iter().map(|id| message(id, "pause")).collect();
            queue.send(messages.into()).await.expect("nobody kills the host yet");
        }
    });
}
