//! Queues: messages that wait, messages being handled, messages put aside.
//!
//! What is being handled is known in memory alone, for a time: a host that was killed hands those messages out again
//! at once, with the same attempt number. An attempt counts when it has ended.

use std::collections::HashMap;
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use xcloud_core::Result;
use xcloud_core::event::RawMessage;

use super::keys::{self, Kind};
use super::tree::{Batch, Tree};
use super::trouble::{Stored, Trouble};
use super::writer::Shared;
use super::{Counted, STEP, Store, lock, ms, next, now_ms};

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
    /// Not done, those being handled too.
    pub(crate) waiting: u64,
    /// Being handled.
    pub(crate) in_flight: u64,
    pub(crate) dead: u64,
}

/// Messages to deliver, or when to look again.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) messages: Vec<RawMessage>,
    /// Names this claim to [`Store::settle`].
    pub(crate) receipt: u64,
    /// When nothing is due now: the time until something is.
    pub(crate) next: Option<Duration>,
}

/// A message as it lies in its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) id: String,
    /// Ended deliveries.
    pub(crate) attempts: u32,
    /// Milliseconds since 1970.
    pub(crate) sent: u64,
    /// Milliseconds since 1970; `None` for one that was put aside.
    pub(crate) due: Option<u64>,
    pub(crate) in_flight: bool,
    /// Why it was put aside.
    pub(crate) why: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// What is being handled.
#[derive(Debug, Default)]
pub(super) struct Taken {
    claims: u64,
    /// By queue and sequence number: by whom, and until when.
    queues: HashMap<String, HashMap<u64, (u64, Instant)>>,
}

impl Taken {
    /// The time until it may be handed out again, if it is being handled.
    fn left(&self, queue: &str, sequence: u64, now: Instant) -> Option<Duration> {
        let (_, until) = self.queues.get(queue)?.get(&sequence)?;
        until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    fn is_of(&self, queue: &str, sequence: u64, receipt: u64) -> bool {
        self.queues.get(queue).and_then(|q| q.get(&sequence)).is_some_and(|(of, _)| *of == receipt)
    }

    fn take(&mut self, queue: &str, sequence: u64, receipt: u64, until: Instant) {
        self.queues.entry(queue.to_owned()).or_default().insert(sequence, (receipt, until));
    }

    fn release(&mut self, queue: &str, sequence: u64, receipt: u64) {
        if self.is_of(queue, sequence, receipt)
            && let Some(taken) = self.queues.get_mut(queue)
        {
            taken.remove(&sequence);
        }
    }

    fn count(&self, queue: &str) -> u64 {
        let now = Instant::now();
        self.queues
            .get(queue)
            .map_or(0, |taken| taken.values().filter(|(_, until)| *until > now).count() as u64)
    }
}

/// A message's id; sequence numbers are never used again.
fn id(sequence: u64) -> String {
    format!("{sequence:016x}")
}

fn sequence(id: &str) -> Option<u64> {
    u64::from_str_radix(id, 16).ok()
}

impl Store {
    /// Stores messages and returns their ids once they are kept.
    pub(crate) async fn send(&self, queue: &str, bodies: Vec<Bytes>) -> Result<Vec<String>> {
        let name = queue.to_owned();
        self.write(queue, move |batch| Ok(Ok(send(batch, &name, &bodies)?))).await
    }

    /// Takes up to `limit` messages that are due, oldest due first. They are handed out again when they are not settled
    /// within `visibility`.
    pub(crate) async fn claim(&self, queue: &str, limit: usize, visibility: Duration) -> Result<Claim> {
        let queue = queue.to_owned();
        self.read(move |shared, tree| claim(shared, tree, &queue, limit, visibility)).await
    }

