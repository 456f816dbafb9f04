use std::fs::File;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("xcloud-store-{}-{name}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn store(&self) -> Store {
        Store::new(self.0.join("store"))
    }

    /// The files as they are now: what a host that is killed at this moment leaves.
    fn killed(&self, name: &str) -> Self {
        let copy = Self::new(name);
        for file in ["store.redb", "store.journal"] {
            std::fs::copy(self.0.join(file), copy.0.join(file)).unwrap();
        }
        copy
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

const LONG: Duration = Duration::from_secs(600);

fn bodies(texts: &[&str]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect()
}

async fn claimed(store: &Store, limit: usize) -> (u64, Vec<(String, String, u32)>) {
    let claim = store.claim("q", limit, LONG).await.unwrap();
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let messages = claim.messages.iter();
    (claim.receipt, messages.map(|m| (m.id.clone(), text(&m.body), m.attempt.unwrap())).collect())
}

/// `spawn_blocking` needs a runtime.
fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill_and_what_was_settled_is_not() {
    let scratch = Scratch::new("kill");
    run(async {
        let store = scratch.store();
        for durability in [Durability::Process, Durability::Fsync] {
            store.set_durability(durability).await.unwrap();
            store.purge("q", false).await.unwrap();
            store.send("q", bodies(&["a", "b", "c"])).await.unwrap();
            let (receipt, messages) = claimed(&store, 2).await;
            let fates =
                [(messages[0].0.clone(), Fate::Done), (messages[1].0.clone(), Fate::Retry(Duration::ZERO))];
            store.settle("q", receipt, &fates).await.unwrap();
            claimed(&store, 1).await;
            let copy = scratch.killed("kill-after");
            let after = copy.store();
            assert_eq!(after.durability().unwrap(), durability);
            assert_eq!(after.counts("q").waiting, 2);
            let (_, mut messages) = claimed(&after, 9).await;
            messages.sort();
            let seen: Vec<_> = messages.iter().map(|(_, body, attempt)| (body.as_str(), *attempt)).collect();
            // `c` was being handled: that attempt has not ended and does not count.
            assert_eq!(seen, [("b", 2), ("c", 1)], "{durability:?}");
            let ids = after.send("q", bodies(&["d"])).await.unwrap();
            assert!(messages.iter().all(|(id, ..)| *id < ids[0]), "an id was given twice");
        }
    });
}

#[test]
fn a_checkpoint_loses_nothing_and_empties_the_journal() {
    let scratch = Scratch::new("checkpoint");
    run(async {
        let store = scratch.store();
        let large = vec![Bytes::from(vec![b'x'; 200_000]); 60];
        store.send("q", large).await.unwrap();
        store.send("q", bodies(&["last"])).await.unwrap();
        let journal = std::fs::metadata(scratch.0.join("store.journal")).unwrap().len();
        assert!(journal < 1000, "{journal} bytes are in the journal");
        assert_eq!(scratch.killed("checkpoint-after").store().counts("q").waiting, 61);
    });
}

#[test]
fn a_message_comes_back_when_its_time_runs_out_and_a_late_settlement_is_not_taken_for_the_new_ones() {
    let scratch = Scratch::new("visibility");
    run(async {
        let store = scratch.store();
        store.send("q", bodies(&["a"])).await.unwrap();
        let first = store.claim("q", 1, Duration::ZERO).await.unwrap();
        assert_eq!(store.counts("q").in_flight, 0, "its time has run out");
        let (receipt, second) = claimed(&store, 1).await;
        assert_eq!((second.len(), store.counts("q").in_flight), (1, 1));
        let waiting = store.claim("q", 1, LONG).await.unwrap();
        assert!(waiting.messages.is_empty() && waiting.next.is_some_and(|next| next <= LONG));
        let late = [(second[0].0.clone(), Fate::Dead("late".to_owned()))];
        store.settle("q", first.receipt, &late).await.unwrap();
        assert_eq!(store.counts("q").dead, 0, "the first one's claim had ended");
        store.settle("q", receipt, &[(second[0].0.clone(), Fate::Done)]).await.unwrap();
        assert_eq!(store.counts("q").waiting, 0);
    });
}

#[test]
fn what_was_put_aside_is_seen_redriven_and_purged() {
    let scratch = Scratch::new("dead");
    run(async {
        let store = scratch.store();
        store.send("q", bodies(&["a", "b"])).await.unwrap();
        store.send("other", bodies(&["c"])).await.unwrap();
        let (receipt, messages) = claimed(&store, 2).await;
        let fates: Vec<_> =
            messages.iter().map(|(id, ..)| (id.clone(), Fate::Dead("no".to_owned()))).collect();
        store.settle("q", receipt, &fates).await.unwrap();
        let dead = store.peek("q", true, 10).await.unwrap();
        assert_eq!((dead.len(), dead[0].why.as_deref(), dead[0].attempts), (2, Some("no"), 1));
        assert_eq!((store.redrive("q").await.unwrap(), store.redrive("q").await.unwrap()), (2, 0));
        let counts = store.counts("q");
        assert_eq!((counts.waiting, counts.dead), (2, 0));
        let (_, again) = claimed(&store, 9).await;
        assert!(again.iter().all(|(.., attempt)| *attempt == 1), "a redriven message begins anew: {again:?}");
        assert_eq!(store.peek("q", false, 1).await.unwrap()[0].body, b"a");
        assert_eq!((store.purge("q", false).await.unwrap(), store.counts("q").waiting), (2, 0));
        assert_eq!(store.counts("other").waiting, 1, "another queue is not touched");
    });
}

#[test]
fn rows_are_versioned_and_scanned_in_order() {
    let scratch = Scratch::new("rows");
    run(async {
        let store = scratch.store();
        let value = |text: &'static str| Bytes::from_static(text.as_bytes());
        assert_eq!(store.get("t", "a").await.unwrap(), None);
        let first = store.put("t", "a", value("1"), Expect::Nothing).await.unwrap();
        assert!(store.put("t", "a", value("2"), Expect::Nothing).await.is_err());
        let second = store.put("t", "a", value("2"), Expect::Version(first)).await.unwrap();
        let refused = store.put("t", "a", value("3"), Expect::Version(first)).await.unwrap_err();
        assert!(second > first && refused.kind() == xcloud_core::ErrorKind::Conflict, "{refused}");
        for key in ["b/1", "b/2", "b/3", "c"] {
            store.put("t", key, value("x"), Expect::Anything).await.unwrap();
        }
        store.put("t2", "b/0", value("x"), Expect::Anything).await.unwrap();
        let copy = scratch.killed("rows-after");
        let after = copy.store();
        let keys = |(rows, _): (Vec<Row>, bool)| rows.into_iter().map(|row| row.key).collect::<Vec<_>>();
        assert_eq!(keys(after.scan("t", "b/", "", 10).await.unwrap()), ["b/1", "b/2", "b/3"]);
        assert_eq!(keys(after.scan("t", "b/", "b/1", 1).await.unwrap()), ["b/2"]);
        assert_eq!(keys(after.scan("t", "", "", 2).await.unwrap()), ["a", "b/1"]);
        assert_eq!((after.rows("t"), after.rows("t2")), (5, 1));
        assert!(after.delete("t", "a", Expect::Version(first)).await.is_err());
        assert!(after.delete("t", "a", Expect::Anything).await.unwrap());
        assert!(!after.delete("t", "a", Expect::Anything).await.unwrap());
        after.empty("t").await.unwrap();
        assert_eq!((after.rows("t"), after.rows("t2")), (0, 1));
    });
}

#[test]
fn a_file_that_is_no_store_is_named_with_what_to_do_and_moving_it_away_is_enough() {
    let scratch = Scratch::new("garbage");
    std::fs::write(scratch.0.join("store.redb"), vec![b'x'; 100_000]).unwrap();
    run(async {
        let store = scratch.store();
        let error = store.send("q", bodies(&["a"])).await.unwrap_err().to_string();
        assert!(error.contains("store.redb is damaged") && error.contains("move both away"), "{error}");
        assert_eq!(store.check().unwrap_err().to_string(), error);
        std::fs::rename(scratch.0.join("store.redb"), scratch.0.join("old")).unwrap();
        store.send("q", bodies(&["a"])).await.unwrap();
        assert_eq!(store.counts("q").waiting, 1);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Damaged anywhere, a store gives errors or answers: it does not panic, and it does not hang.
    #[test]
    fn a_damaged_file_never_hangs_or_panics(at in 0.0..1.0f64, bytes in proptest::collection::vec(any::<u8>(), 1..64)) {
        let scratch = Scratch::new("damaged");
        let scratch = run(async {
            let store = scratch.store();
            store.send("q", bodies(&["a", "b", "c"])).await.unwrap();
            store.put("t", "k", Bytes::from_static(b"v"), Expect::Anything).await.unwrap();
            scratch.killed("damaged-after")
        });
        for name in ["store.redb", "store.journal"] {
            let file = File::options().write(true).open(scratch.0.join(name)).unwrap();
            let length = file.metadata().unwrap().len();
            file.write_all_at(&bytes, (length as f64 * at) as u64).unwrap();
        }
        run(async {
            let store = scratch.store();
            let all = async {
                drop(store.send("q", bodies(&["d"])).await);
                drop(store.claim("q", 9, LONG).await);
                drop(store.scan("t", "", "", 9).await);
                drop(store.purge("q", false).await);
            };
            tokio::time::timeout(Duration::from_secs(20), all).await.unwrap();
        });
    }
}

#[derive(Debug, Clone)]
enum Step {
    Send(u8),
    /// Claims so many, and what becomes of each: done, again, put aside, or nothing yet.
    Handle(usize, Vec<u8>),
    Redrive,
    Put(u8, u8),
    Delete(u8),
    /// What a host does after a while, and what a kill does at any time.
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..5u8).prop_map(Step::Send),
        (1..6usize, proptest::collection::vec(0..4u8, 6)).prop_map(|(n, fates)| Step::Handle(n, fates)),
        Just(Step::Redrive),
        (0..6u8, any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        (0..6u8).prop_map(Step::Delete),
        Just(Step::Reopen),
    ]
}

/// What should be there.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Model {
    waiting: std::collections::BTreeSet<String>,
    dead: std::collections::BTreeSet<String>,
    rows: std::collections::BTreeMap<String, Vec<u8>>,
}

impl Model {
    async fn read(store: &Store) -> Self {
        let ids = |held: Vec<Held>| held.into_iter().map(|held| held.id).collect();
        let (rows, _) = store.scan("t", "", "", 100).await.unwrap();
        let found = Self {
            waiting: ids(store.peek("q", false, 1000).await.unwrap()),
            dead: ids(store.peek("q", true, 1000).await.unwrap()),
            rows: rows.into_iter().map(|row| (row.key, row.value.to_vec())).collect(),
        };
        let (counts, rows) = (store.counts("q"), store.rows("t"));
        let counted = (counts.waiting, counts.dead, rows);
        let lengths = (found.waiting.len() as u64, found.dead.len() as u64, found.rows.len() as u64);
        assert_eq!(counted, lengths, "the counters are wrong");
        found
    }

    async fn handle(&mut self, store: &Store, limit: usize, fates: &[u8]) {
        let claim = store.claim("q", limit, LONG).await.unwrap();
        let mut settled = Vec::new();
        for (message, fate) in claim.messages.iter().zip(fates) {
            assert!(self.waiting.contains(&message.id), "{} was handed out and is not there", message.id);
            let fate = match fate {
                0 => Fate::Done,
                1 => Fate::Retry(Duration::ZERO),
                2 => Fate::Dead("no".to_owned()),
                _ => continue,
            };
            if fate != Fate::Retry(Duration::ZERO) {
                self.waiting.remove(&message.id);
            }
            if matches!(fate, Fate::Dead(_)) {
                self.dead.insert(message.id.clone());
            }
            settled.push((message.id.clone(), fate));
        }
        store.settle("q", claim.receipt, &settled).await.unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is done, and wherever it is killed: exactly what was acknowledged is there.
    #[test]
    fn the_store_is_what_was_acknowledged(steps in proptest::collection::vec(step(), 1..25)) {
        let mut scratch = Scratch::new("model-0");
        run(async {
            let (mut store, mut model, mut opened) = (scratch.store(), Model::default(), 0);
            store.send("other", bodies(&["x"])).await.unwrap();
            for step in steps {
                match step {
                    Step::Send(many) => {
                        let ids = store.send("q", vec![Bytes::from_static(b"b"); many.into()]).await.unwrap();
                        let fresh = ids.into_iter().filter(|id| model.waiting.insert(id.clone())).count();
                        assert_eq!(fresh, usize::from(many), "an id was given twice");
                    }
                    Step::Handle(limit, fates) => model.handle(&store, limit, &fates).await,
                    Step::Redrive => {
                        assert_eq!(store.redrive("q").await.unwrap(), model.dead.len() as u64);
                        let Model { waiting, dead, .. } = &mut model;
                        waiting.append(dead);
                    }
                    Step::Put(key, value) => {
                        store.put("t", &key.to_string(), vec![value].into(), Expect::Anything).await.unwrap();
                        model.rows.insert(key.to_string(), vec![value]);
                    }
                    Step::Delete(key) => {
                        let there = store.delete("t", &key.to_string(), Expect::Anything).await.unwrap();
                        assert_eq!(there, model.rows.remove(&key.to_string()).is_some());
                    }
                    Step::Reopen => {
                        opened += 1;
                        scratch = scratch.killed(&format!("model-{opened}"));
                        store = scratch.store();
                    }
                }
                assert_eq!(Model::read(&store).await, model);
            }
            assert_eq!(store.counts("other").waiting, 1);
        });
    }
}
