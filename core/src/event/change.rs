//! `Change<T>`: a row or document of a table changed.

use serde::de::DeserializeOwned;

use super::{CloudEvent, Decoded, Event, Incoming, Payload, TriggerKind, from_json, wrong_kind};
use crate::error::{Error, ErrorKind, Result};
use crate::outcome::Done;

/// What happened to the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ChangeKind {
    /// It is new.
    Created,
    /// It was there before. Where a platform does not tell new rows from old ones (Cosmos DB), all are this.
    Updated,
    /// It is gone.
    Deleted,
}

/// One change of a row. What a platform does not give (Cosmos DB has no before-image) is `None`.
///
/// Changes of one row come in their order, but for one that failed: it may come again after later ones. A change whose images
/// are not a `T` never reaches the handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<T> {
    /// What happened.
    pub kind: ChangeKind,
    /// The row's key as text; composite keys as JSON.
    pub key: String,
    /// The row before.
    pub old: Option<T>,
    /// The row after.
    pub new: Option<T>,
    /// The event's CloudEvents attributes; see [`CloudEvent::idempotency_key`].
    pub event: CloudEvent,
}

impl<T> Change<T> {
    /// A new row, for unit tests.
    pub fn created(key: impl Into<String>, new: T) -> Self {
        let event = CloudEvent::default();
        Self { kind: ChangeKind::Created, key: key.into(), old: None, new: Some(new), event }
    }
}

impl<T: DeserializeOwned + Send + 'static> Event for Change<T> {
    const KIND: TriggerKind = TriggerKind::Change;
    type Output = Done;

    fn from_incoming(incoming: Incoming) -> Result<Decoded<Self>> {
        let from = incoming.kind();
        let Some((event, Payload::Change { kind, key, old, new })) = incoming.into_record() else {
            return Err(wrong_kind(TriggerKind::Change, from));
        };
        let read = |image: Option<bytes::Bytes>, which: &str| {
            image.map(|json| from_json(&json)).transpose().map_err(|e| {
                let message = format!("the {which} row `{key}` is not what this table's handler takes: {e}");
                Error::new(ErrorKind::BadRequest, message)
            })
        };
        let (old, new) = (read(old, "old")?, read(new, "new")?);
        Ok(Decoded::whole(Self { kind, key, old, new, event }))
    }
}
