//! Messages of storage queues, Service Bus queues and Service Bus topics
//! (<https://learn.microsoft.com/azure/azure-functions/functions-bindings-service-bus-trigger#message-metadata>).

use serde_json::Value;
use xcloud_core::cloudevents;
use xcloud_core::event::{Batch, CloudEvent, Payload, RawMessage, Record};
use xcloud_core::text::rfc3339;
use xcloud_core::{Error, Result};

use super::envelope::{Envelope, Metadata, bad, body, member, plain, scalar, structured, time};
use crate::binding::Binding;

/// The messages of a queue trigger's envelope: storage queue or Service Bus, one or many.
pub(super) fn queue(envelope: Envelope, binding: &Binding) -> Result<Batch> {
    let messages = messages(envelope, binding)?;
    Ok(Batch { messages: messages.into_iter().map(|message| message.raw).collect() })
}

/// The messages of a topic's envelope.
pub(super) fn topic(envelope: Envelope, binding: &Binding) -> Result<Vec<Record>> {
    messages(envelope, binding)?.into_iter().map(|message| record(message, binding)).collect()
}

#[derive(Default)]
struct Message {
    raw: RawMessage,
    sequence: Option<String>,
    subject: Option<String>,
    media: Option<String>,
}

fn messages(envelope: Envelope, binding: &Binding) -> Result<Vec<Message>> {
    let Envelope { value, metadata } = envelope;
    match metadata.get("MessageIdArray") {
        Some(_) => many(value, &metadata, binding),
        None => Ok(vec![one(value, &metadata, binding)]),
    }
}

fn one(value: Value, metadata: &Metadata, binding: &Binding) -> Message {
    let either = |names: [&str; 2]| names.iter().find_map(|name| metadata.text(name));
    let properties = PROPERTIES.iter().find_map(|name| metadata.structured(name).filter(Value::is_object));
    let raw = RawMessage {
        id: either(["Id", "MessageId"]).unwrap_or_default(),
        body: body(value, binding.binary),
        attempt: either(["DequeueCount", "DeliveryCount"]).and_then(|count| count.parse().ok()),
        sent: metadata.time("InsertionTime").or_else(|| metadata.time("EnqueuedTimeUtc")),
        attributes: properties.map_or_else(Vec::new, bag),
    };
    let subject = either(["Subject", "Label"]);
    Message { raw, sequence: metadata.text("SequenceNumber"), subject, media: metadata.text("ContentType") }
}

/// The sender's properties, by their name now and before.
const PROPERTIES: [&str; 2] = ["ApplicationProperties", "UserProperties"];

pub(super) fn bag(value: Value) -> Vec<(String, String)> {
    match value {
        Value::Object(bag) => bag.iter().filter_map(|(k, v)| Some((k.clone(), plain_scalar(v)?))).collect(),
        _ => Vec::new(),
    }
}

/// A scalar within structured metadata: it is not wrapped once more.
pub(super) fn plain_scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        other => scalar(other),
    }
}

fn many(value: Value, metadata: &Metadata, binding: &Binding) -> Result<Vec<Message>> {
    let Value::Array(values) = structured(value) else {
        return Err(bad("`Metadata.MessageIdArray` came with a value that is not an array"));
    };
    let list = |name: &str| metadata.list(name, values.len()).map(Option::unwrap_or_default);
    let names = [
        "MessageId",
        "DeliveryCount",
        "EnqueuedTimeUtc",
        "SequenceNumber",
        "Subject",
        "Label",
        "ContentType",
    ];
    let mut lists = Vec::with_capacity(names.len());
    for name in names {
        lists.push(list(&format!("{name}Array"))?);
    }
    let properties = [list("ApplicationPropertiesArray")?, list("UserPropertiesArray")?];
    let messages = values.into_iter().enumerate().map(|(at, value)| {
        let text = |list: usize| lists[list].get(at).and_then(plain_scalar).filter(|text| !text.is_empty());
        let raw = RawMessage {
            id: text(0).unwrap_or_default(),
            body: plain(value, binding.binary),
            attempt: text(1).and_then(|count| count.parse().ok()),
            sent: text(2).as_deref().and_then(time),
            attributes: properties.iter().find_map(|list| list.get(at)).cloned().map_or_else(Vec::new, bag),
        };
        Message { raw, sequence: text(3), subject: text(4).or_else(|| text(5)), media: text(6) }
    });
    Ok(messages.collect())
}

/// One message of the topic. Its id is the sender's; a sender may leave it out, and then its number in the topic is it.
fn record(message: Message, binding: &Binding) -> Result<Record> {
    let Message { raw, sequence, subject, media } = message;
    let id = Some(raw.id).filter(|id| !id.is_empty()).or_else(|| sequence.clone()).ok_or_else(|| {
        bad("not a message of a Service Bus topic: `Metadata` has neither `MessageId` nor `SequenceNumber`")
    })?;
    let event = match native(media.as_deref(), &raw.body) {
        Some(event) => event?,
        None => CloudEvent {
            id,
            source: format!("azure:servicebus:{}", binding.source()),
            ty: "com.microsoft.servicebus.message".to_owned(),
            subject,
            time: raw.sent.map(rfc3339),
            datacontenttype: media,
            extensions: sequence.into_iter().map(|number| ("sequence".to_owned(), number)).collect(),
            data: raw.body.clone(),
        },
    };
    let payload = Payload::Topic { body: raw.body, attributes: raw.attributes };
    let mut record = Record::new(event, payload, binding.source());
    record.attempt = raw.attempt;
    Ok(record)
}

/// The CloudEvent that a publisher sent in structured form.
fn native(media: Option<&str>, body: &[u8]) -> Option<Result<CloudEvent>> {
    let media = media?.trim_start().to_ascii_lowercase();
    if !media.starts_with("application/cloudevents+json") {
        return None;
    }
    let events = cloudevents::from_json(body);
    Some(events.and_then(|mut events| match events.len() {
        1 => Ok(events.remove(0)),
        count => Err(Error::bad_request(format!(
            "the message is of type {media} and holds {count} events, not one"
        ))),
    }))
}

/// Whether an envelope is of Event Hubs, not of Service Bus.
pub(super) fn is_event_hubs(metadata: &Metadata) -> bool {
    let names = ["PartitionContext", "TriggerPartitionContext", "SystemProperties", "SystemPropertiesArray"];
    names.iter().any(|name| metadata.has(name))
}

/// A member of an object as text.
pub(super) fn of(object: &Value, name: &str) -> Option<String> {
    member(object.as_object()?, name).and_then(plain_scalar).filter(|text| !text.is_empty())
}