    /// Ends the handling of messages that [`Store::claim`] handed out. Of a claim whose time has run out only what is
    /// done counts: the rest is in other hands.
    pub(crate) async fn settle(&self, queue: &str, receipt: u64, fates: &[(String, Fate)]) -> Result<()> {
        let open = self.opened()?;
        let numbered = fates.iter().filter_map(|(id, fate)| Some((sequence(id)?, fate)));
        let mine = |(sequence, fate): &(u64, &Fate)| {
            **fate == Fate::Done || lock(&open.shared.taken).is_of(queue, *sequence, receipt)
        };
        let fates: Vec<_> = numbered.filter(mine).map(|(sequence, fate)| (sequence, fate.clone())).collect();
        let sequences: Vec<_> = fates.iter().map(|(sequence, _)| *sequence).collect();
        let name = queue.to_owned();
        let result = self
            .write(queue, move |batch| {
                fates.iter().try_for_each(|(sequence, fate)| settle(batch, &name, *sequence, fate))?;
                Ok(Ok(()))
            })
            .await;
        open.shared.release(queue, receipt, sequences);
        result
    }

    /// Hands back messages that were not delivered after all.
    pub(crate) fn unclaim(&self, queue: &str, claim: &Claim) {
        // Not open any more: nothing is taken.
        let Ok(open) = self.opened() else { return };
        open.shared.release(queue, claim.receipt, claim.messages.iter().filter_map(|m| sequence(&m.id)));
    }

    /// How many messages a queue holds.
    pub(crate) fn counts(&self, queue: &str) -> Counts {
        let waiting = self.count(&Counted::Waiting(queue.to_owned()));
        let dead = self.count(&Counted::Dead(queue.to_owned()));
        let in_flight = lock(&self.open).as_ref().map_or(0, |open| lock(&open.shared.taken).count(queue));
        Counts { waiting, in_flight: in_flight.min(waiting), dead }
    }

    /// The oldest messages, without taking them.
    pub(crate) async fn peek(&self, queue: &str, dead: bool, limit: usize) -> Result<Vec<Held>> {
        if !self.exists() {
            return Ok(Vec::new());
        }
        let queue = queue.to_owned();
        self.read(move |shared, tree| peek(shared, tree, &queue, dead, limit)).await
    }

    /// Makes every message that was put aside wait again, as if it had never been delivered. Gives their number.
    pub(crate) async fn redrive(&self, queue: &str) -> Result<u64> {
        self.in_steps(queue, redrive).await
    }

    /// Removes the messages that wait, or those that were put aside. Gives their number.
    pub(crate) async fn purge(&self, queue: &str, dead: bool) -> Result<u64> {
        let purge = if dead { purge_dead } else { purge_waiting };
        self.in_steps(queue, purge).await
    }

    /// Removes everything in a queue.
    pub(crate) async fn clear(&self, queue: &str) -> Result<()> {
        self.purge(queue, true).await?;
        self.purge(queue, false).await.map(drop)
    }

