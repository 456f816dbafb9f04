//! Wire to event: Pub/Sub, Cloud Scheduler, CloudEvents as Eventarc and Knative deliver them, legacy events, and
//! whatever else is posted to an event function. What each type means is listed in `docs/events.md`.

pub mod firestore;
pub mod legacy;
pub mod protobuf;
mod pubsub;
mod scheduler;
mod storage;

use bytes::Bytes;
use http::HeaderMap;
use xcloud_core::cloudevents::{self, Mode};
use xcloud_core::event::{CloudEvent, Incoming, Payload, Record, neutral};
use xcloud_core::{Error, ErrorKind, Result};

pub use self::pubsub::is_push;
use crate::binding::{PUBSUB_TYPE, SCHEDULER_TYPE, STORAGE_TYPES};

/// One event of a delivery.
#[derive(Debug)]
pub struct Delivery {
    /// The platform's id of the event.
    pub id: Option<String>,
    /// Which delivery this is, where the platform tells.
    pub attempt: Option<u32>,
    /// What may name the function of a message: its topic, then its subscription; empty for other events.
    pub names: Vec<String>,
    /// The event: a message as a batch of one, a record, or bytes of no known shape.
    pub incoming: Incoming,
    /// Of a message: the same as a CloudEvent.
    event: Option<CloudEvent>,
    /// What came, unless it was a CloudEvent.
    body: Option<Bytes>,
}

impl Delivery {
    /// What a raw handler takes: the bytes that came; a CloudEvent, whose attributes may have come in headers, as JSON.
    pub fn raw(&self) -> Bytes {
        if let Some(body) = &self.body {
            return body.clone();
        }
        let json = |event| Bytes::from(cloudevents::to_json(event).to_string());
        match (&self.event, &self.incoming) {
            (Some(event), _) => json(event),
            (None, Incoming::Record(record)) => json(&record.event),
            _ => Bytes::new(),
        }
    }

    /// The message as one of a topic.
    pub fn topic(&self) -> Option<Record> {
        let (Some(event), Incoming::Queue(batch)) = (&self.event, &self.incoming) else { return None };
        let message = batch.messages.first()?;
        let payload = Payload::Topic { body: message.body.clone(), attributes: message.attributes.clone() };
        let source = self.names.first().cloned().unwrap_or_default();
        Some(Record { attempt: self.attempt, ..Record::new(event.clone(), payload, source) })
    }

    /// The event of a bucket that the message tells of, if it is a bucket's own notification.
    ///
    /// # Errors
    /// [`ErrorKind::BadEvent`]: it says that it is one and has not its shape.
    pub fn object(&self) -> Result<Option<Record>> {
        let Incoming::Queue(batch) = &self.incoming else { return Ok(None) };
        let Some(event) = batch.messages.first().and_then(storage::notification) else { return Ok(None) };
        let record = read(event, storage::record)?;
        Ok(Some(Record { attempt: self.attempt, ..record }))
    }
}

/// Reads the events that a request carries.
///
/// # Errors
/// [`ErrorKind::BadEvent`] saying what was expected.
pub fn request(headers: &HeaderMap, body: Bytes) -> Result<Vec<Delivery>> {
    deliveries(headers, body, cloud_event, legacy::event)
}

/// As [`request`], for an instance that takes messages and no records: a CloudEvent of another type is not read, and raw.
///
/// # Errors
/// [`ErrorKind::BadEvent`] saying what was expected.
pub fn messages(headers: &HeaderMap, body: Bytes) -> Result<Vec<Delivery>> {
    let of = |event: CloudEvent| if event.ty == PUBSUB_TYPE { message(event) } else { Ok(unread(event)) };
    deliveries(headers, body, of, legacy::message)
}

fn deliveries(
    headers: &HeaderMap,
    body: Bytes,
    cloud_event: impl Fn(CloudEvent) -> Result<Delivery>,
    legacy: impl Fn(&[u8]) -> Result<Option<CloudEvent>, String>,
) -> Result<Vec<Delivery>> {
    if let Some(mode) = cloudevents::mode(headers) {
        return cloudevents::from_request(mode, headers, body)?.into_iter().map(cloud_event).collect();
    }
    let delivery = if let Some(tick) = scheduler::tick(headers, &body).map_err(bad)? {
        of_record(tick)
    } else if is_push(&body) {
        pubsub::delivery(&body, None).map_err(bad)?
    } else if let Some(event) = legacy(&body).map_err(bad)? {
        cloud_event(event)?
    } else if body.is_empty() {
        return Err(bad("the request carries no event: no body and no `ce-` headers".to_owned()));
    } else {
        let incoming = Incoming::Raw(body.clone());
        Delivery { id: None, attempt: None, names: Vec::new(), incoming, event: None, body: None }
    };
    Ok(vec![Delivery { body: Some(body), ..delivery }])
}

/// A CloudEvent of a type that no function here takes.
fn unread(event: CloudEvent) -> Delivery {
    let (id, incoming) = (Some(event.id.clone()), Incoming::Raw(event.data.clone()));
    Delivery { id, attempt: None, names: Vec::new(), incoming, event: Some(event), body: None }
}

fn message(event: CloudEvent) -> Result<Delivery> {
    read(event, |event| pubsub::delivery(&event.data.clone(), Some(event)))
}

/// One CloudEvent, by its type.
///
/// # Errors
/// [`ErrorKind::BadEvent`] naming the event, its type and what was expected of its data.
pub fn cloud_event(event: CloudEvent) -> Result<Delivery> {
    let ty = event.ty.as_str();
    if ty == PUBSUB_TYPE {
        return message(event);
    }
    let record = if STORAGE_TYPES.iter().any(|(_, known)| *known == ty) {
        read(event, storage::record)
    } else if firestore::is_change(ty) {
        read(event, firestore::record)
    } else if ty == SCHEDULER_TYPE {
        read(event, scheduler::record)
    } else {
        // The neutral types; any other event is itself.
        neutral::from_cloud_event(event)
    };
    record.map(of_record)
}

fn of_record(record: Record) -> Delivery {
    Delivery {
        id: Some(record.event.id.clone()),
        attempt: record.attempt,
        names: Vec::new(),
        incoming: Incoming::Record(Box::new(record)),
        event: None,
        body: None,
    }
}

fn read<T>(event: CloudEvent, of: impl FnOnce(CloudEvent) -> Result<T, String>) -> Result<T> {
    let which = format!("event `{}` of type {}", event.id, event.ty);
    of(event).map_err(|why| bad(format!("{which}: {why}")))
}

fn bad(message: String) -> Error {
    Error::new(ErrorKind::BadEvent, message)
}

/// Whether a request says of itself that it carries an event. Ticks and legacy events do not count: only an instance
/// without HTTP takes them for what they say.
pub fn claims_event(headers: &HeaderMap, body: &[u8]) -> bool {
    matches!(cloudevents::mode(headers), Some(Mode::Binary | Mode::Structured | Mode::Batched))
        || is_push(body)
}

#[cfg(test)]
mod tests;
