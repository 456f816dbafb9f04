//! What a handler receives: one type per kind of trigger.

mod change;
mod http;
pub mod neutral;
mod object;
mod params;
mod query;
mod queue;
mod raw;
mod record;
mod tick;
mod topic;

pub use self::change::{Change, ChangeKind};
pub use self::http::Http;
pub use self::object::{Object, ObjectAction};
pub use self::params::Params;
pub use self::query::Query;
pub use self::queue::{Batch, Message, Queue, RawMessage};
pub use self::raw::{CloudEvent, Raw};
pub use self::record::{Payload, Record};
pub use self::tick::Tick;
pub use self::topic::Topic;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};
use crate::outcome::Output;

/// The kind of trigger a handler answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TriggerKind {
    /// An HTTP request.
    Http,
    /// A batch of queue messages.
    Queue,
    /// Whatever bytes the platform hands over.
    Raw,
    /// Something happened to an object in a bucket.
    Object,
    /// A scheduled time came.
    Schedule,
    /// A row of a table changed.
    Change,
    /// A message was published.
    Topic,
    /// Any CloudEvent.
    Event,
}

impl TriggerKind {
    /// The word used in the Spec, in logs and in the attribute.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Queue => "queue",
            Self::Raw => "raw",
            Self::Object => "object",
            Self::Schedule => "schedule",
            Self::Change => "change",
            Self::Topic => "topic",
            Self::Event => "event",
        }
    }

    /// Whether its events are records: neither requests nor messages of a queue, nor bytes that nobody reads.
    pub const fn is_record(self) -> bool {
        !matches!(self, Self::Http | Self::Queue | Self::Raw)
    }
}

/// An event in neutral form, as every room's `decode` makes it.
#[derive(Debug)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "requests are the common case and it is moved twice: a box would cost more"
)]
pub enum Incoming {
    /// A request, its body read; core fills in the path parameters.
    Http(::http::Request<Bytes>),
    /// Messages of one queue.
    Queue(Batch),
    /// Any other event: its bytes.
    Raw(Bytes),
    /// An object, schedule, change, topic or other event.
    Record(Box<Record>),
}

impl Incoming {
    /// The kind of trigger that this is.
    pub const fn kind(&self) -> TriggerKind {
        match self {
            Self::Http(_) => TriggerKind::Http,
            Self::Queue(_) => TriggerKind::Queue,
            Self::Raw(_) => TriggerKind::Raw,
            Self::Record(record) => record.kind(),
        }
    }

    pub(crate) fn into_record(self) -> Option<(CloudEvent, Payload)> {
        match self {
            Self::Record(record) => Some((record.event, record.payload)),
            _ => None,
        }
    }
}

/// A type that can be a handler's first argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an xcloud event",
    label = "not an event",
    note = "a handler's first argument is the event: `Http<T>` for HTTP, `Queue<T>` for a queue, `Topic<T>`, `Object`, `Tick`, `Change<T>`, `CloudEvent`, or `Raw` for anything else; `T` is your `serde::Deserialize` type"
)]
pub trait Event: Sized + Send {
    /// The kind of trigger that produces it.
    const KIND: TriggerKind;
    /// What a handler of this event may answer.
    type Output: Output;

    /// Reads the event out of its neutral form.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`], [`ErrorKind::UnsupportedMediaType`] or [`ErrorKind::BadEvent`] when it is not one.
    fn from_incoming(incoming: Incoming) -> Result<Decoded<Self>>;
}

/// An event as decoded, with the parts of it that could not be.
#[derive(Debug)]
pub struct Decoded<E> {
    /// What the handler gets; `None` when nothing is left to hand over.
    pub event: Option<E>,
    /// Messages that are not what the handler takes: their ids and why. They are reported as failed.
    pub rejected: Vec<(String, Error)>,
}

impl<E> Decoded<E> {
    /// All of it could be decoded.
    pub const fn whole(event: E) -> Self {
        Self { event: Some(event), rejected: Vec::new() }
    }
}

/// The error for an event of another kind than the handler's: a mistake of the room, not of the user.
pub(crate) fn wrong_kind(wanted: TriggerKind, got: TriggerKind) -> Error {
    Error::new(
        ErrorKind::BadEvent,
        format!("expected a {} event, got a {} event", wanted.as_str(), got.as_str()),
    )
}

/// Decodes JSON into `T`. `()` takes any body and does not look at it; an empty body reads as `null`,
/// so that `Option<T>` is `None`.
pub(crate) fn from_json<T: DeserializeOwned + 'static>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let ignore = std::any::TypeId::of::<T>() == std::any::TypeId::of::<()>();
    // As text: one look at the whole is cheaper than one at each string in it.
    match std::str::from_utf8(bytes) {
        _ if ignore || bytes.is_empty() => serde_json::from_str("null"),
        Ok(text) => serde_json::from_str(text),
        Err(error) => Err(serde::de::Error::custom(error)),
    }
}

/// Whether `T` is `()`, the type of a body that the handler does not want decoded.
pub(crate) fn is_unit<T: 'static>() -> bool {
    std::any::TypeId::of::<T>() == std::any::TypeId::of::<()>()
}
