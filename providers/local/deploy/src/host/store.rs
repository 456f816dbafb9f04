//! Messages on disk: redb, an embedded ACID store in pure Rust.
//!
//! One thread writes. It takes every operation that is waiting, commits them together (one fsync for all), and only
//! then answers: a message is acknowledged when it is on disk. What is being delivered is known in memory alone, so
//! a host that was killed hands those messages out again at once, with the same attempt number.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::{mpsc, oneshot, watch};
use xcloud_core::event::RawMessage;
use xcloud_core::{Error, Result};

/// Attempts made, milliseconds since 1970 when it was sent and when it is due, body.
type Message = (u32, u64, u64, &'static [u8]);
/// Attempts made, when it was sent, why it was put aside, body.
type Dead = (u32, u64, &'static str, &'static [u8]);

/// By queue and sequence number.
const MESSAGES: TableDefinition<'_, (&str, u64), Message> = TableDefinition::new("messages");
/// Queue, milliseconds since 1970 when it is due, sequence number.
const DUE: TableDefinition<'_, (&str, u64, u64), ()> = TableDefinition::new("due");
/// By queue and sequence number.
const DEAD: TableDefinition<'_, (&str, u64), Dead> = TableDefinition::new("dead");
/// The next sequence number, under the key `next`.
const COUNTER: TableDefinition<'_, &str, u64> = TableDefinition::new("counter");

/// Operations that wait for the writer; more senders than this wait for a place.
const WAITING: usize = 4096;
/// Operations in one commit.
const TOGETHER: usize = 1024;

/// How a message ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is handled.
    Done,
    /// It comes again after this time.
    Retry(Duration),
    /// It is put aside.
    Dead(String),
}

/// How many messages a queue holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) waiting: u64,
    pub(crate) dead: u64,
}

/// Messages to deliver, or when to look again.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) messages: Vec<RawMessage>,
    /// When nothing is due now: the time until something is.
    pub(crate) next: Option<Duration>,
}

enum Operation {
    Send { queue: String, bodies: Vec<Bytes>, done: oneshot::Sender<Result<Vec<String>>> },
    Settle { queue: String, fates: Vec<(u64, Fate)>, done: oneshot::Sender<Result<()>> },
    Clear { queue: String, done: oneshot::Sender<Result<()>> },
}

/// The store of all queues. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    shared: Arc<Shared>,
    writer: mpsc::Sender<Operation>,
}

