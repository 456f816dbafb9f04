//! Cloud Storage: CloudEvents of Eventarc (<https://cloud.google.com/eventarc/docs/reference/supported-events>), and
//! the bucket's own Pub/Sub notifications (<https://cloud.google.com/storage/docs/pubsub-notifications>).

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use xcloud_core::event::{CloudEvent, ObjectAction, Payload, RawMessage, Record};
use xcloud_core::text::rfc3339;

use crate::binding::{STORAGE_DELETED, STORAGE_FINALIZED, STORAGE_TYPES};

/// `google.events.cloud.storage.v1.StorageObjectData` as JSON; 64-bit integers are texts there.
#[derive(Default, Deserialize)]
struct ObjectData<'a> {
    #[serde(borrow, default)]
    bucket: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(default)]
    etag: Option<String>,
    #[serde(default)]
    size: Option<Value>,
    #[serde(default)]
    generation: Option<Value>,
}

/// An object that was written or removed. Archived objects and new metadata are events of no kind of ours.
pub(super) fn record(event: CloudEvent) -> Result<Record, String> {
    let action = match event.ty.as_str() {
        STORAGE_FINALIZED => ObjectAction::Created,
        STORAGE_DELETED => ObjectAction::Deleted,
        _ => {
            let source = event.source.clone();
            return Ok(Record::new(event, Payload::Event, source));
        }
    };
    let data = match &event.data[..] {
        b"" => ObjectData::default(),
        json => serde_json::from_slice(json)
            .map_err(|e| format!("its data is not a StorageObjectData as JSON: {e}"))?,
    };
    let bucket = data.bucket.as_deref().or_else(|| event.extension("bucket"));
    let bucket = bucket.or_else(|| event.source.split_once("/buckets/").map(|(_, name)| name));
    let bucket =
        bucket.filter(|name| !name.is_empty()).ok_or("neither its data nor its source has a bucket")?;
    let key = data.name.as_deref().or_else(|| event.subject.as_deref()?.strip_prefix("objects/"));
    let key = key.ok_or("neither its data has a `name` nor its subject is `objects/…`")?;
    let payload = Payload::Object {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        action,
        size: data.size.map(size).transpose()?,
        etag: data.etag.as_deref().map(|etag| etag.trim_matches('"').to_owned()),
        version: data.generation.map(generation).transpose()?,
    };
    let source = bucket.to_owned();
    Ok(Record::new(event, payload, source))
}

fn size(value: Value) -> Result<u64, String> {
    let number = match &value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    number.ok_or_else(|| format!("`size` is {value}, not a number of bytes"))
}

fn generation(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) if number.is_u64() || number.is_i64() => Ok(number.to_string()),
        other => Err(format!("`generation` is {other}, not an integer")),
    }
}

/// The event that a bucket's own notification stands for, or `None` when the message is none.
pub(super) fn notification(message: &RawMessage) -> Option<CloudEvent> {
    let of = |name: &str| message.attributes.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
    let what = of("eventType")?;
    let (_, ty) = STORAGE_TYPES.iter().find(|(notified, _)| *notified == what)?;
    let (bucket, key) = (of("bucketId")?, of("objectId")?);
    // Without payload (`payloadFormat` NONE) the attributes are all there is.
    let data = match (message.body.is_empty(), of("objectGeneration")) {
        (true, Some(generation)) => Bytes::from(
            serde_json::json!({ "bucket": bucket, "name": key, "generation": generation }).to_string(),
        ),
        _ => message.body.clone(),
    };
    Some(CloudEvent {
        id: message.id.clone(),
        source: format!("//storage.googleapis.com/projects/_/buckets/{bucket}"),
        ty: (*ty).to_owned(),
        subject: Some(format!("objects/{key}")),
        time: of("eventTime").map(str::to_owned).or_else(|| message.sent.map(rfc3339)),
        datacontenttype: Some("application/json".to_owned()),
        extensions: vec![("bucket".to_owned(), bucket.to_owned())],
        data,
    })
}
