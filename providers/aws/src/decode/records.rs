//! Events that are neither requests nor SQS messages: S3, SNS, DynamoDB, Kinesis and EventBridge, told by their shape.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Map, Value};
use xcloud_core::event::{ChangeKind, CloudEvent, ObjectAction, Payload, Record};
use xcloud_core::text::{base64_decode, form_decode, parse_json, parse_rfc3339, rfc3339};
use xcloud_core::{Error, Result};

use super::{attribute_value, bad};

/// The records of one payload.
#[derive(Debug)]
pub struct Records {
    /// They are of a stream: a failure is told by its sequence number, and what follows it comes again.
    pub stream: bool,
    /// The records in order.
    pub records: Vec<Record>,
}

/// Reads a payload. `None` when it has the shape of none of these.
///
/// # Errors
/// [`xcloud_core::ErrorKind::BadEvent`] naming the record and what was expected.
pub(super) fn read(payload: &[u8]) -> Result<Option<Records>> {
    let Ok(Value::Object(event)) = parse_json(payload) else { return Ok(None) };
    if let Some(Value::Array(records)) = event.get("Records") {
        return of_service(records);
    }
    let whole = ["detail-type", "source", "id", "time"].iter().all(|name| event.contains_key(*name));
    if !whole {
        return Ok(None);
    }
    let record = event_bridge(&event, payload)?;
    Ok(Some(Records { stream: false, records: vec![record] }))
}

type Reader = fn(&Value) -> Result<Record>;

