//! What was acknowledged is not lost: the local host killed at random.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use xcloud_core::queue::QueueTransport;

use crate::faults::{host, kill};
use crate::fixture::{Deployed, handled, message, record_toml};
use crate::scratch;

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
