//! CloudEvents, one or an array of them, as EventBridge delivers them: messages of SMQ queues and RocketMQ topics, OSS
//! events, the neutral types, anything else.

use serde_json::Value;
use xcloud_core::event::{Batch, CloudEvent, Payload, RawMessage, Record, neutral};
use xcloud_core::text::{parse_json, parse_rfc3339};
use xcloud_core::{Result, cloudevents};

use super::{Records, bad, oss};
use crate::binding::{MNS_TYPE, MQ_TYPE};

/// Messages of one queue or topic.
#[derive(Debug)]
pub struct Messages {
    /// The name of the queue or topic.
    pub source: String,
    /// They are of a RocketMQ topic, which an app may have as a queue or as a topic.
    pub topic: bool,
    messages: Vec<(CloudEvent, RawMessage)>,
}

impl Messages {
    /// The messages as those of a queue.
    pub fn batch(self) -> Batch {
        Batch { messages: self.messages.into_iter().map(|(_, message)| message).collect() }
    }

    /// The messages as those of a topic.
    pub fn publications(self) -> Vec<Record> {
        let Self { source, messages, .. } = self;
        let record = |(event, RawMessage { body, attributes, .. })| {
            Record::new(event, Payload::Topic { body, attributes }, source.clone())
        };
        messages.into_iter().map(record).collect()
    }

    /// The messages as the CloudEvents that they came in.
    pub fn events(self) -> Vec<Record> {
        let record = |(event, _): (CloudEvent, _)| {
            let source = event.source.clone();
            Record::new(event, Payload::Event, source)
        };
        self.messages.into_iter().map(record).collect()
    }
}

/// The CloudEvents of a body, `value` as JSON, if it holds any: objects, or (Kafka through EventBridge,
/// `events/README_KAFKA_EVENTBRIDGE.md`) texts that hold objects.
pub(super) fn events(body: &[u8], value: &Value) -> Result<Option<Vec<CloudEvent>>> {
    let texts = match value {
        Value::Array(array) if !array.iter().any(is_event) => return Ok(None),
        Value::Array(array) => array.iter().all(Value::is_string).then_some(array),
        other if other.get("specversion").is_none() => return Ok(None),
        _ => None,
    };
    let Some(texts) = texts else { return cloudevents::from_json(body).map(Some) };
    let mut events = Vec::with_capacity(texts.len());
    for text in texts.iter().filter_map(Value::as_str) {
        events.extend(cloudevents::from_json(text.as_bytes())?);
    }
    Ok(Some(events))
}

/// Whether this element of an array is a CloudEvent, or a text that holds one.
fn is_event(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.contains_key("specversion"),
        Value::String(text) => text.trim_start().starts_with('{') && text.contains("\"specversion\""),
        _ => false,
    }
}

/// What each of the events is, when they are no messages.
pub(super) fn records(events: Vec<CloudEvent>) -> Result<Records> {
    let records = events.into_iter().map(|event| match oss::event_action(&event.ty) {
        Some(action) => oss::of_event(event, action),
        // The neutral types; any other event is itself.
        None => neutral::from_cloud_event(event),
    });
    Ok(Records { stream: false, records: records.collect::<Result<_>>()? })
}

/// The messages of a queue or topic; the events themselves when none is a message.
pub(super) fn messages(events: Vec<CloudEvent>) -> Result<Result<Messages, Vec<CloudEvent>>> {
    if !events.iter().any(|event| event.ty == MNS_TYPE || event.ty == MQ_TYPE) {
        return Ok(Err(events));
    }
    let mut source: Option<String> = None;
    let topic = events.iter().all(|event| event.ty == MQ_TYPE);
    let mut messages = Vec::with_capacity(events.len());
    for event in events {
        let (name, message) = message(&event)?;
        if source.as_ref().is_some_and(|seen| *seen != name) {
            let seen = source.unwrap_or_default();
            return Err(bad(format!("one call brings messages of two queues: `{seen}` and `{name}`")));
        }
        source = Some(name);
        messages.push((event, message));
    }
    Ok(Ok(Messages { source: source.unwrap_or_default(), topic, messages }))
}

fn message(event: &CloudEvent) -> Result<(String, RawMessage)> {
    let wrong = |why: String| bad(format!("the data of message `{}` is not an object: {why}", event.id));
    let mut data = match parse_json(&event.data).map_err(|e| wrong(e.to_string()))? {
        Value::Object(data) => data,
        _ => return Err(wrong("it is other JSON".to_owned())),
    };
    let (queue, body) = match event.ty.as_str() {
        MNS_TYPE => (subject_queue(event), data.remove("messageBody")),
        MQ_TYPE => (data.get("topic").and_then(Value::as_str).map(str::to_owned), data.remove("body")),
        other => return Err(bad(format!("event `{}` of type {other} among messages of a queue", event.id))),
    };
    let body = match body {
        Some(Value::String(text)) => text.into_bytes(),
        // EventBridge may have parsed it on the way.
        Some(other) => other.to_string().into_bytes(),
        None => return Err(bad(format!("message `{}` has no body", event.id))),
    };
    let id = match data.remove("messageId") {
        Some(Value::String(id)) if !id.is_empty() => id,
        _ => event.id.clone(),
    };
    let sent = event.time.as_deref().and_then(parse_rfc3339);
    let attributes = data.remove("userProperties").map_or_else(Vec::new, properties);
    Ok((queue.unwrap_or_default(), RawMessage { id, body: body.into(), attempt: None, sent, attributes }))
}

fn properties(properties: Value) -> Vec<(String, String)> {
    let Value::Object(properties) = properties else { return Vec::new() };
    let property = |(name, value)| match value {
        Value::String(text) => (name, text),
        other => (name, other.to_string()),
    };
    properties.into_iter().map(property).collect()
}

/// `acs:mns:<region>:<account>:queues/<name>`; the source `MNS-Function-<trigger>` names only the trigger.
fn subject_queue(event: &CloudEvent) -> Option<String> {
    let (_, name) = event.subject.as_deref()?.rsplit_once("queues/")?;
    Some(name.split('/').next().unwrap_or(name).to_owned())
}
