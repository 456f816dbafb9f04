//! Neutral events as AWS's services write them to Lambda.

use std::time::{SystemTime, UNIX_EPOCH};

use md5::{Digest, Md5};
use serde_json::{Map, Value, json};
use xcloud_core::event::{Batch, ChangeKind, ObjectAction, Payload, RawMessage, Record};
use xcloud_core::text::{parse_rfc3339, percent_encode, rfc3339};
use xcloud_core::{Error, Result};

pub(super) const REGION: &str = "eu-west-1";
pub(super) const ACCOUNT: &str = "123456789012";

/// What the event source mapping of a queue hands over (<https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>).
pub(super) fn sqs(batch: &Batch, queue: &str) -> Value {
    let records: Vec<_> = batch.messages.iter().map(|message| sqs_record(message, queue)).collect();
    json!({ "Records": records })
}

fn sqs_record(message: &RawMessage, queue: &str) -> Value {
    let sent = message.sent.and_then(|t| t.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let body = String::from_utf8_lossy(&message.body);
    let digest = Md5::digest(body.as_bytes());
    let attributes: Map<String, Value> =
        message.attributes.iter().map(|(name, value)| (name.clone(), sqs_attribute(value))).collect();
    json!({
        "messageId": message.id,
        "receiptHandle": "AQEB",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": message.attempt.unwrap_or(1).to_string(),
            "SentTimestamp": sent.as_millis().to_string(),
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": sent.as_millis().to_string(),
        },
        "messageAttributes": attributes,
        "md5OfBody": digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:fixture-dev-{queue}"),
        "awsRegion": REGION,
    })
}

fn sqs_attribute(value: &str) -> Value {
    json!({ "stringValue": value, "stringListValues": [], "binaryListValues": [], "dataType": "String" })
}

/// The payload of one event, and the sequence number by which its failure is told.
///
/// # Errors
/// When the event is none that AWS's services take.
pub(super) fn payload(record: &Record) -> Result<(Value, Option<String>)> {
    let time = record.event.time.clone().unwrap_or_else(|| rfc3339(SystemTime::now()));
    Ok(match &record.payload {
        Payload::Object { .. } => (json!({ "Records": [s3(record, &time)] }), None),
        Payload::Tick { name, scheduled } => (scheduled_event(record, name.as_deref(), *scheduled), None),
        Payload::Topic { .. } => (json!({ "Records": [sns(record, &time)] }), None),
        Payload::Change { .. } => {
            let position = record.position.clone().unwrap_or_else(|| "111".to_owned());
            (json!({ "Records": [dynamodb(record, &position, &time)] }), Some(position))
        }
        _ => (custom(record, &time)?, None),
    })
}

/// `Records[]` of <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>.
fn s3(record: &Record, time: &str) -> Value {
    let Payload::Object { key, action, size, etag, version, .. } = &record.payload else {
        return Value::Null;
    };
    let name = if *action == ObjectAction::Deleted { "ObjectRemoved:Delete" } else { "ObjectCreated:Put" };
    // Slashes stay, a space is a plus.
    let key = key.split('/').map(percent_encode).collect::<Vec<_>>().join("/").replace("%20", "+");
    let mut object = json!({ "key": key, "sequencer": "0055AED6DCD90281E5" });
    let mut put = |name: &str, value: Option<Value>| value.map(|value| object[name] = value);
    // What was written has both, always.
    let created = *action == ObjectAction::Created;
    put("size", size.or(created.then_some(0)).map(Value::from));
    let empty = || created.then(|| "d41d8cd98f00b204e9800998ecf8427e".to_owned());
    put("eTag", etag.clone().or_else(empty).map(Value::from));
    put("versionId", version.clone().map(Value::from));
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": REGION, "eventTime": time, "eventName": name,
        "userIdentity": { "principalId": "AWS:EXAMPLE" }, "requestParameters": { "sourceIPAddress": "192.0.2.1" },
        "responseElements": { "x-amz-request-id": record.event.id, "x-amz-id-2": "EXAMPLE" },
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": "xcloud",
            "bucket": {
                "name": record.source, "ownerIdentity": { "principalId": "EXAMPLE" },
                "arn": format!("arn:aws:s3:::{}", record.source)
            },
            "object": object
        }
    })
}

