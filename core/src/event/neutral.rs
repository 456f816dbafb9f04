//! The neutral form: objects, schedules, changes and topics as CloudEvents of types of our own. The local host writes
//! it, plain HTTP and Knative take it, and a hand with `curl` can write it: `docs/events.md` shows each type.
//!
//! What is told beside the event itself travels in extensions (`xcloudattempt`, `xcloudposition`, `xcloudsource`),
//! which reading takes off again.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, Value, to_raw_value};

use super::{ChangeKind, CloudEvent, ObjectAction, Payload, Record};
use crate::error::{Error, ErrorKind, Result};
use crate::text::{base64_decode, base64_encode, parse_rfc3339, rfc3339};

/// An object was written.
pub const OBJECT_CREATED: &str = "dev.xcloud.object.created";
/// An object was removed.
pub const OBJECT_DELETED: &str = "dev.xcloud.object.deleted";
/// A scheduled time came.
pub const SCHEDULE_TICK: &str = "dev.xcloud.schedule.tick";
/// A row is new.
pub const CHANGE_CREATED: &str = "dev.xcloud.change.created";
/// A row is another.
pub const CHANGE_UPDATED: &str = "dev.xcloud.change.updated";
/// A row is gone.
pub const CHANGE_DELETED: &str = "dev.xcloud.change.deleted";
/// A message was published.
pub const TOPIC_MESSAGE: &str = "dev.xcloud.topic.message";

/// The extension that holds the number of the delivery.
pub const ATTEMPT: &str = "xcloudattempt";
const POSITION: &str = "xcloudposition";
const SOURCE: &str = "xcloudsource";

/// Data of the object types.
#[derive(Serialize, Deserialize)]
struct ObjectData<'a> {
    #[serde(borrow)]
    bucket: Cow<'a, str>,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<Cow<'a, str>>,
}

/// Data of the schedule type. Without `scheduled` the event's time is the due time.
#[derive(Serialize, Deserialize)]
struct TickData<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    scheduled: Option<Cow<'a, str>>,
}

/// Data of the change types. The images are kept to the letter: numbers of any size stay what they are.
#[derive(Serialize, Deserialize)]
struct ChangeData<'a> {
    #[serde(borrow)]
    table: Cow<'a, str>,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    old: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    new: Option<Box<RawValue>>,
}

/// Data of the topic type. A text is the message; other JSON is the message as JSON; bytes that are no text come in
/// `body_base64`.
#[derive(Serialize, Deserialize)]
struct TopicData<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<String, String>,
}

/// Writes a record. What is no object, tick, change or message is its own CloudEvent already. `id` and `source` are the
/// record's: whoever makes it gives both.
pub fn to_cloud_event(record: &Record) -> CloudEvent {
    let mut event = record.event.clone();
    let mut named = event.source.as_str();
    let written = match &record.payload {
        Payload::Object { bucket, key, action, size, etag, version } => {
            named = bucket;
            let (bucket, key) = (bucket.into(), key.into());
            let [etag, version] = [etag, version].map(|text| text.as_deref().map(Cow::from));
            let data = serde_json::to_vec(&ObjectData { bucket, key, size: *size, etag, version });
            Some((if *action == ObjectAction::Deleted { OBJECT_DELETED } else { OBJECT_CREATED }, data))
        }
        Payload::Tick { name, scheduled } => {
            named = name.as_deref().unwrap_or_default();
            let (name, scheduled) = (name.as_deref().map(Cow::from), Some(rfc3339(*scheduled).into()));
            Some((SCHEDULE_TICK, serde_json::to_vec(&TickData { name, scheduled })))
        }
        Payload::Change { kind, key, old, new } => {
            named = &record.source;
            let [old, new] = [old, new].map(|image| image.as_deref().and_then(raw));
            let data = ChangeData { table: record.source.as_str().into(), key: key.into(), old, new };
            Some((change_type(*kind), serde_json::to_vec(&data)))
        }
        Payload::Topic { body, attributes } => {
            named = &record.source;
            Some((TOPIC_MESSAGE, serde_json::to_vec(&topic(&record.source, body, attributes))))
        }
        Payload::Event => None,
    };
    let beside = [
        (ATTEMPT, record.attempt.map(|n| n.to_string())),
        (POSITION, record.position.clone()),
        (SOURCE, (named != record.source).then(|| record.source.clone())),
    ];
    event.extensions.retain(|(name, _)| ![ATTEMPT, POSITION, SOURCE].contains(&name.as_str()));
    event
        .extensions
        .extend(beside.into_iter().filter_map(|(name, value)| value.map(|value| (name.to_owned(), value))));
    if let Some((ty, Ok(data))) = written {
        event.ty = ty.to_owned();
        event.datacontenttype = Some("application/json".to_owned());
        event.data = data.into();
    }
    event
}

const fn change_type(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Created => CHANGE_CREATED,
        ChangeKind::Updated => CHANGE_UPDATED,
        ChangeKind::Deleted => CHANGE_DELETED,
    }
}

