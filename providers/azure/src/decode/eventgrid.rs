//! Events of Event Grid in its own schema and as CloudEvents
//! (<https://learn.microsoft.com/azure/event-grid/event-schema>,
//! <https://learn.microsoft.com/azure/event-grid/event-schema-blob-storage>).

use serde_json::{Map, Value};
use xcloud_core::cloudevents;
use xcloud_core::event::{CloudEvent, ObjectAction, Payload, Record};
use xcloud_core::{Error, Result};

use super::envelope::{Envelope, bad, member, structured};

/// Whether a value has the shape of an event, in either schema.
pub(super) fn is_event(value: &Value) -> bool {
    let has =
        |value: &Value, name: &str| value.as_object().is_some_and(|event| member(event, name).is_some());
    let event = value.as_array().and_then(|events| events.first()).unwrap_or(value);
    has(event, "specversion") || (has(event, "eventType") && has(event, "subject"))
}

/// The events of an envelope: one, or an array where the binding says `many`.
pub(super) fn read(envelope: Envelope) -> Result<Vec<Record>> {
    match structured(envelope.value) {
        Value::Array(events) => events.into_iter().map(record).collect(),
        event => Ok(vec![record(event)?]),
    }
}

fn record(value: Value) -> Result<Record> {
    if !is_event(&value) {
        return Err(bad(
            "not an event of Event Grid: an object with `eventType` and `subject`, or with `specversion`, is wanted",
        ));
    }
    let Value::Object(object) = value else { return Err(bad("an event of Event Grid is a JSON object")) };
    let (event, data) =
        if object.contains_key("specversion") { native(object)? } else { synthesised(object)? };
    match event.ty.as_str() {
        "Microsoft.Storage.BlobCreated" => blob(event, &data, ObjectAction::Created),
        "Microsoft.Storage.BlobDeleted" => blob(event, &data, ObjectAction::Deleted),
        _ => {
            let source = event.source.clone();
            Ok(Record::new(event, Payload::Event, source))
        }
    }
}

fn native(object: Map<String, Value>) -> Result<(CloudEvent, Value)> {
    let data = object.get("data").cloned().unwrap_or_default();
    let mut events = cloudevents::from_json(Value::Object(object).to_string().as_bytes())?;
    events.pop().map(|event| (event, data)).ok_or_else(|| bad("not a CloudEvent"))
}

/// Event Grid's own schema in the words of CloudEvents.
fn synthesised(mut object: Map<String, Value>) -> Result<(CloudEvent, Value)> {
    let text = |name: &str| match member(&object, name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        None | Some(Value::Null | Value::String(_)) => Ok(None),
        Some(_) => Err(bad(format!("an event of Event Grid: `{name}` is not a text"))),
    };
    let need = |name: &str| {
        text(name)?.ok_or_else(|| bad(format!("an event of Event Grid: `{name}` is missing or empty")))
    };
    let event = CloudEvent {
        id: need("id")?,
        ty: need("eventType")?,
        source: need("topic")?,
        subject: text("subject")?,
        time: text("eventTime")?,
        datacontenttype: Some("application/json".to_owned()),
        ..CloudEvent::default()
    };
    let data = object.remove("data").unwrap_or_default();
    // Orders the events of one blob.
    let sequencer = data.get("sequencer").and_then(Value::as_str);
    let extensions = sequencer.map(|s| ("sequencer".to_owned(), s.to_owned())).into_iter().collect();
    Ok((CloudEvent { data: data.to_string().into(), extensions, ..event }, data))
}

/// Container and name come from the subject; it has the name as it is, not encoded.
fn blob(event: CloudEvent, data: &Value, action: ObjectAction) -> Result<Record> {
    let path = event.subject.as_deref().and_then(|s| s.strip_prefix("/blobServices/default/containers/"));
    let (container, key) = path.and_then(|path| path.split_once("/blobs/")).ok_or_else(|| {
        let subject = event.subject.as_deref().unwrap_or_default();
        Error::bad_request(format!(
            "a blob's event has the subject `{subject}`, not `/blobServices/default/containers/<container>/blobs/<name>`"
        ))
    })?;
    let (container, key) = (container.to_owned(), key.to_owned());
    let of = |name: &str| data.get(name).and_then(Value::as_str).map(str::to_owned);
    let payload = Payload::Object {
        bucket: container.clone(),
        key,
        action,
        size: data.get("contentLength").and_then(Value::as_u64),
        etag: of("eTag").map(|etag| etag.trim_matches('"').to_owned()),
        version: None,
    };
    Ok(Record::new(event, payload, container))
}
