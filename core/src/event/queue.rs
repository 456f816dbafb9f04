//! `Queue<T>`: a batch of messages of one queue.

use std::ops::Deref;
use std::time::SystemTime;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{Decoded, Event, Incoming, TriggerKind, from_json, wrong_kind};
use crate::error::{Error, ErrorKind, Result};
use crate::outcome::Ack;

/// A message as the platform gave it.
#[derive(Debug, Clone, Default)]
pub struct RawMessage {
    /// The platform's id of the message; partial failures name it.
    pub id: String,
    /// The body, transport encodings (base64, JSON strings) taken off.
    pub body: Bytes,
    /// How many times it has been delivered, this one counted; `None` where the platform does not tell.
    pub attempt: Option<u32>,
    /// When it was sent, where the platform tells.
    pub sent: Option<SystemTime>,
    /// The sender's attributes.
    pub attributes: Vec<(String, String)>,
}

/// Messages of one queue in neutral form.
#[derive(Debug, Default)]
pub struct Batch {
    /// The messages in the order of the queue.
    pub messages: Vec<RawMessage>,
}

/// One message, its body decoded from JSON; it dereferences to the body.
#[derive(Debug)]
pub struct Message<T> {
    raw: RawMessage,
    body: T,
}

impl<T> Message<T> {
    /// A message made by hand, for unit tests.
    pub fn new(id: impl Into<String>, body: T) -> Self {
        Self { raw: RawMessage { id: id.into(), ..RawMessage::default() }, body }
    }

    /// The platform's id: unique, and the same on every delivery.
    pub fn id(&self) -> &str {
        &self.raw.id
    }

    /// How many times it has been delivered, this one counted.
    pub fn attempt(&self) -> Option<u32> {
        self.raw.attempt
    }

    /// When it was sent.
    pub fn sent(&self) -> Option<SystemTime> {
        self.raw.sent
    }

    /// The body as received.
    pub fn bytes(&self) -> &Bytes {
        &self.raw.body
    }

    /// An attribute that the sender set.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.raw.attributes.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// The decoded body; `*message` and `message.field` reach it too.
    pub fn body(&self) -> &T {
        &self.body
    }

    /// Takes the decoded body out.
    pub fn into_body(self) -> T {
        self.body
    }
}

impl<T> Deref for Message<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.body
    }
}

/// A batch of messages whose bodies are JSON of type `T` (`Queue<()>` does not look at them: see [`Message::bytes`]).
///
/// A message that is not a `T` never reaches the handler: it is logged and reported as failed, and the others go on.
#[derive(Debug)]
pub struct Queue<T> {
    messages: Vec<Message<T>>,
}

impl<T> Queue<T> {
    /// A batch made by hand, for unit tests.
    pub fn new(messages: Vec<Message<T>>) -> Self {
        Self { messages }
    }

    /// How many messages.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The messages in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Message<T>> {
        self.messages.iter()
    }
}

impl<T> IntoIterator for Queue<T> {
    type Item = Message<T>;
    type IntoIter = std::vec::IntoIter<Message<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.messages.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Queue<T> {
    type Item = &'a Message<T>;
    type IntoIter = std::slice::Iter<'a, Message<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.messages.iter()
    }
}

impl<T: DeserializeOwned + Send + 'static> Event for Queue<T> {
    const KIND: TriggerKind = TriggerKind::Queue;
    type Output = Ack;

    fn from_incoming(incoming: Incoming) -> Result<Decoded<Self>> {
        let Incoming::Queue(batch) = incoming else {
            return Err(wrong_kind(TriggerKind::Queue, incoming.kind()));
        };
        let mut messages = Vec::with_capacity(batch.messages.len());
        let mut rejected = Vec::new();
        for raw in batch.messages {
            match from_json(&raw.body) {
                Ok(body) => messages.push(Message { raw, body }),
                Err(error) => {
                    let why = Error::new(
                        ErrorKind::BadRequest,
                        format!("the message is not what this queue's handler takes: {error}"),
                    );
                    rejected.push((raw.id, why));
                }
            }
        }
        let event = (!messages.is_empty() || rejected.is_empty()).then_some(Self { messages });
        Ok(Decoded { event, rejected })
    }
}