/// An image to the letter; what is no JSON is told as text, so that the handler says what it got.
fn raw(image: &[u8]) -> Option<Box<RawValue>> {
    let text = String::from_utf8_lossy(image).into_owned();
    RawValue::from_string(text).or_else(|_| to_raw_value(&String::from_utf8_lossy(image))).ok()
}

fn topic<'a>(name: &'a str, body: &[u8], attributes: &[(String, String)]) -> TopicData<'a> {
    let text = std::str::from_utf8(body).ok();
    TopicData {
        topic: name.into(),
        body: text.and_then(|text| to_raw_value(text).ok()),
        body_base64: text.is_none().then(|| base64_encode(body)),
        attributes: attributes.iter().cloned().collect(),
    }
}

/// Reads a record. An event of another type is itself, of kind [`Payload::Event`].
///
/// # Errors
/// [`ErrorKind::BadEvent`] naming the type and what its data should be.
pub fn from_cloud_event(mut event: CloudEvent) -> Result<Record> {
    let mut take = |name: &str| {
        let at = event.extensions.iter().position(|(k, _)| k == name)?;
        Some(event.extensions.remove(at).1)
    };
    let (attempt, position, named) = (take(ATTEMPT), take(POSITION), take(SOURCE));
    let failed = |why: String| {
        Error::new(ErrorKind::BadEvent, format!("event `{}` of type {}: {why}", event.id, event.ty))
    };
    let attempt = attempt.map(|text| {
        text.parse::<u32>()
            .map_err(|_| failed(format!("`{ATTEMPT}` is `{text}`, not a number of deliveries")))
    });
    let attempt = attempt.transpose()?;
    let (payload, source) = payload(&event).map_err(failed)?;
    Ok(Record { payload, source: named.unwrap_or(source), position, attempt, event })
}

/// The payload and the name of what it is of.
fn payload(event: &CloudEvent) -> Result<(Payload, String), String> {
    match event.ty.as_str() {
        OBJECT_CREATED => object(&event.data, ObjectAction::Created),
        OBJECT_DELETED => object(&event.data, ObjectAction::Deleted),
        SCHEDULE_TICK => tick(event),
        CHANGE_CREATED => change(&event.data, ChangeKind::Created),
        CHANGE_UPDATED => change(&event.data, ChangeKind::Updated),
        CHANGE_DELETED => change(&event.data, ChangeKind::Deleted),
        TOPIC_MESSAGE => message(&event.data),
        _ => Ok((Payload::Event, event.source.clone())),
    }
}

fn data<'a, T: Deserialize<'a>>(data: &'a [u8], shape: &str) -> Result<T, String> {
    serde_json::from_slice(data).map_err(|e| format!("its data is not {shape}: {e}"))
}

fn object(json: &[u8], action: ObjectAction) -> Result<(Payload, String), String> {
    let ObjectData { bucket, key, size, etag, version } =
        data(json, "{bucket, key, size?, etag?, version?}")?;
    let bucket = bucket.into_owned();
    let [etag, version] = [etag, version].map(|text| text.map(Cow::into_owned));
    let key = key.into_owned();
    Ok((Payload::Object { bucket: bucket.clone(), key, action, size, etag, version }, bucket))
}

fn tick(event: &CloudEvent) -> Result<(Payload, String), String> {
    let json = if event.data.is_empty() { &b"{}"[..] } else { &event.data };
    let TickData { name, scheduled } = data(json, "{name?, scheduled?}")?;
    let due = scheduled.as_deref().or(event.time.as_deref());
    let due = due.ok_or("neither `scheduled` in its data nor `time` says when it was due")?;
    let scheduled: SystemTime = parse_rfc3339(due)
        .ok_or_else(|| format!("the due time is `{due}`, not an RFC 3339 time since 1970"))?;
    let name = name.map(Cow::into_owned);
    Ok((Payload::Tick { name: name.clone(), scheduled }, name.unwrap_or_default()))
}

fn change(json: &[u8], kind: ChangeKind) -> Result<(Payload, String), String> {
    let ChangeData { table, key, old, new } = data(json, "{table, key, old?, new?}")?;
    let [old, new] = [old, new].map(|image| image.map(|json| Bytes::from(json.get().to_owned())));
    Ok((Payload::Change { kind, key: key.into_owned(), old, new }, table.into_owned()))
}

fn message(json: &[u8]) -> Result<(Payload, String), String> {
    let TopicData { topic, body, body_base64, attributes } =
        data(json, "{topic, body?, body_base64?, attributes?}")?;
    let body = match (body, body_base64) {
        (Some(_), Some(_)) => return Err("its data has both `body` and `body_base64`".to_owned()),
        (None, Some(text)) => base64_decode(text.as_bytes()).ok_or("`body_base64` is not base64")?.into(),
        (None, None) => Bytes::new(),
        (Some(json), None) => match serde_json::from_str(json.get()) {
            Ok(Value::String(text)) => Bytes::from(text),
            _ => Bytes::from(json.get().to_owned()),
        },
    };
    let attributes = attributes.into_iter().collect();
    Ok((Payload::Topic { body, attributes }, topic.into_owned()))
}

#[cfg(test)]
mod tests;
