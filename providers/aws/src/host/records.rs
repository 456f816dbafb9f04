//! Neutral events as AWS's services write them to Lambda.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use xcloud_core::event::{ChangeKind, ObjectAction, Payload, Record};
use xcloud_core::text::{percent_encode, rfc3339};

const REGION: &str = "eu-west-1";
const ACCOUNT: &str = "123456789012";

/// The payload of one event, and the sequence number by which its failure is told.
pub(super) fn payload(record: &Record) -> (Value, Option<String>) {
    let time = record.event.time.clone().unwrap_or_else(|| rfc3339(SystemTime::now()));
    match &record.payload {
        Payload::Object { .. } => (json!({ "Records": [s3(record, &time)] }), None),
        Payload::Tick { name, scheduled } => (scheduled_event(record, name.as_deref(), *scheduled), None),
        Payload::Topic { .. } => (json!({ "Records": [sns(record, &time)] }), None),
        Payload::Change { .. } => {
            let position = record.position.clone().unwrap_or_else(|| "111".to_owned());
            (json!({ "Records": [dynamodb(record, &position)] }), Some(position))
        }
        _ => (custom(record, &time), None),
    }
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
    put("size", size.map(Value::from));
    put("eTag", etag.clone().map(Value::from));
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
    // EventBridge writes whole seconds.
    let secs = scheduled.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let time = rfc3339(UNIX_EPOCH + std::time::Duration::from_secs(secs)).replace(".000Z", "Z");
    json!({
        "version": "0", "id": record.event.id, "detail-type": "Scheduled Event", "source": "aws.events",
        "account": ACCOUNT, "time": time, "region": REGION,
        "resources": [format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/{rule}")], "detail": {}
    })
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
fn dynamodb(record: &Record, position: &str) -> Value {
    let Payload::Change { kind, key, old, new } = &record.payload else { return Value::Null };
    let name = match kind {
        ChangeKind::Created => "INSERT",
        ChangeKind::Deleted => "REMOVE",
        _ => "MODIFY",
    };
    let image = |json: &[u8]| serde_json::from_slice(json).ok().map(|value: Value| item(&value));
    let mut change = json!({
        "ApproximateCreationDateTime": 1_479_499_740, "Keys": { "id": { "S": key } },
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
fn custom(record: &Record, time: &str) -> Value {
    let detail = serde_json::from_slice(&record.event.data).unwrap_or_else(|_| json!({}));
    json!({
        "version": "0", "id": record.event.id, "detail-type": record.event.ty, "source": record.event.source,
        "account": ACCOUNT, "time": time, "region": REGION, "resources": record.event.subject.iter().collect::<Vec<_>>(),
        "detail": detail
    })
}
