//! `Object`: something happened to an object in a bucket.

use super::{CloudEvent, Decoded, Event, Incoming, Payload, TriggerKind, wrong_kind};
use crate::error::Result;
use crate::outcome::Done;

/// What happened to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ObjectAction {
    /// It was written; whether it was there before, platforms do not tell.
    Created,
    /// It was removed.
    Deleted,
}

impl ObjectAction {
    /// The word used in the attribute and the Spec.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Deleted => "deleted",
        }
    }
}

/// An object-storage event. What a platform does not tell is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The bucket as the platform calls it (on Azure the container).
    pub bucket: String,
    /// The object's key, decoded.
    pub key: String,
    /// What happened.
    pub action: ObjectAction,
    /// Bytes.
    pub size: Option<u64>,
    /// The entity tag, without quotes.
    pub etag: Option<String>,
    /// The version or generation.
    pub version: Option<String>,
    /// The event's CloudEvents attributes; see [`CloudEvent::idempotency_key`].
    pub event: CloudEvent,
}

impl Object {
    /// A created object, for unit tests.
    pub fn new(bucket: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            key: key.into(),
            action: ObjectAction::Created,
            size: None,
            etag: None,
            version: None,
            event: CloudEvent::default(),
        }
    }
}

impl Event for Object {
    const KIND: TriggerKind = TriggerKind::Object;
    type Output = Done;

    fn from_incoming(incoming: Incoming) -> Result<Decoded<Self>> {
        let kind = incoming.kind();
        match incoming.into_record() {
            Some((event, Payload::Object { bucket, key, action, size, etag, version })) => {
                Ok(Decoded::whole(Self { bucket, key, action, size, etag, version, event }))
            }
            _ => Err(wrong_kind(TriggerKind::Object, kind)),
        }
    }
}
