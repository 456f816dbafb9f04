//! Wire to event: what a request is, and what an event is, told by its shape.

pub mod cbor;
mod eventbridge;
mod mns;
mod oss;
mod tablestore;
mod timer;

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use serde_json::Value;
use xcloud_core::event::{CloudEvent, Record};
use xcloud_core::text::{parse_json, rfc3339};
use xcloud_core::{Error, ErrorKind, Result};

pub use self::eventbridge::Messages;
pub use self::mns::stream;
use crate::binding::{CONTROL_HEADER, HEADER_PREFIX, HTTP_INVOKE, INITIALIZE, INVOKE, PRE_STOP};

/// What the platform wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// A client's request.
    Http,
    /// An event.
    Event,
    /// The initializer hook.
    Initialize,
    /// The hook before the instance ends.
    PreStop,
}

/// Tells what a request is. The platform lets no client's `x-fc-` header through, so the control path is its own word;
/// the path alone is not: an app may have a route `/invoke`.
///
/// # Errors
/// [`ErrorKind::BadEvent`]: a control path that is not documented, or not with this method and path.
pub fn call(method: &Method, path: &str, headers: &HeaderMap) -> Result<Call> {
    let Some(control) = headers.get(CONTROL_HEADER) else { return Ok(Call::Http) };
    let control = control.to_str().unwrap_or("");
    match (control, method, path) {
        (HTTP_INVOKE, _, _) => Ok(Call::Http),
        (INVOKE, &Method::POST, INVOKE) => Ok(Call::Event),
        (INITIALIZE, &Method::POST, INITIALIZE) => Ok(Call::Initialize),
        (PRE_STOP, &Method::GET, PRE_STOP) => Ok(Call::PreStop),
        _ => Err(bad(format!("{CONTROL_HEADER}: {control} with {method} {path} is not a documented call"))),
    }
}

/// A client's request as the handler sees it: without the platform's headers, which carry the role's credentials.
pub fn http(mut request: Request<Bytes>) -> Request<Bytes> {
    let ours: Vec<_> =
        request.headers().keys().filter(|name| name.as_str().starts_with(HEADER_PREFIX)).cloned().collect();
    for name in ours {
        request.headers_mut().remove(name);
    }
    request
}

/// What the platform tells beside the event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// The call's id.
    pub id: &'a str,
    /// The function's name.
    pub function: &'a str,
    /// The region.
    pub region: &'a str,
}

/// One event's body.
#[derive(Debug)]
pub enum Delivery {
    /// Messages of a queue, or of a RocketMQ topic.
    Messages(Messages),
    /// Objects, schedules, changes, messages of topics, other events.
    Records(Records),
    /// Anything else, and what it is not.
    Raw(String),
}

/// The records of one body.
#[derive(Debug)]
pub struct Records {
    /// They are of a stream: what follows a failure waits.
    pub stream: bool,
    /// The records in order.
    pub records: Vec<Record>,
}

/// Reads an event, told by its shape. What has no known shape is raw.
///
/// # Errors
/// [`ErrorKind::BadEvent`]: an event that is not of its documented shape, or messages of several queues at once.
pub fn event(body: &[u8], facts: Facts<'_>) -> Result<Delivery> {
    let one = |record| Delivery::Records(Records { stream: false, records: vec![record] });
    if cbor::is_map(body) {
        let records = tablestore::from_cbor(body, facts)?;
        let stream = |records| Delivery::Records(Records { stream: true, records });
        return Ok(records.map_or_else(|| Delivery::Raw("CBOR of no known shape".to_owned()), stream));
    }
    let event = match parse_json(body) {
        Ok(event) => event,
        Err(error) => return Ok(Delivery::Raw(format!("not JSON: {error}"))),
    };
    if let Some(events) = eventbridge::events(body, &event)? {
        return match eventbridge::messages(events)? {
            Ok(messages) => Ok(Delivery::Messages(messages)),
            Err(events) => eventbridge::records(events).map(Delivery::Records),
        };
    }
    if event.is_array() {
        return Ok(Delivery::Raw("a JSON array, not of CloudEvents".to_owned()));
    }
    let has = |names: &[&str]| names.iter().all(|name| event.get(name).is_some());
    if let Some(records) = event.get("events").map(oss::read).transpose()?.flatten() {
        return Ok(Delivery::Records(Records { stream: false, records }));
    }
    if has(&["triggerTime", "triggerName"]) {
        return timer::read(&event, facts).map(one);
    }
    if has(&["TopicName", "SubscriptionName"]) {
        return mns::read(&event, facts).map(one);
    }
    if tablestore::is_stream(&event) {
        let records = tablestore::read(&event, facts)?;
        return Ok(Delivery::Records(Records { stream: true, records }));
    }
    Ok(Delivery::Raw("JSON of no known shape".to_owned()))
}

/// Reads an event of an instance that takes messages and nothing else: any other is raw.
///
/// # Errors
/// [`ErrorKind::BadEvent`]: messages that are not of their documented shape, or of several queues at once.
pub fn messages(body: &[u8]) -> Result<Delivery> {
    let event = match parse_json(body) {
        Ok(event) => event,
        Err(error) => return Ok(Delivery::Raw(format!("not JSON: {error}"))),
    };
    let messages = eventbridge::events(body, &event)?.map(eventbridge::messages).transpose()?;
    Ok(match messages {
        Some(Ok(messages)) => Delivery::Messages(messages),
        Some(Err(events)) => {
            let ty = events.first().map_or("", |event| &event.ty);
            Delivery::Raw(format!("a CloudEvent of type {ty}"))
        }
        None => Delivery::Raw("JSON that is no message of a queue".to_owned()),
    })
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

fn need<'a>(value: &'a Value, pointer: &str) -> Result<&'a str> {
    let missing = || Error::bad_request(format!("`{}` is not a text", pointer[1..].replace('/', ".")));
    text(value, pointer).ok_or_else(missing)
}

/// A time since 1970; `None` past the year 9999, which RFC 3339 cannot write.
fn time(since: Duration) -> Option<String> {
    (since.as_secs() < 253_402_300_800).then(|| rfc3339(UNIX_EPOCH + since))
}

/// The record itself as data.
fn json(record: &Value) -> CloudEvent {
    CloudEvent {
        datacontenttype: Some("application/json".to_owned()),
        data: record.to_string().into(),
        ..CloudEvent::default()
    }
}

fn bad(message: String) -> Error {
    Error::new(ErrorKind::BadEvent, message)
}

#[cfg(test)]
mod tests;
