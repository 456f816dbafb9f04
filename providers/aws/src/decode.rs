//! Wire to event: what a payload is, told by its shape.

mod attribute_value;
mod http;
mod json;
mod queue;
mod records;

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
pub fn event(payload: &Bytes, bodies: &mut Bodies) -> Result<Payload> {
    let text = std::str::from_utf8(payload);
    let Some(wire) = text.ok().and_then(|_| http::Wire::read(payload, bodies).ok()) else {
        return Ok(Payload::Raw(payload.clone()));
    };
    if let Some(origin) = wire.origin() {
        return Ok(Payload::Http(origin, wire.request(origin, payload)));
    }
    match wire.records {
        Some(list) => queue::read(list, payload, bodies),
        None => Ok(records::read(payload)?.map_or_else(|| Payload::Raw(payload.clone()), Payload::Records)),
    }
}

/// Where bodies are written that stand escaped in their payload: one buffer, used again once nobody holds its last body.
#[derive(Debug, Default)]
pub struct Bodies(BytesMut);

impl Bodies {
    /// Makes room for several bodies of so many bytes together.
    fn reserve(&mut self, bytes: usize) {
        self.0.reserve(bytes);
    }

    /// What a text of the payload says: a part of the payload where nothing in it is escaped.
    fn body(&mut self, text: Text<'_>, payload: &Bytes) -> Result<Bytes, Fault> {
        if text.escaped { text.write(&mut self.0) } else { Ok(payload.slice_ref(text.raw)) }
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
