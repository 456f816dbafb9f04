//! Neutral events as Alibaba Cloud's services write them to Function Compute.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Map, Value, json};
use xcloud_core::cloudevents::to_json;
use xcloud_core::event::{ChangeKind, ObjectAction, Payload, Record};
use xcloud_core::text::{parse_rfc3339, rfc3339};
use xcloud_core::{Error, Result};

use crate::binding;

const REGION: &str = "cn-hangzhou";
const ACCOUNT: &str = "1649015465574023";

/// The body of one event.
///
/// # Errors
/// A message of a topic that is no text: MNS carries none.
pub(super) fn body(record: &Record) -> Result<Bytes> {
    let time = record.event.time.clone().unwrap_or_else(|| rfc3339(SystemTime::now()));
    let json = match &record.payload {
        Payload::Object { .. } => json!({ "events": [oss(record, &time)] }),
        Payload::Tick { name, scheduled } => {
            let name = name.as_deref().unwrap_or(&record.source);
            // Whole seconds.
            let time = rfc3339(*scheduled);
            let time = time.split('.').next().unwrap_or_default();
            json!({ "triggerTime": format!("{time}Z"), "triggerName": name, "payload": "" })
        }
        Payload::Change { .. } => return Ok(cbor(&tablestore(record, &time)).into()),
        Payload::Topic { body, attributes } => {
            let text = std::str::from_utf8(body)
                .map_err(|_| Error::bad_request("a message of an MNS or RocketMQ topic is a text"))?;
            // An MNS topic's trigger tells no attributes: a message with some is RocketMQ's.
            if attributes.is_empty() {
                mns(record, text, &time)
            } else {
                json!([rocketmq(record, text, attributes, &time)])
            }
        }
        _ => json!([to_json(&record.event)]),
    };
    Ok(json.to_string().into())
}

/// aliyun/fc-runtime-go-sdk `events/README_OSS.md`
fn oss(record: &Record, time: &str) -> Value {
    let Payload::Object { bucket, key, action, size, etag, .. } = &record.payload else { return Value::Null };
    let name = if *action == ObjectAction::Deleted {
        "ObjectRemoved:DeleteObject"
    } else {
        "ObjectCreated:PutObject"
    };
    json!({
        "eventName": name, "eventSource": "acs:oss", "eventTime": time, "eventVersion": "1.0", "region": REGION,
        "oss": {
            "bucket": {
                "arn": format!("acs:oss:{REGION}:{ACCOUNT}:{bucket}"), "name": bucket, "ownerIdentity": ACCOUNT,
                "virtualBucket": ""
            },
            "object": {
                "key": key, "size": size.unwrap_or(0), "deltaSize": size.unwrap_or(0), "eTag": etag,
                "objectMeta": { "mimeType": "application/octet-stream" }
            },
            "ossSchemaVersion": "1.0", "ruleId": "7c5a5ccfb06114a4d1ea8867e3916eb543d84e7c"
        },
        "requestParameters": { "sourceIPAddress": "192.0.2.1" },
        "responseElements": { "requestId": record.event.id },
        "userIdentity": { "principalId": ACCOUNT }
    })
}

/// aliyun/fc-runtime-go-sdk `events/README_MNS_Topic.md`, the JSON format
fn mns(record: &Record, message: &str, time: &str) -> Value {
    let millis = since(time).as_millis();
    json!({
        "TopicOwner": ACCOUNT, "Message": message, "Subscriber": ACCOUNT,
        "PublishTime": u64::try_from(millis).unwrap_or(u64::MAX), "SubscriptionName": "trigger-5bf13c7e",
        "MessageMD5": "EXAMPLE", "TopicName": record.source, "MessageId": record.event.id
    })
}