    /// A queue may be long: one commit for each part, so that others are not kept waiting.
    pub(super) async fn in_steps(
        &self,
        queue: &str,
        step: fn(&mut Batch<'_>, &str) -> Stored<u64>,
    ) -> Result<u64> {
        let mut all = 0;
        if !self.exists() {
            return Ok(all);
        }
        loop {
            let name = queue.to_owned();
            let some = self.write(queue, move |batch| Ok(Ok(step(batch, &name)?))).await?;
            all += some;
            if some < STEP as u64 {
                return Ok(all);
            }
        }
    }
}

impl Shared {
    fn release(&self, queue: &str, receipt: u64, sequences: impl IntoIterator<Item = u64>) {
        let mut taken = lock(&self.taken);
        sequences.into_iter().for_each(|sequence| taken.release(queue, sequence, receipt));
        drop(taken);
        self.wake(queue);
    }
}

/// `taken` is locked before the snapshot is made: a message leaves `taken` only after the commit that settles it, so
/// one that is not in `taken` and still in the snapshot is really there to deliver.
fn claim(shared: &Shared, tree: &Tree, queue: &str, limit: usize, visibility: Duration) -> Stored<Claim> {
    let mut taken = lock(&shared.taken);
    let state = tree.read()?;
    taken.claims += 1;
    let receipt = taken.claims;
    let (now, now_ms) = (Instant::now(), now_ms());
    let mut found = Claim { messages: Vec::new(), receipt, next: None };
    let sooner = |next: Option<Duration>, left: Duration| Some(next.map_or(left, |next| next.min(left)));
    state.keys(&keys::prefix(Kind::Due, queue), |key| {
        let (at, sequence) = due(key)?;
        if let Some(left) = taken.left(queue, sequence, now) {
            found.next = sooner(found.next, left);
            return Ok(true);
        }
        if at > now_ms {
            found.next = sooner(found.next, Duration::from_millis(at - now_ms));
            return Ok(false);
        }
        if found.messages.len() == limit {
            return Ok(false);
        }
        let Some(value) = state.get(&keys::numbered(Kind::Message, queue, sequence))? else {
            return Ok(true);
        };
        let (attempts, sent, _, body) = message(&value)?;
        taken.take(queue, sequence, receipt, now + visibility);
        found.messages.push(RawMessage {
            id: id(sequence),
            body: Bytes::copy_from_slice(body),
            attempt: Some(attempts.saturating_add(1)),
            sent: UNIX_EPOCH.checked_add(Duration::from_millis(sent)),
            attributes: Vec::new(),
        });
        Ok(true)
    })?;
    Ok(found)
}

pub(super) fn send(batch: &mut Batch<'_>, queue: &str, bodies: &[Bytes]) -> Stored<Vec<String>> {
    let first = next(batch, bodies.len() as u64)?;
    let now = now_ms();
    let mut ids = Vec::with_capacity(bodies.len());
    for (sequence, body) in (first..).zip(bodies) {
        put(batch, queue, sequence, (0, now, now, body))?;
        ids.push(id(sequence));
    }
    count(batch, Counted::Waiting(queue.to_owned()), bodies.len() as i64);
    Ok(ids)
}

fn count(batch: &mut Batch<'_>, counted: Counted, by: i64) {
    batch.counted.push((counted, by));
}

/// Attempts made, when it was sent, when it is due, body.
type Message<'a> = (u32, u64, u64, &'a [u8]);

fn put(
    batch: &mut Batch<'_>,
    queue: &str,
    sequence: u64,
    (attempts, sent, at, body): Message<'_>,
) -> Stored<()> {
    let mut value = Vec::with_capacity(4 + 8 + 8 + body.len());
    value.extend_from_slice(&attempts.to_be_bytes());
    value.extend_from_slice(&sent.to_be_bytes());
    value.extend_from_slice(&at.to_be_bytes());
    value.extend_from_slice(body);
    batch.put(&keys::numbered(Kind::Message, queue, sequence), &value)?;
    batch.put(&keys::due(queue, at, sequence), &[])
}

fn damaged(what: &str) -> Trouble {
    Trouble::Damaged(format!("{what} is not in its form"))
}

fn message(value: &[u8]) -> Stored<Message<'_>> {
    let parts = || {
        let (attempts, rest) = value.split_first_chunk::<4>()?;
        let (sent, rest) = rest.split_first_chunk::<8>()?;
        let (at, body) = rest.split_first_chunk::<8>()?;
        Some((u32::from_be_bytes(*attempts), u64::from_be_bytes(*sent), u64::from_be_bytes(*at), body))
    };
    parts().ok_or_else(|| damaged("a message"))
}

/// When it is due, and the sequence number.
fn due(key: &[u8]) -> Stored<(u64, u64)> {
    let numbers = || {
        let (_, _, rest) = keys::split(key)?;
        let (at, sequence) = rest.split_at_checked(8)?;
        Some((keys::number(at)?, keys::number(sequence)?))
    };
    numbers().ok_or_else(|| damaged("a time"))
}

/// The sequence number of a message's key.
fn number(key: &[u8]) -> Stored<u64> {
    keys::split(key).and_then(|(_, _, rest)| keys::number(rest)).ok_or_else(|| damaged("a key"))
}

/// Attempts made, when it was sent, why it was put aside, body.
type Dead<'a> = (u32, u64, &'a str, &'a [u8]);

fn dead(value: &[u8]) -> Stored<Dead<'_>> {
    let parts = || {
        let (attempts, rest) = value.split_first_chunk::<4>()?;
        let (sent, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (why, body) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let why = std::str::from_utf8(why).ok()?;
        Some((u32::from_be_bytes(*attempts), u64::from_be_bytes(*sent), why, body))
    };
    parts().ok_or_else(|| damaged("a message that was put aside"))
}

