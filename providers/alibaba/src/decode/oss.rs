//! Object Storage Service: its own trigger's records, and the same record as data of an EventBridge event.

use serde_json::Value;
use xcloud_core::Result;
use xcloud_core::event::{CloudEvent, ObjectAction, Payload, Record};
use xcloud_core::text::parse_json;

use super::{bad, json, need, text};

/// The records of OSS's own trigger; `None` when these are no events of OSS
/// (aliyun/fc-runtime-go-sdk `events/README_OSS.md`).
pub(super) fn read(events: &Value) -> Result<Option<Vec<Record>>> {
    let is_oss = |event: &Value| text(event, "/eventSource") == Some("acs:oss");
    let Some(events) = events.as_array().filter(|events| events.iter().any(is_oss)) else { return Ok(None) };
    let read = |(at, event): (usize, &Value)| {
        if !is_oss(event) {
            return Err(bad(format!("event {at} is not of acs:oss as another one is")));
        }
        native(event).map_err(|e| bad(format!("event {at} of acs:oss: {}", e.message())))
    };
    events.iter().enumerate().map(read).collect::<Result<_>>().map(Some)
}

fn native(event: &Value) -> Result<Record> {
    let name = need(event, "/eventName")?;
    let name = name.strip_prefix("oss:").unwrap_or(name);
    let Object { bucket, key, .. } = object(event)?;
    let region = text(event, "/region").unwrap_or_default();
    let arn = text(event, "/oss/bucket/arn").map(str::to_owned);
    let request = text(event, "/responseElements/requestId").unwrap_or_default();
    let attributes = CloudEvent {
        // One request may remove many objects.
        id: format!("{request}.{key}"),
        source: arn.unwrap_or_else(|| format!("acs:oss:{region}::{bucket}")),
        ty: format!("com.aliyun.oss.{name}"),
        subject: Some(key.to_owned()),
        time: text(event, "/eventTime").map(str::to_owned),
        ..json(event)
    };
    let payload = match action(name) {
        Some(action) => payload(event, action)?,
        None => Payload::Event,
    };
    Ok(Record::new(attributes, payload, bucket))
}

/// What an event of this CloudEvents type (`oss:ObjectCreated:PutObject`) says of an object; `None`: nothing.
pub(super) fn event_action(ty: &str) -> Option<ObjectAction> {
    action(ty.strip_prefix("oss:")?)
}

/// An object's event that came through EventBridge, its attributes untouched.
pub(super) fn of_event(event: CloudEvent, action: ObjectAction) -> Result<Record> {
    let failed = |why: &str| bad(format!("event `{}` of type {}: {why}", event.id, event.ty));
    let data = parse_json(&event.data).map_err(|e| failed(&format!("its data is not JSON: {e}")))?;
    let payload = payload(&data, action).map_err(|e| failed(&format!("its data: {}", e.message())))?;
    let bucket = object(&data).map(|object| object.bucket.to_owned()).unwrap_or_default();
    Ok(Record::new(event, payload, bucket))
}

/// Parts of an upload, and an upload given up, are of something that is not an object yet.
fn action(name: &str) -> Option<ObjectAction> {
    match name.split_once(':')? {
        ("ObjectCreated", "InitiateMultipartUpload" | "UploadPart" | "UploadPartCopy") => None,
        ("ObjectCreated", _) => Some(ObjectAction::Created),
        ("ObjectRemoved", "AbortMultipartUpload") => None,
        ("ObjectRemoved", _) => Some(ObjectAction::Deleted),
        _ => None,
    }
}

struct Object<'a> {
    bucket: &'a str,
    key: &'a str,
}

/// No first-party page says that the key is encoded, and the vendor's samples hand it as it is to their SDK, which
/// encodes it: it is plain here, unlike in S3's notifications.
fn object(record: &Value) -> Result<Object<'_>> {
    Ok(Object { bucket: need(record, "/oss/bucket/name")?, key: need(record, "/oss/object/key")? })
}

fn payload(record: &Value, action: ObjectAction) -> Result<Payload> {
    let Object { bucket, key } = object(record)?;
    Ok(Payload::Object {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        action,
        size: record.pointer("/oss/object/size").and_then(Value::as_u64),
        etag: text(record, "/oss/object/eTag").map(|tag| tag.trim_matches('"').to_owned()),
        version: None,
    })
}
