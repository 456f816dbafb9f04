//! `Record`: one event that is neither a request nor a queue's batch, as every room's `decode` makes it.

use std::time::SystemTime;

use bytes::Bytes;

use super::{ChangeKind, CloudEvent, ObjectAction, TriggerKind};

/// One object, schedule, change, topic or other event in neutral form.
#[derive(Debug, Clone)]
pub struct Record {
    /// The CloudEvents 1.0 attributes; `data` is the platform's own record. An event that came as a CloudEvent is
    /// here untouched.
    pub event: CloudEvent,
    /// What happened.
    pub payload: Payload,
    /// The platform's name of the bucket, table, topic or schedule: it chooses the function.
    pub source: String,
    /// What the platform wants a failure to be called: a stream's sequence number.
    pub position: Option<String>,
    /// Which delivery this is, counted from 1; `None` where the platform does not tell.
    pub attempt: Option<u32>,
}

impl Record {
    /// A record that is told neither position nor attempt.
    pub fn new(event: CloudEvent, payload: Payload, source: impl Into<String>) -> Self {
        Self { event, payload, source: source.into(), position: None, attempt: None }
    }

    /// The kind of trigger.
    pub const fn kind(&self) -> TriggerKind {
        match self.payload {
            Payload::Object { .. } => TriggerKind::Object,
            Payload::Tick { .. } => TriggerKind::Schedule,
            Payload::Change { .. } => TriggerKind::Change,
            Payload::Topic { .. } => TriggerKind::Topic,
            Payload::Event => TriggerKind::Event,
        }
    }
}

/// What happened. What a platform does not tell is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Payload {
    /// An object was written or removed.
    Object {
        /// The bucket (on Azure the container).
        bucket: String,
        /// The object's key, decoded.
        key: String,
        /// What happened to it.
        action: ObjectAction,
        /// Bytes.
        size: Option<u64>,
        /// The entity tag, without quotes.
        etag: Option<String>,
        /// The version or generation.
        version: Option<String>,
    },
    /// A scheduled time came.
    Tick {
        /// The schedule's name.
        name: Option<String>,
        /// The time it was due.
        scheduled: SystemTime,
    },
    /// A row changed.
    Change {
        /// What happened to it.
        kind: ChangeKind,
        /// The row's key as text; composite keys as JSON.
        key: String,
        /// The row before, as JSON.
        old: Option<Bytes>,
        /// The row after, as JSON.
        new: Option<Bytes>,
    },
    /// A message was published.
    Topic {
        /// The message, transport encodings taken off.
        body: Bytes,
        /// The publisher's attributes.
        attributes: Vec<(String, String)>,
    },
    /// Something else: the CloudEvent says what.
    Event,
}
