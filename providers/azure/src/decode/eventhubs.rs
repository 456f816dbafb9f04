//! Events of an event hub, one or many
//! (<https://learn.microsoft.com/azure/azure-functions/functions-bindings-event-hubs-trigger>). They keep the order of
//! their partition; the host settles them as a whole.

use serde_json::Value;
use xcloud_core::Result;
use xcloud_core::event::{CloudEvent, Payload, Record};
use xcloud_core::text::rfc3339;

use super::envelope::{Envelope, Metadata, bad, body, plain, structured, time};
use super::servicebus::{bag, of, plain_scalar};
use crate::binding::Binding;

pub(super) fn read(envelope: Envelope, binding: &Binding) -> Result<Vec<Record>> {
    let Envelope { value, metadata } = envelope;
    let hub = Hub::of(&metadata, binding);
    if metadata.get("SequenceNumberArray").is_none() {
        let facts = Facts {
            sequence: metadata.text("SequenceNumber"),
            key: metadata.text("PartitionKey"),
            enqueued: metadata.time("EnqueuedTimeUtc").map(rfc3339),
            properties: metadata.structured("Properties").unwrap_or_default(),
        };
        return Ok(vec![hub.record(body(value, binding.binary), facts)?]);
    }
    let Value::Array(values) = structured(value) else {
        return Err(bad("`Metadata.SequenceNumberArray` came with a value that is not an array"));
    };
    let list = |name: &str| metadata.list(name, values.len()).map(Option::unwrap_or_default);
    let (sequences, keys) = (list("SequenceNumberArray")?, list("PartitionKeyArray")?);
    let (times, properties) = (list("EnqueuedTimeUtcArray")?, list("PropertiesArray")?);
    let records = values.into_iter().enumerate().map(|(at, value)| {
        let text = |list: &[Value]| list.get(at).and_then(plain_scalar).filter(|text| !text.is_empty());
        let facts = Facts {
            sequence: text(&sequences),
            key: text(&keys),
            enqueued: text(&times).as_deref().and_then(time).map(rfc3339),
            properties: properties.get(at).cloned().unwrap_or_default(),
        };
        hub.record(plain(value, binding.binary), facts)
            .map_err(|e| bad(format!("event {at}: {}", e.message())))
    });
    records.collect()
}

/// Where the events come from.
struct Hub {
    name: String,
    /// `//<namespace>/<hub>`, or what the binding says.
    source: String,
    partition: Option<String>,
}

struct Facts {
    sequence: Option<String>,
    key: Option<String>,
    enqueued: Option<String>,
    properties: Value,
}

impl Hub {
    fn of(metadata: &Metadata, binding: &Binding) -> Self {
        let names = ["TriggerPartitionContext", "PartitionContext"];
        let context = names.iter().find_map(|name| metadata.structured(name)).unwrap_or_default();
        let name = of(&context, "EventHubName").unwrap_or_else(|| binding.source().to_owned());
        let source = match of(&context, "FullyQualifiedNamespace") {
            Some(namespace) => format!("//{namespace}/{name}"),
            None => format!("azure:eventhubs:{name}"),
        };
        Self { name, source, partition: of(&context, "PartitionId") }
    }

    fn record(&self, body: bytes::Bytes, facts: Facts) -> Result<Record> {
        let Facts { sequence, key, enqueued, properties } = facts;
        let sequence = sequence.ok_or_else(|| bad("an event of an event hub without `SequenceNumber`"))?;
        // Numbers begin anew in every partition.
        let id = self.partition.as_ref().map_or_else(|| sequence.clone(), |p| format!("{p}-{sequence}"));
        let event = CloudEvent {
            id,
            source: self.source.clone(),
            ty: "com.microsoft.eventhubs.event".to_owned(),
            subject: key,
            time: enqueued,
            data: body.clone(),
            ..CloudEvent::default()
        };
        let payload = Payload::Topic { body, attributes: bag(properties) };
        let mut record = Record::new(event, payload, self.name.clone());
        record.position = Some(sequence);
        Ok(record)
    }
}