/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-run-lambda-schedule.html>
fn scheduled_event(record: &Record, name: Option<&str>, scheduled: SystemTime) -> Value {
    let rule = name.unwrap_or(&record.source);
    let time = whole_seconds(scheduled);
    json!({
        "version": "0", "id": record.event.id, "detail-type": "Scheduled Event", "source": "aws.events",
        "account": ACCOUNT, "time": time, "region": REGION,
        "resources": [format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/{rule}")], "detail": {}
    })
}

/// As EventBridge writes times.
fn whole_seconds(time: SystemTime) -> String {
    let secs = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    rfc3339(UNIX_EPOCH + std::time::Duration::from_secs(secs)).replace(".000Z", "Z")
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html>
fn sns(record: &Record, time: &str) -> Value {
    let Payload::Topic { body, attributes } = &record.payload else { return Value::Null };
    let attributes: Map<String, Value> =
        attributes.iter().map(|(k, v)| (k.clone(), json!({ "Type": "String", "Value": v }))).collect();
    let arn = format!("arn:aws:sns:{REGION}:{ACCOUNT}:{}", record.source);
    json!({
        "EventVersion": "1.0", "EventSubscriptionArn": format!("{arn}:21be56ed-a058-49f5-8c98-aedd2564c486"),
        "EventSource": "aws:sns",
        "Sns": {
            "SignatureVersion": "1", "Timestamp": time, "Signature": "EXAMPLE",
            "SigningCertUrl": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-EXAMPLE.pem",
            "MessageId": record.event.id, "Message": String::from_utf8_lossy(body), "MessageAttributes": attributes,
            "Type": "Notification", "UnsubscribeUrl": "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe",
            "TopicArn": arn, "Subject": record.event.subject
        }
    })
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>
fn dynamodb(record: &Record, position: &str, time: &str) -> Value {
    let Payload::Change { kind, key, old, new } = &record.payload else { return Value::Null };
    let name = match kind {
        ChangeKind::Created => "INSERT",
        ChangeKind::Deleted => "REMOVE",
        _ => "MODIFY",
    };
    let image = |json: &[u8]| serde_json::from_slice(json).ok().map(|value: Value| item(&value));
    let created = parse_rfc3339(time).and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let mut change = json!({
        "ApproximateCreationDateTime": created.unwrap_or_default().as_secs(), "Keys": { "id": { "S": key } },
        "SequenceNumber": position, "SizeBytes": 26, "StreamViewType": "NEW_AND_OLD_IMAGES"
    });
    for (name, json) in [("OldImage", old), ("NewImage", new)] {
        if let Some(image) = json.as_deref().and_then(image) {
            change[name] = image;
        }
    }
    json!({
        "eventID": record.event.id, "eventName": name, "eventVersion": "1.1", "eventSource": "aws:dynamodb",
        "awsRegion": REGION, "dynamodb": change,
        "eventSourceARN": format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{}/stream/2026-01-01T00:00:00.000", record.source)
    })
}

/// An item: what is no object becomes its attribute `value`.
fn item(value: &Value) -> Value {
    match value {
        Value::Object(object) => object.iter().map(|(k, v)| (k.clone(), attribute(v))).collect(),
        other => json!({ "value": attribute(other) }),
    }
}

fn attribute(value: &Value) -> Value {
    match value {
        Value::Null => json!({ "NULL": true }),
        Value::Bool(yes) => json!({ "BOOL": yes }),
        Value::Number(number) => json!({ "N": number.to_string() }),
        Value::String(text) => json!({ "S": text }),
        Value::Array(list) => json!({ "L": list.iter().map(attribute).collect::<Vec<_>>() }),
        Value::Object(_) => json!({ "M": item(value) }),
    }
}

/// An application's event, as `PutEvents` takes it and a rule's target gets it.
fn custom(record: &Record, time: &str) -> Result<Value> {
    let event = &record.event;
    let time = parse_rfc3339(time).map_or_else(|| time.to_owned(), whole_seconds);
    Ok(json!({
        "version": "0", "id": event.id, "detail-type": event.ty, "source": event.source,
        "account": ACCOUNT, "time": time, "region": REGION, "resources": event.subject.iter().collect::<Vec<_>>(),
        "detail": detail(record)?
    }))
}

/// <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html>: a JSON object.
fn detail(record: &Record) -> Result<Value> {
    let data: &[u8] = &record.event.data;
    match serde_json::from_slice(if data.is_empty() { b"{}" } else { data }) {
        Ok(detail @ Value::Object(_)) => Ok(detail),
        _ => Err(Error::bad_request(format!(
            "event `{}`: EventBridge takes a JSON object as an event's data, and nothing else",
            record.event.id
        ))),
    }
}
