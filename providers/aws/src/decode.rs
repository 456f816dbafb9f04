//! Wire to event: what a payload is, told by its shape.

mod attribute_value;
mod http;
mod json;
mod queue;
mod records;

use ::http::HeaderName;
use bytes::{Bytes, BytesMut};
use xcloud_core::event::Batch;
use xcloud_core::{Error, ErrorKind, Result};

use self::json::{Fault, Text};
pub use self::records::Records;

/// Which front an HTTP request came through: it decides the shape of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// API Gateway HTTP APIs (payload 2.0) and function URLs.
    V2,
    /// API Gateway REST APIs (payload 1.0).
    V1,
    /// An application load balancer.
    Alb {
        /// Whether the target group sends and takes lists of values.
        multi: bool,
    },
}

/// One payload.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "requests are the common case and it is moved once: a box would cost more"
)]
pub enum Payload {
    /// A request, or why it cannot be one; the answer goes back in the shape of its origin.
    Http(Origin, Result<::http::Request<Bytes>>),
    /// Messages of the SQS queue with this name.
    Queue(String, Batch),
    /// Objects, schedules, changes, messages of topics, other events.
    Records(Records),
    /// Anything else, as it came.
    Raw(Bytes),
}

/// Reads a payload. What has no known shape is raw.
///
/// # Errors
/// [`ErrorKind::BadEvent`]: records that are not of their service's documented shape.
pub fn event(payload: &Bytes, scratch: &mut Scratch) -> Result<Payload> {
    match call(payload, scratch)? {
        Payload::Raw(raw) => Ok(records::read(&raw)?.map_or(Payload::Raw(raw), Payload::Records)),
        known => Ok(known),
    }
}

/// Reads a payload of an instance that takes requests and messages: what is neither is raw.
///
/// # Errors
/// [`ErrorKind::BadEvent`]: messages that are not of SQS's documented shape.
pub fn call(payload: &Bytes, scratch: &mut Scratch) -> Result<Payload> {
    let text = std::str::from_utf8(payload);
    let Some(wire) = text.ok().and_then(|_| http::Wire::read(payload, scratch).ok()) else {
        return Ok(Payload::Raw(payload.clone()));
    };
    if let Some(origin) = wire.origin() {
        return Ok(Payload::Http(origin, wire.request(origin, payload)));
    }
    match wire.records {
        Some(queue::Records::Sqs(records)) => queue::messages(records, payload, scratch),
        Some(queue::Records::Faulty(fault)) => Err(queue::undocumented(fault)),
        Some(queue::Records::Other) | None => Ok(Payload::Raw(payload.clone())),
    }
}

/// What decoding uses again, one for each loop.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Where bodies are written that stand escaped in their payload; its room is free again once nobody holds its last
    /// body.
    bodies: BytesMut,
    /// The names of the last request's headers, in order: most often the next one's too.
    names: Vec<HeaderName>,
}

/// More names than a front sends, and longer ones, are read anew each time.
const MAX_NAMES: usize = 64;
const MAX_NAME: usize = 64;

impl Scratch {
    /// Makes room for several bodies of so many bytes together.
    fn reserve(&mut self, bytes: usize) {
        self.bodies.reserve(bytes);
    }

    /// What a text of the payload says: a part of the payload where nothing in it is escaped.
    fn body(&mut self, text: Text<'_>, payload: &Bytes) -> Result<Bytes, Fault> {
        if text.escaped { text.write(&mut self.bodies) } else { Ok(payload.slice_ref(text.raw)) }
    }

    /// The name of a request's header, `at` in order; `None` when it cannot be one.
    fn name(&mut self, at: usize, name: &[u8]) -> Option<HeaderName> {
        if let Some(known) = self.names.get(at).filter(|known| known.as_str().as_bytes() == name) {
            return Some(known.clone());
        }
        let read = HeaderName::from_bytes(name).ok()?;
        if at < MAX_NAMES && name.len() <= MAX_NAME {
            match self.names.get_mut(at) {
                Some(known) => *known = read.clone(),
                None => self.names.push(read.clone()),
            }
        }
        Some(read)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        bad(format!("the payload is not of the documented shape: {fault}"))
    }
}

fn bad(message: String) -> Error {
    Error::new(ErrorKind::BadEvent, message)
}

#[cfg(test)]
mod tests;
