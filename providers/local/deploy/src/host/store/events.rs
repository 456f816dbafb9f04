//! Events: handed to the queues of their functions, in one commit with what they come from.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use xcloud_core::Result;
use xcloud_core::cloudevents;
use xcloud_core::event::{ChangeKind, CloudEvent, Payload, Record, neutral};
use xcloud_core::text::rfc3339;

use super::keys;
use super::queues::send;
use super::tree::Batch;
use super::trouble::Stored;
use super::{Counted, Store, lock, next};

/// Who takes the changes of a table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Feed {
    /// The changes' CloudEvents source.
    pub(crate) source: String,
    /// The queues of the functions.
    pub(crate) queues: Vec<String>,
}

/// Something to remember beside an event: a row of a table that no app can have.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    pub(crate) table: String,
    pub(crate) key: String,
    /// `None` forgets it.
    pub(crate) value: Option<Bytes>,
}

impl Store {
    /// From now on the changes of these tables are handed to these queues, and of no other.
    pub(crate) fn feed(&self, feeds: BTreeMap<String, Feed>) {
        *lock(&self.feeds) = feeds;
    }

    pub(super) fn feed_of(&self, table: &str) -> Option<Feed> {
        lock(&self.feeds).get(table).cloned()
    }

    /// Hands an event to every queue and writes the note down, all or nothing.
    pub(crate) async fn emit(&self, queues: &[String], event: &Record, note: Option<Note>) -> Result<()> {
        let (names, body) = (queues.to_vec(), written(event));
        self.write("", move |batch| {
            for queue in &names {
                send(batch, queue, std::slice::from_ref(&body))?;
            }
            if let Some(note) = &note {
                remember(batch, note)?;
            }
            Ok(Ok(()))
        })
        .await?;
        self.wake(queues)
    }

    /// Tells whoever waits for these queues.
    pub(super) fn wake(&self, queues: &[String]) -> Result<()> {
        let open = self.opened()?;
        queues.iter().for_each(|queue| open.shared.wake(queue));
        Ok(())
    }
}

/// An event as it lies in a queue: a structured CloudEvent in the neutral form.
fn written(event: &Record) -> Bytes {
    cloudevents::to_json(&neutral::to_cloud_event(event)).to_string().into()
}

fn remember(batch: &mut Batch<'_>, note: &Note) -> Stored<()> {
    let at = keys::row(&note.table, &note.key);
    let rows = |by| (Counted::Rows(note.table.clone()), by);
    match &note.value {
        Some(value) => {
            let mut row = next(batch, 1)?.to_be_bytes().to_vec();
            row.extend_from_slice(value);
            let is_new = batch.get(&at)?.is_none();
            batch.put(&at, &row)?;
            batch.counted.push(rows(i64::from(is_new)));
        }
        None => {
            let there = batch.remove(&at)?.is_some();
            batch.counted.push(rows(-i64::from(there)));
        }
    }
    Ok(())
}

/// Hands a change to the functions that take the table's, in the commit that makes it. The images are rows' values
/// without their version.
pub(super) fn changed(
    batch: &mut Batch<'_>,
    feed: &Feed,
    (table, key): (&str, &str),
    (old, new): (Option<&[u8]>, Option<&[u8]>),
) -> Stored<()> {
    let kind = match (old, new) {
        (None, _) => ChangeKind::Created,
        (Some(_), Some(_)) => ChangeKind::Updated,
        (Some(_), None) => ChangeKind::Deleted,
    };
    let sequence = next(batch, 1)?;
    let event = CloudEvent {
        id: format!("{sequence:016x}"),
        source: feed.source.clone(),
        subject: Some(key.to_owned()),
        time: Some(rfc3339(SystemTime::now())),
        ..CloudEvent::default()
    };
    let [old, new] = [old, new].map(|image| image.map(Bytes::copy_from_slice));
    let payload = Payload::Change { kind, key: key.to_owned(), old, new };
    let mut record = Record::new(event, payload, table);
    record.position = Some(sequence.to_string());
    let body = written(&record);
    for queue in &feed.queues {
        send(batch, queue, std::slice::from_ref(&body))?;
    }
    Ok(())
}
