//! A topic of Simple Message Queue, MNS as it was called (aliyun/fc-runtime-go-sdk `events/README_MNS_Topic.md`): JSON,
//! or STREAM, which is the message and nothing else.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use xcloud_core::event::{CloudEvent, Payload, Record};
use xcloud_core::{Error, Result};

use super::{Facts, bad, json, need, text, time};

const TYPE: &str = "com.aliyun.mns.notification";

/// A message in the JSON format.
pub(super) fn read(event: &Value, facts: Facts<'_>) -> Result<Record> {
    message(event, facts).map_err(|e| bad(format!("an MNS topic's event: {}", e.message())))
}

fn message(event: &Value, facts: Facts<'_>) -> Result<Record> {
    let topic = need(event, "/TopicName")?;
    let body = match event.get("Message") {
        Some(Value::String(text)) => Bytes::from(text.clone()),
        _ => return Err(Error::bad_request("`Message` is not a text")),
    };
    let owner = text(event, "/TopicOwner").unwrap_or_default();
    let millis = event.get("PublishTime").and_then(Value::as_u64);
    let attributes = CloudEvent {
        id: need(event, "/MessageId")?.to_owned(),
        source: format!("acs:mns:{}:{owner}:topics/{topic}", facts.region),
        ty: TYPE.to_owned(),
        time: millis.and_then(|ms| time(Duration::from_millis(ms))),
        ..json(event)
    };
    Ok(Record::new(attributes, Payload::Topic { body, attributes: Vec::new() }, topic))
}

/// A message in the STREAM format. Nothing is told of it, not even its topic; the id is the call's.
pub fn stream(body: &Bytes, facts: Facts<'_>) -> Record {
    let event = CloudEvent {
        id: facts.id.to_owned(),
        source: format!("{}/mns", facts.function),
        ty: TYPE.to_owned(),
        data: body.clone(),
        ..CloudEvent::default()
    };
    Record::new(event, Payload::Topic { body: body.clone(), attributes: Vec::new() }, "")
}