fn put_aside(
    batch: &mut Batch<'_>,
    queue: &str,
    sequence: u64,
    (attempts, sent, why, body): Dead<'_>,
) -> Stored<()> {
    let mut value = Vec::with_capacity(4 + 8 + 4 + why.len() + body.len());
    value.extend_from_slice(&attempts.to_be_bytes());
    value.extend_from_slice(&sent.to_be_bytes());
    value.extend_from_slice(&u32::try_from(why.len()).unwrap_or_default().to_be_bytes());
    value.extend_from_slice(why.as_bytes());
    value.extend_from_slice(body);
    batch.put(&keys::numbered(Kind::Dead, queue, sequence), &value)
}

fn settle(batch: &mut Batch<'_>, queue: &str, sequence: u64, fate: &Fate) -> Stored<()> {
    // Not there any more: the queue was cleared while the message was being delivered.
    let Some(old) = batch.remove(&keys::numbered(Kind::Message, queue, sequence))? else { return Ok(()) };
    let (attempts, sent, at, body) = message(&old)?;
    batch.remove(&keys::due(queue, at, sequence))?;
    let attempts = attempts.saturating_add(1);
    match fate {
        Fate::Retry(delay) => {
            let at = now_ms().saturating_add(ms(*delay));
            return put(batch, queue, sequence, (attempts, sent, at, body));
        }
        Fate::Dead(why) => {
            put_aside(batch, queue, sequence, (attempts, sent, why, body))?;
            count(batch, Counted::Dead(queue.to_owned()), 1);
        }
        Fate::Done => {}
    }
    count(batch, Counted::Waiting(queue.to_owned()), -1);
    Ok(())
}

fn peek(shared: &Shared, tree: &Tree, queue: &str, is_dead: bool, limit: usize) -> Stored<Vec<Held>> {
    let prefix = keys::prefix(if is_dead { Kind::Dead } else { Kind::Message }, queue);
    let found = tree.read()?.scan(&prefix, &prefix, limit)?;
    let (taken, now) = (lock(&shared.taken), Instant::now());
    let held = |(key, value): &(Vec<u8>, Vec<u8>)| {
        let sequence = number(key)?;
        let id = id(sequence);
        if is_dead {
            let (attempts, sent, why, body) = dead(value)?;
            let (why, body) = (Some(why.to_owned()), body.to_vec());
            return Ok(Held { id, attempts, sent, due: None, in_flight: false, why, body });
        }
        let (attempts, sent, due, body) = message(value)?;
        let in_flight = taken.left(queue, sequence, now).is_some();
        Ok(Held { id, attempts, sent, due: Some(due), in_flight, why: None, body: body.to_vec() })
    };
    found.iter().map(held).collect()
}

fn redrive(batch: &mut Batch<'_>, queue: &str) -> Stored<u64> {
    let prefix = keys::prefix(Kind::Dead, queue);
    let found = batch.scan(&prefix, &prefix, STEP)?;
    for (key, value) in &found {
        let (_, sent, _, body) = dead(value)?;
        batch.remove(key)?;
        put(batch, queue, number(key)?, (0, sent, now_ms(), body))?;
    }
    count(batch, Counted::Dead(queue.to_owned()), -(found.len() as i64));
    count(batch, Counted::Waiting(queue.to_owned()), found.len() as i64);
    Ok(found.len() as u64)
}

fn purge_dead(batch: &mut Batch<'_>, queue: &str) -> Stored<u64> {
    let prefix = keys::prefix(Kind::Dead, queue);
    let found = batch.scan(&prefix, &prefix, STEP)?;
    for (key, _) in &found {
        batch.remove(key)?;
    }
    count(batch, Counted::Dead(queue.to_owned()), -(found.len() as i64));
    Ok(found.len() as u64)
}

fn purge_waiting(batch: &mut Batch<'_>, queue: &str) -> Stored<u64> {
    let prefix = keys::prefix(Kind::Due, queue);
    let found = batch.scan(&prefix, &prefix, STEP)?;
    for (key, _) in &found {
        batch.remove(&keys::numbered(Kind::Message, queue, due(key)?.1))?;
        batch.remove(key)?;
    }
    count(batch, Counted::Waiting(queue.to_owned()), -(found.len() as i64));
    Ok(found.len() as u64)
}
