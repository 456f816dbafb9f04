//! The escape hatches: the platform's own bytes, and CloudEvents.

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{Decoded, Event, Incoming, TriggerKind, wrong_kind};
use crate::error::{Error, ErrorKind, Result};
use crate::outcome::{Done, Value};

/// Any event that no other handler takes, as the platform sent it.
#[derive(Debug, Clone)]
pub struct Raw(pub Bytes);

impl Raw {
    /// The bytes as JSON.
    ///
    /// # Errors
    /// [`ErrorKind::BadEvent`] when they are not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.0).map_err(|e| {
            Error::new(ErrorKind::BadEvent, format!("the event is not what this handler takes: {e}"))
        })
    }
}

impl Event for Raw {
    const KIND: TriggerKind = TriggerKind::Raw;
    type Output = Value;

    fn from_incoming(incoming: Incoming) -> Result<Decoded<Self>> {
        match incoming {
            Incoming::Raw(bytes) => Ok(Decoded::whole(Self(bytes))),
            other => Err(wrong_kind(TriggerKind::Raw, other.kind())),
        }
    }
}

/// A CloudEvent 1.0: context attributes and data (<https://github.com/cloudevents/spec>).
///
/// As a handler's event it takes everything that no other handler takes; what did not come as a CloudEvent is made
/// one, with the platform's own record as data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CloudEvent {
    /// Unique within `source`; together they identify the event and serve as its idempotency key.
    pub id: String,
    /// Where it happened, a URI reference.
    pub source: String,
    /// What happened, reverse-DNS.
    pub ty: String,
    /// What it is about within the source.
    pub subject: Option<String>,
    /// When it happened, RFC 3339.
    pub time: Option<String>,
    /// The media type of `data`.
    pub datacontenttype: Option<String>,
    /// Attributes beyond the standard ones.
    pub extensions: Vec<(String, String)>,
    /// The payload, decoded from base64 where it came so.
    pub data: Bytes,
}

impl CloudEvent {
    /// What identifies the event: the same on every delivery of it and on no other event. A handler that must not act
    /// twice remembers it.
    pub fn idempotency_key(&self) -> String {
        format!("{} {}", self.source, self.id)
    }

    /// The data as JSON.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] when it is not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.data).map_err(|e| {
            let message = format!("the data of event `{}` is not what this handler takes: {e}", self.id);
            Error::new(ErrorKind::BadRequest, message)
        })
    }

    /// An attribute beyond the standard ones.
    pub fn extension(&self, name: &str) -> Option<&str> {
        self.extensions.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }
}

impl Event for CloudEvent {
    const KIND: TriggerKind = TriggerKind::Event;
    type Output = Done;

    fn from_incoming(incoming: Incoming) -> Result<Decoded<Self>> {
        let kind = incoming.kind();
        match incoming.into_record() {
            Some((event, _)) => Ok(Decoded::whole(event)),
            None => Err(wrong_kind(TriggerKind::Event, kind)),
        }
    }
}