/// aliyun/fc-runtime-go-sdk `events/README_RocketMQ.md`
fn rocketmq(record: &Record, body: &str, properties: &[(String, String)], time: &str) -> Value {
    let properties: Map<String, Value> =
        properties.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let instance = format!("MQ_INST_{ACCOUNT}_BXhFHryi");
    json!({
        "id": record.event.id, "source": "RocketMQ-Function-trigger", "specversion": "1.0", "type": binding::MQ_TYPE,
        "datacontenttype": "application/json; charset=utf-8", "time": time, "aliyunaccountid": ACCOUNT,
        "subject": format!("acs:mq:{REGION}:{ACCOUNT}:{instance}%{}", record.source),
        "data": {
            "topic": record.source, "systemProperties": { "MIN_OFFSET": "0", "MAX_OFFSET": "8", "INSTANCE_ID": instance },
            "userProperties": properties, "body": body
        }
    })
}

/// <https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/tablestore-triggers>: the primary key is the
/// column `id`, and the trigger has no image of the row before.
fn tablestore(record: &Record, time: &str) -> Value {
    let Payload::Change { kind, key, old, new } = &record.payload else { return Value::Null };
    let image = |json: &Option<Bytes>| match serde_json::from_slice(json.as_deref().unwrap_or_default()) {
        Ok(Value::Object(row)) => row,
        Ok(other) => Map::from_iter([("value".to_owned(), other)]),
        Err(_) => Map::new(),
    };
    let (old, mut new) = (image(old), image(new));
    let micros = u64::try_from(since(time).as_micros()).unwrap_or(u64::MAX);
    let id = new.remove("id").or_else(|| old.get("id").cloned()).unwrap_or_else(|| key.as_str().into());
    let removed = old.keys().filter(|name| *name != "id" && !new.contains_key(*name));
    let removed = removed
        .map(|name| json!({ "Type": "DeleteAllVersions", "ColumnName": name, "Timestamp": micros / 1000 }));
    let put = new.iter().filter(|(_, value)| !value.is_null()).map(
        |(name, value)| json!({ "Type": "Put", "ColumnName": name, "Value": column(value), "Timestamp": micros / 1000 }),
    );
    let (ty, columns): (_, Vec<Value>) = match kind {
        ChangeKind::Created => ("PutRow", put.collect()),
        ChangeKind::Deleted => ("DeleteRow", Vec::new()),
        _ => ("UpdateRow", put.chain(removed).collect()),
    };
    json!({
        "Version": "Sync-v1",
        "Records": [{
            "Type": ty, "Info": { "Timestamp": micros },
            "PrimaryKey": [{ "ColumnName": "id", "Value": column(&id) }], "Columns": columns
        }]
    })
}

/// A column is an integer, a double, a boolean or a text (or bytes): lists and objects are kept as their JSON.
fn column(value: &Value) -> Value {
    match value {
        Value::Array(_) | Value::Object(_) => value.to_string().into(),
        other => other.clone(),
    }
}

fn since(time: &str) -> std::time::Duration {
    parse_rfc3339(time).and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default()
}

/// A JSON value in CBOR (RFC 8949), lengths definite.
fn cbor(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xf6),
        Value::Bool(yes) => out.push(0xf4 + u8::from(*yes)),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(n), _) => head(0, n, out),
            (None, Some(n)) => head(1, n.unsigned_abs() - 1, out),
            _ => {
                out.push(0xfb);
                out.extend(number.as_f64().unwrap_or_default().to_be_bytes());
            }
        },
        Value::String(text) => {
            head(3, text.len() as u64, out);
            out.extend(text.bytes());
        }
        Value::Array(list) => {
            head(4, list.len() as u64, out);
            list.iter().for_each(|value| write(value, out));
        }
        Value::Object(map) => {
            head(5, map.len() as u64, out);
            for (name, value) in map {
                head(3, name.len() as u64, out);
                out.extend(name.bytes());
                write(value, out);
            }
        }
    }
}

/// The first byte of an item and its number, in the shortest form.
fn head(major: u8, n: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    let bytes = n.to_be_bytes();
    match n {
        0..=23 => out.push(major | bytes[7]),
        24..=0xff => out.extend([major | 24, bytes[7]]),
        0x100..=0xffff => out.extend([&[major | 25], &bytes[6..]].concat()),
        0x1_0000..=0xffff_ffff => out.extend([&[major | 26], &bytes[4..]].concat()),
        _ => out.extend([&[major | 27], &bytes[..]].concat()),
    }
}

#[cfg(test)]
mod tests;