fn of_service(records: &[Value]) -> Result<Option<Records>> {
    let source = |record: &Value| {
        let name = record.get("eventSource").or_else(|| record.get("EventSource"));
        name.and_then(Value::as_str).map(str::to_owned)
    };
    let Some(service) = records.first().and_then(source) else { return Ok(None) };
    let (reader, stream): (Reader, bool) = match service.as_str() {
        "aws:s3" => (s3, false),
        "aws:sns" => (sns, false),
        "aws:dynamodb" => (dynamodb, true),
        "aws:kinesis" => (kinesis, true),
        _ => return Ok(None),
    };
    let read = |(at, record): (usize, &Value)| {
        if source(record).as_deref() != Some(&service) {
            return Err(bad(format!("record {at} is not of {service} as the first one is")));
        }
        reader(record).map_err(|e| bad(format!("record {at} of {service}: {}", e.message())))
    };
    let records = records.iter().enumerate().map(read).collect::<Result<_>>()?;
    Ok(Some(Records { stream, records }))
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

fn need<'a>(value: &'a Value, pointer: &str) -> Result<&'a str> {
    let missing = || Error::bad_request(format!("`{}` is not a text", pointer[1..].replace('/', ".")));
    text(value, pointer).ok_or_else(missing)
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>; the attributes are those
/// of the CloudEvents adapter (cloudevents/spec `adapters/aws-s3.md`).
fn s3(record: &Value) -> Result<Record> {
    let name = need(record, "/eventName")?;
    let bucket = need(record, "/s3/bucket/name")?;
    let key = form_decode(need(record, "/s3/object/key")?).into_owned();
    let region = text(record, "/awsRegion").unwrap_or_default();
    let [request, host] = ["/responseElements/x-amz-request-id", "/responseElements/x-amz-id-2"]
        .map(|pointer| text(record, pointer).unwrap_or_default());
    let mut event = CloudEvent {
        id: format!("{request}.{host}"),
        source: format!("aws:s3.{region}.{bucket}"),
        ty: format!("com.amazonaws.s3.{name}"),
        subject: Some(key.clone()),
        time: text(record, "/eventTime").map(str::to_owned),
        ..json(record)
    };
    // One request may remove many objects.
    event
        .extensions
        .extend(text(record, "/s3/object/sequencer").map(|s| ("sequencer".to_owned(), s.to_owned())));
    let object = record.pointer("/s3/object").unwrap_or(&Value::Null);
    let of = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
    let size = object.get("size").and_then(Value::as_u64);
    let action = match name.strip_prefix("s3:").unwrap_or(name).split(':').next() {
        Some("ObjectCreated") => ObjectAction::Created,
        Some("ObjectRemoved" | "LifecycleExpiration") => ObjectAction::Deleted,
        _ => return Ok(Record::new(event, Payload::Event, bucket)),
    };
    let (etag, version) = (of("eTag"), of("versionId"));
    let payload = Payload::Object { bucket: bucket.to_owned(), key, action, size, etag, version };
    Ok(Record::new(event, payload, bucket))
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html>
fn sns(record: &Value) -> Result<Record> {
    let arn = need(record, "/Sns/TopicArn")?;
    let event = CloudEvent {
        id: need(record, "/Sns/MessageId")?.to_owned(),
        source: arn.to_owned(),
        ty: "com.amazonaws.sns.notification".to_owned(),
        subject: text(record, "/Sns/Subject").map(str::to_owned),
        time: text(record, "/Sns/Timestamp").map(str::to_owned),
        ..json(record)
    };
    let body = Bytes::from(need(record, "/Sns/Message")?.to_owned());
    let attributes = record.pointer("/Sns/MessageAttributes").and_then(Value::as_object);
    let attributes = attributes.into_iter().flatten();
    let attributes =
        attributes.filter_map(|(name, value)| Some((name.clone(), text(value, "/Value")?.to_owned())));
    let payload = Payload::Topic { body, attributes: attributes.collect() };
    let topic = arn.rsplit(':').next().unwrap_or(arn);
    Ok(Record::new(event, payload, topic.strip_suffix(".fifo").unwrap_or(topic)))
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>
fn dynamodb(record: &Value) -> Result<Record> {
    let kind = match need(record, "/eventName")? {
        "INSERT" => ChangeKind::Created,
        "MODIFY" => ChangeKind::Updated,
        "REMOVE" => ChangeKind::Deleted,
        other => {
            return Err(Error::bad_request(format!(
                "`eventName` is `{other}`, not INSERT, MODIFY or REMOVE"
            )));
        }
    };
    let arn = text(record, "/eventSourceARN").unwrap_or_default();
    let image = |name: &str| {
        let item = record.pointer(&format!("/dynamodb/{name}")).filter(|item| !item.is_null());
        item.map(|item| {
            attribute_value::item(item).map_err(|why| Error::bad_request(format!("`{name}`: {why}")))
        })
        .transpose()
    };
    let key = key(image("Keys")?.ok_or_else(|| Error::bad_request("`dynamodb.Keys` is missing"))?);
    let written =
        |image: Option<Map<String, Value>>| image.map(|item| Bytes::from(Value::Object(item).to_string()));
    let (old, new) = (written(image("OldImage")?), written(image("NewImage")?));
    let event = CloudEvent {
        id: need(record, "/eventID")?.to_owned(),
        source: arn.to_owned(),
        ty: format!("com.amazonaws.dynamodb.{}", word(kind)),
        subject: Some(key.clone()),
        time: record.pointer("/dynamodb/ApproximateCreationDateTime").and_then(seconds),
        ..json(record)
    };
    let table = arn.split(":table/").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let mut read = Record::new(event, Payload::Change { kind, key, old, new }, table);
    read.position = Some(need(record, "/dynamodb/SequenceNumber")?.to_owned());
    Ok(read)
}

const fn word(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Created => "created",
        ChangeKind::Deleted => "deleted",
        _ => "updated",
    }
}

/// A key of one attribute is its text, a composite one its JSON.
fn key(item: Map<String, Value>) -> String {
    let mut values = item.values();
    match (values.next(), values.next()) {
        (Some(Value::String(text)), None) => text.clone(),
        (Some(one), None) => one.to_string(),
        _ => Value::Object(item).to_string(),
    }
}

/// Seconds since 1970, with or without a fraction.
fn seconds(value: &Value) -> Option<String> {
    let duration = Duration::try_from_secs_f64(value.as_f64()?).ok()?;
    UNIX_EPOCH.checked_add(duration).map(rfc3339)
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>: a stream is a topic whose messages keep their order.
fn kinesis(record: &Value) -> Result<Record> {
    let arn = need(record, "/eventSourceARN")?;
    let data = need(record, "/kinesis/data")?;
    let body =
        base64_decode(data.as_bytes()).ok_or_else(|| Error::bad_request("`kinesis.data` is not base64"))?;
    let sequence = need(record, "/kinesis/sequenceNumber")?;
    let event = CloudEvent {
        id: text(record, "/eventID").unwrap_or(sequence).to_owned(),
        source: arn.to_owned(),
        ty: "com.amazonaws.kinesis.record".to_owned(),
        subject: text(record, "/kinesis/partitionKey").map(str::to_owned),
        time: record.pointer("/kinesis/approximateArrivalTimestamp").and_then(seconds),
        ..json(record)
    };
    let payload = Payload::Topic { body: body.into(), attributes: Vec::new() };
    let mut read = Record::new(event, payload, arn.rsplit('/').next().unwrap_or_default());
    read.position = Some(sequence.to_owned());
    Ok(read)
}

/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html>
fn event_bridge(event: &Map<String, Value>, payload: &[u8]) -> Result<Record> {
    let wrong = |name: &str| bad(format!("an EventBridge event's `{name}` is not a text"));
    let of = |name: &'static str| event.get(name).and_then(Value::as_str).ok_or_else(|| wrong(name));
    let (ty, source, id, time) = (of("detail-type")?, of("source")?, of("id")?, of("time")?);
    let resource = event.get("resources").and_then(|list| text(list, "/0"));
    let detail = event.get("detail").unwrap_or(&Value::Null);
    let attributes = CloudEvent {
        id: id.to_owned(),
        source: source.to_owned(),
        ty: ty.to_owned(),
        subject: resource.map(str::to_owned),
        time: Some(time.to_owned()),
        datacontenttype: Some("application/json".to_owned()),
        data: Bytes::copy_from_slice(payload),
        ..CloudEvent::default()
    };
    match (source, ty) {
        ("aws.events" | "aws.scheduler", "Scheduled Event") => {
            let scheduled = parse_rfc3339(time)
                .ok_or_else(|| bad(format!("the scheduled event's `time` is `{time}`, not a time")))?;
            // arn:aws:events:<region>:<account>:rule/<name>, arn:aws:scheduler:…:schedule/<group>/<name>
            let name = resource.and_then(|arn| arn.rsplit('/').next()).map(str::to_owned);
            let event = CloudEvent {
                ty: "com.amazonaws.scheduled".to_owned(),
                source: resource.unwrap_or(source).to_owned(),
                subject: None,
                ..attributes
            };
            Ok(Record::new(event, Payload::Tick { name: name.clone(), scheduled }, name.unwrap_or_default()))
        }
        ("aws.s3", "Object Created" | "Object Deleted") => s3_detail(detail, ty, attributes),
        // The application's own event: its detail is what it published.
        _ => {
            let data = Bytes::from(detail.to_string());
            Ok(Record::new(CloudEvent { data, ..attributes }, Payload::Event, source))
        }
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html>: the key is not encoded here.
fn s3_detail(detail: &Value, ty: &str, event: CloudEvent) -> Result<Record> {
    let failed = |e: Error| bad(format!("an S3 event's detail: {}", e.message()));
    let (bucket, key) =
        (need(detail, "/bucket/name").map_err(failed)?, need(detail, "/object/key").map_err(failed)?);
    let action = if ty == "Object Created" { ObjectAction::Created } else { ObjectAction::Deleted };
    let of = |pointer: &str| text(detail, pointer).map(str::to_owned);
    let payload = Payload::Object {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        action,
        size: detail.pointer("/object/size").and_then(Value::as_u64),
        etag: of("/object/etag"),
        version: of("/object/version-id"),
    };
    let ty = format!("com.amazonaws.s3.{}", ty.replace(' ', ""));
    let event = CloudEvent { ty, subject: Some(key.to_owned()), ..event };
    Ok(Record::new(event, payload, bucket))
}

/// The record itself as data.
fn json(record: &Value) -> CloudEvent {
    CloudEvent {
        datacontenttype: Some("application/json".to_owned()),
        data: record.to_string().into(),
        ..CloudEvent::default()
    }
}

#[cfg(test)]
mod tests;