struct Shared {
    database: Database,
    /// Being delivered. Held over a claim's whole read: see [`claim`].
    taken: Mutex<HashSet<u64>>,
    counts: Mutex<HashMap<String, Counts>>,
    /// Changes when a queue may have something new.
    changed: Mutex<HashMap<String, watch::Sender<()>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(error: impl Into<redb::Error>) -> Error {
    let error = error.into();
    Error::unavailable(format!("the queues' store: {error}")).caused_by(error)
}

fn now_ms() -> u64 {
    ms(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A message's id; sequence numbers are never used again.
fn id(sequence: u64) -> String {
    format!("{sequence:016x}")
}

fn sequence(id: &str) -> Option<u64> {
    u64::from_str_radix(id, 16).ok()
}

impl Store {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// When it cannot be read, or is not a store.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let database = Database::create(path).map_err(|e| {
            let message = format!(
                "cannot open the queues' store {}: {e}; if it is damaged, move it away: its messages are lost, \
                 deployed apps are not",
                path.display()
            );
            Error::unavailable(message).caused_by(e)
        })?;
        let counts = prepare(&database)?;
        let shared = Arc::new(Shared {
            database,
            taken: Mutex::default(),
            counts: Mutex::new(counts),
            changed: Mutex::default(),
        });
        let (writer, operations) = mpsc::channel(WAITING);
        let for_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || write_all(&for_thread, operations))
            .map_err(crate::error::io("cannot start the store's thread"))?;
        Ok(Self { shared, writer })
    }

    /// Stores messages and returns their ids once they are on disk.
    pub(crate) async fn send(&self, queue: &str, bodies: Vec<Bytes>) -> Result<Vec<String>> {
        let queue = queue.to_owned();
        self.ask(|done| Operation::Send { queue, bodies, done }).await
    }

    /// Ends the delivery of messages that [`Store::claim`] handed out.
    pub(crate) async fn settle(&self, queue: &str, fates: &[(String, Fate)]) -> Result<()> {
        let fates: Vec<_> = fates.iter().filter_map(|(id, f)| Some((sequence(id)?, f.clone()))).collect();
        let sequences: Vec<_> = fates.iter().map(|(s, _)| *s).collect();
        let name = queue.to_owned();
        let result = self.ask(|done| Operation::Settle { queue: name, fates, done }).await;
        self.release(queue, sequences);
        result
    }

    /// Hands back messages that were not delivered after all.
    pub(crate) fn unclaim(&self, queue: &str, messages: &[RawMessage]) {
        self.release(queue, messages.iter().filter_map(|m| sequence(&m.id)));
    }

    fn release(&self, queue: &str, sequences: impl IntoIterator<Item = u64>) {
        let mut taken = lock(&self.shared.taken);
        for sequence in sequences {
            taken.remove(&sequence);
        }
        drop(taken);
        self.shared.wake(queue);
    }

    /// Takes up to `limit` messages that are due, oldest due first. They stay taken until they are settled.
    pub(crate) async fn claim(&self, queue: &str, limit: usize) -> Result<Claim> {
        let (shared, queue) = (Arc::clone(&self.shared), queue.to_owned());
        let claim = tokio::task::spawn_blocking(move || claim(&shared, &queue, limit));
        claim.await.map_err(|e| Error::unavailable(format!("the queues' store: {e}")))?
    }

    /// Removes everything in a queue.
    pub(crate) async fn clear(&self, queue: &str) -> Result<()> {
        let queue = queue.to_owned();
        self.ask(|done| Operation::Clear { queue, done }).await
    }

    /// How many messages a queue holds.
    pub(crate) fn counts(&self, queue: &str) -> Counts {
        lock(&self.shared.counts).get(queue).copied().unwrap_or_default()
    }

    /// Tells when a queue may have something new.
    pub(crate) fn changes(&self, queue: &str) -> watch::Receiver<()> {
        let mut changed = lock(&self.shared.changed);
        changed.entry(queue.to_owned()).or_insert_with(|| watch::Sender::new(())).subscribe()
    }

    async fn ask<T>(&self, operation: impl FnOnce(oneshot::Sender<Result<T>>) -> Operation) -> Result<T> {
        let gone = || Error::unavailable("the queues' store did not answer");
        let (done, answer) = oneshot::channel();
        self.writer.send(operation(done)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl Shared {
    fn wake(&self, queue: &str) {
        if let Some(changed) = lock(&self.changed).get(queue) {
            changed.send_replace(());
        }
    }
}

/// Makes the tables and counts what is there.
fn prepare(database: &Database) -> Result<HashMap<String, Counts>> {
    let write = database.begin_write().map_err(failed)?;
    let mut counts: HashMap<String, Counts> = HashMap::new();
    {
        let due = write.open_table(DUE).map_err(failed)?;
        for entry in due.iter().map_err(failed)? {
            let (key, _) = entry.map_err(failed)?;
            counts.entry(key.value().0.to_owned()).or_default().waiting += 1;
        }
        let dead = write.open_table(DEAD).map_err(failed)?;
        for entry in dead.iter().map_err(failed)? {
            let (key, _) = entry.map_err(failed)?;
            counts.entry(key.value().0.to_owned()).or_default().dead += 1;
        }
        write.open_table(MESSAGES).map_err(failed)?;
        write.open_table(COUNTER).map_err(failed)?;
    }
    write.commit().map_err(failed)?;
    Ok(counts)
}

/// `taken` is locked before the snapshot is made: a message leaves `taken` only after the commit that settles it, so
/// one that is not in `taken` and still in the snapshot is really there to deliver.
fn claim(shared: &Shared, queue: &str, limit: usize) -> Result<Claim> {
    let mut taken = lock(&shared.taken);
    let read = shared.database.begin_read().map_err(failed)?;
    let due = read.open_table(DUE).map_err(failed)?;
    let all = read.open_table(MESSAGES).map_err(failed)?;
    let now = now_ms();
    let mut found = Claim { messages: Vec::new(), next: None };
    for entry in due.range((queue, 0, 0)..=(queue, u64::MAX, u64::MAX)).map_err(failed)? {
        let (key, _) = entry.map_err(failed)?;
        let (_, at, sequence) = key.value();
        if taken.contains(&sequence) {
            continue;
        }
        if at > now {
            found.next = Some(Duration::from_millis(at - now));
            break;
        }
        if found.messages.len() == limit {
            break;
        }
        let Some(entry) = all.get((queue, sequence)).map_err(failed)? else { continue };
        let (attempts, sent, _, body) = entry.value();
        taken.insert(sequence);
        found.messages.push(RawMessage {
            id: id(sequence),
            body: Bytes::copy_from_slice(body),
            attempt: Some(attempts.saturating_add(1)),
            sent: UNIX_EPOCH.checked_add(Duration::from_millis(sent)),
            attributes: Vec::new(),
        });
    }
    Ok(found)
}

/// The writer's thread: ends when the last [`Store`] is gone.
fn write_all(shared: &Shared, mut operations: mpsc::Receiver<Operation>) {
    let mut batch = Vec::new();
    while let Some(first) = operations.blocking_recv() {
        batch.push(first);
        while batch.len() < TOGETHER
            && let Ok(more) = operations.try_recv()
        {
            batch.push(more);
        }
        commit(shared, &mut batch);
    }
}

/// What is told to the askers once the commit has succeeded.
enum Answer {
    Sent(oneshot::Sender<Result<Vec<String>>>, Vec<String>),
    Settled(oneshot::Sender<Result<()>>),
}

fn commit(shared: &Shared, batch: &mut Vec<Operation>) {
    let mut counts = lock(&shared.counts).clone();
    let mut answers = Vec::with_capacity(batch.len());
    let mut queues = HashSet::new();
    let result = write(shared, batch, &mut counts, &mut answers, &mut queues);
    if result.is_ok() {
        *lock(&shared.counts) = counts;
    }
    // An asker that has gone away does not need its answer.
    for answer in answers {
        match (answer, &result) {
            (Answer::Sent(done, ids), Ok(())) => drop(done.send(Ok(ids))),
            (Answer::Sent(done, _), Err(e)) => drop(done.send(Err(Error::new(e.kind(), e.message())))),
            (Answer::Settled(done), Ok(())) => drop(done.send(Ok(()))),
            (Answer::Settled(done), Err(e)) => drop(done.send(Err(Error::new(e.kind(), e.message())))),
        }
    }
    for queue in queues {
        shared.wake(&queue);
    }
    batch.clear();
}

fn write(
    shared: &Shared,
    batch: &mut Vec<Operation>,
    counts: &mut HashMap<String, Counts>,
    answers: &mut Vec<Answer>,
    queues: &mut HashSet<String>,
) -> Result<()> {
    let transaction = shared.database.begin_write().map_err(failed)?;
    {
        let mut tables = Tables {
            messages: transaction.open_table(MESSAGES).map_err(failed)?,
            due: transaction.open_table(DUE).map_err(failed)?,
            dead: transaction.open_table(DEAD).map_err(failed)?,
            counter: transaction.open_table(COUNTER).map_err(failed)?,
        };
        // Every asker gets an answer, also when an operation fails: it is taken before it is carried out.
        let mut first_error = Ok(());
        for operation in batch.drain(..) {
            let (queue, result) = match operation {
                Operation::Send { queue, bodies, done } => {
                    let count = counts.entry(queue.clone()).or_default();
                    let result = tables.send(&queue, &bodies, count);
                    let (ids, result) = match result {
                        Ok(ids) => (ids, Ok(())),
                        Err(error) => (Vec::new(), Err(error)),
                    };
                    answers.push(Answer::Sent(done, ids));
                    (queue, result)
                }
                Operation::Settle { queue, fates, done } => {
                    answers.push(Answer::Settled(done));
                    let count = counts.entry(queue.clone()).or_default();
                    let result =
                        fates.iter().try_for_each(|(s, fate)| tables.settle(&queue, *s, fate, count));
                    (queue, result)
                }
                Operation::Clear { queue, done } => {
                    answers.push(Answer::Settled(done));
                    counts.remove(&queue);
                    let result = tables.clear(&queue);
                    (queue, result)
                }
            };
            queues.insert(queue);
            first_error = first_error.and(result);
        }
        first_error?;
    }
    transaction.commit().map_err(failed)
}

struct Tables<'a> {
    messages: redb::Table<'a, (&'static str, u64), Message>,
    due: redb::Table<'a, (&'static str, u64, u64), ()>,
    dead: redb::Table<'a, (&'static str, u64), Dead>,
    counter: redb::Table<'a, &'static str, u64>,
}

