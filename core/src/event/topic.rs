//! `Topic<T>`: one message of a publish-subscribe topic.

use std::ops::Deref;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{CloudEvent, Decoded, Event, Incoming, Payload, TriggerKind, from_json, wrong_kind};
use crate::error::{Error, ErrorKind, Result};
use crate::outcome::Done;

/// One published message, its body decoded from JSON (`Topic<()>` does not look at it: see [`Topic::bytes`]); it
/// dereferences to the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic<T> {
    /// The platform's id of the message.
    pub id: String,
    /// The decoded body.
    pub body: T,
    /// The publisher's attributes.
    pub attributes: Vec<(String, String)>,
    /// The event's CloudEvents attributes; see [`CloudEvent::idempotency_key`].
    pub event: CloudEvent,
    bytes: Bytes,
}

impl<T> Topic<T> {
    /// A message made by hand, for unit tests.
    pub fn new(id: impl Into<String>, body: T) -> Self {
        let (attributes, event, bytes) = (Vec::new(), CloudEvent::default(), Bytes::new());
        Self { id: id.into(), body, attributes, event, bytes }
    }

    /// The body as received.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// An attribute that the publisher set.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }
}

impl<T> Deref for Topic<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.body
    }
}

impl<T: DeserializeOwned + Send + 'static> Event for Topic<T> {
    const KIND: TriggerKind = TriggerKind::Topic;
    type Output = Done;

    fn from_incoming(incoming: Incoming) -> Result<Decoded<Self>> {
        let kind = incoming.kind();
        let Some((event, Payload::Topic { body: bytes, attributes })) = incoming.into_record() else {
            return Err(wrong_kind(TriggerKind::Topic, kind));
        };
        let body = from_json(&bytes).map_err(|e| {
            let message = format!("the message is not what this topic's handler takes: {e}");
            Error::new(ErrorKind::BadRequest, message)
        })?;
        Ok(Decoded::whole(Self { id: event.id.clone(), body, attributes, event, bytes }))
    }
}