impl Tables<'_> {
    fn send(&mut self, queue: &str, bodies: &[Bytes], count: &mut Counts) -> Result<Vec<String>> {
        let first = self.counter.get("next").map_err(failed)?.map_or(1, |v| v.value());
        let now = now_ms();
        let mut next = first;
        for body in bodies {
            self.messages.insert((queue, next), (0, now, now, &body[..])).map_err(failed)?;
            self.due.insert((queue, now, next), ()).map_err(failed)?;
            next += 1;
        }
        self.counter.insert("next", next).map_err(failed)?;
        count.waiting += next - first;
        Ok((first..next).map(id).collect())
    }

    fn settle(&mut self, queue: &str, sequence: u64, fate: &Fate, count: &mut Counts) -> Result<()> {
        // Not there any more: the queue was cleared while the message was being delivered.
        let Some(old) = self.messages.remove((queue, sequence)).map_err(failed)? else { return Ok(()) };
        let (attempts, sent, due, body) = old.value();
        let (attempts, body) = (attempts.saturating_add(1), body.to_vec());
        drop(old);
        self.due.remove((queue, due, sequence)).map_err(failed)?;
        match fate {
            Fate::Retry(delay) => {
                let at = now_ms().saturating_add(ms(*delay));
                self.messages.insert((queue, sequence), (attempts, sent, at, &body[..])).map_err(failed)?;
                self.due.insert((queue, at, sequence), ()).map_err(failed)?;
                return Ok(());
            }
            Fate::Dead(why) => {
                let entry = (attempts, sent, why.as_str(), &body[..]);
                self.dead.insert((queue, sequence), entry).map_err(failed)?;
                count.dead += 1;
            }
            Fate::Done => {}
        }
        count.waiting = count.waiting.saturating_sub(1);
        Ok(())
    }

    fn clear(&mut self, queue: &str) -> Result<()> {
        let sequences = (queue, 0)..=(queue, u64::MAX);
        self.messages.retain_in(sequences.clone(), |_, _| false).map_err(failed)?;
        self.dead.retain_in(sequences, |_, _| false).map_err(failed)?;
        self.due.retain_in((queue, 0, 0)..=(queue, u64::MAX, u64::MAX), |_, ()| false).map_err(failed)
    }
}
