//! What our Functions host writes, read by the converters of Microsoft's own library for Python, which are chosen by the
//! bindings that our packages declare.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use xcloud_azure::binding::function_json;
use xcloud_azure::host::requests;
use xcloud_core::event::{ChangeKind, Incoming, ObjectAction};
use xcloud_core::spec::FunctionSpec;
use xcloud_core::text::base64_encode;
use xcloud_tests::tools;

use crate::neutral::{self, same};

const SCRIPT: &str = include_str!("azure_functions.py");

/// The binding of a function with this trigger.
fn binding(trigger: &Value) -> Result<Value, String> {
    let function = json!({ "name": "peer", "trigger": trigger });
    let function: FunctionSpec = serde_json::from_value(function).map_err(|e| e.to_string())?;
    let declared = function_json(&function).map_err(|e| e.to_string())?.ok_or("no function.json")?;
    declared.pointer("/bindings/0").cloned().ok_or_else(|| format!("no binding in {declared}"))
}

/// What the converters make of an event's requests, and the name of the class; `None` where the library cannot be had.
fn read(trigger: &Value, event: Incoming) -> Result<Option<Vec<(Value, String)>>, String> {
    let programs = match tools::python("azure-functions", "1.26.0", &[]) {
        Ok(programs) => programs,
        Err(why) => return tools::skip(&why).map(|()| None),
    };
    let binding = binding(trigger)?;
    let name = binding["name"].as_str().unwrap_or_default();
    let mut cases = Vec::new();
    for request in requests("call-1", "peer", event).map_err(|e| e.to_string())? {
        let envelope: Value = serde_json::from_slice(request.body()).map_err(|e| e.to_string())?;
        let value = envelope["Data"].get(name).ok_or_else(|| format!("no `{name}` in {envelope}"))?;
        cases.push(json!({ "binding": binding, "value": value, "metadata": envelope["Metadata"] }));
    }
    let cases = Value::Array(cases);
    let answers = tools::script(&programs, SCRIPT, &cases)?;
    let each = answers.as_array().into_iter().flatten().map(|answer| {
        let read = answer.get("read").ok_or_else(|| format!("refused: {answer}; written was {cases}"))?;
        Ok((read.clone(), answer["class"].as_str().unwrap_or_default().to_owned()))
    });
    each.collect::<Result<_, String>>().map(Some)
}

/// One event, read as this class: where the converter has a field, and what was meant.
fn all(trigger: &Value, event: Incoming, class: &str, meant: &[(&str, Value)]) -> Result<(), String> {
    let Some(read) = read(trigger, event)? else { return Ok(()) };
    let [(read, seen)] = &read[..] else { return Err(format!("{} events came of one", read.len())) };
    if seen != class {
        return Err(format!("read as {seen}, meant was {class}"));
    }
    meant.iter().try_for_each(|(pointer, meant)| {
        same(class, read, pointer, meant).map_err(|why| format!("{why}; all that was read: {read}"))
    })
}

pub(crate) fn queue_messages() -> Result<(), String> {
    let Some(read) = read(&json!({ "kind": "queue", "queue": "order-placed" }), neutral::batch())? else {
        return Ok(());
    };
    let messages = neutral::messages();
    if read.len() != messages.len() {
        return Err(format!("{} messages came of {}", read.len(), messages.len()));
    }
    for ((read, class), message) in read.iter().zip(messages) {
        let fields = [
            ("/id", json!(message.id)),
            ("/body", json!(base64_encode(&message.body))),
            ("/dequeue_count", json!(message.attempt)),
            ("/insertion_time", json!(neutral::WHEN)),
        ];
        fields.iter().try_for_each(|(pointer, meant)| same(class, read, pointer, meant))?;
    }
    Ok(())
}

pub(crate) fn objects() -> Result<(), String> {
    for (action, ty, api) in [
        (ObjectAction::Created, "Microsoft.Storage.BlobCreated", "PutBlob"),
        (ObjectAction::Deleted, "Microsoft.Storage.BlobDeleted", "DeleteBlob"),
    ] {
        let created = action == ObjectAction::Created;
        let event = neutral::incoming(neutral::object(action, created.then_some(5)));
        let subject = format!("/blobServices/default/containers/{}/blobs/{}", neutral::BUCKET, neutral::KEY);
        let trigger = json!({ "kind": "object", "bucket": "uploads", "on": "any" });
        let (size, etag) = (created.then_some(5), created.then_some(neutral::ETAG));
        let meant = [
            ("/id", json!("o-1")),
            ("/subject", json!(subject)),
            ("/event_type", json!(ty)),
            ("/event_time", json!(neutral::WHEN)),
            ("/json/api", json!(api)),
            ("/json/contentLength", json!(size)),
            ("/json/eTag", json!(etag)),
        ];
        all(&trigger, event, "EventGridEvent", &meant)?;
    }
    Ok(())
}

pub(crate) fn schedules() -> Result<(), String> {
    let trigger = json!({ "kind": "schedule", "schedule": "every 5 minutes" });
    // Due now, and long ago.
    for (scheduled, late) in
        [(SystemTime::now(), false), (neutral::when() - Duration::from_secs(400 * 86_400), true)]
    {
        let written = neutral::seconds(scheduled);
        let event = neutral::incoming(neutral::tick(scheduled));
        let meant =
            [("/past_due", json!(late)), ("/schedule_status/Next", json!(format!("{written}+00:00")))];
        all(&trigger, event, "TimerRequest", &meant)?;
    }
    Ok(())
}

pub(crate) fn changes() -> Result<(), String> {
    let trigger = json!({ "kind": "change", "table": "ledger" });
    for (kind, old, new) in neutral::changes() {
        let event = neutral::incoming(neutral::change(kind, old, new.clone()));
        let (Some(Value::Object(row)), false) = (new, kind == ChangeKind::Deleted) else {
            // The change feed has no deletes.
            if requests("call-1", "peer", event).is_ok() {
                return Err("a deleted row was written".to_owned());
            }
            continue;
        };
        let mut meant = vec![("/0/id".to_owned(), json!("r-1")), ("/0/_lsn".to_owned(), json!(160))];
        meant.extend(row.into_iter().map(|(name, value)| (format!("/0/{name}"), value)));
        let meant: Vec<_> = meant.iter().map(|(pointer, value)| (pointer.as_str(), value.clone())).collect();
        all(&trigger, event, "DocumentList", &meant)?;
    }
    Ok(())
}

pub(crate) fn topics() -> Result<(), String> {
    let attributes = json!({ "colour": "red é", "Id": "7" });
    let meant = [
        ("/message_id", json!("m-1")),
        ("/body", json!(base64_encode(neutral::BODY.as_bytes()))),
        ("/delivery_count", json!(3)),
        ("/sequence_number", json!(42)),
        ("/subject", json!("a \"subject\"")),
        ("/label", json!("a \"subject\"")),
        ("/content_type", json!("application/json")),
        ("/enqueued_time_utc", json!(neutral::WHEN)),
        ("/application_properties", attributes.clone()),
        ("/user_properties", attributes),
    ];
    let trigger = json!({ "kind": "topic", "topic": "news" });
    all(&trigger, neutral::incoming(neutral::topic()), "ServiceBusMessage", &meant)
}

pub(crate) fn events() -> Result<(), String> {
    let meant = [
        ("/id", json!("e-1")),
        ("/source", json!("shop.test")),
        ("/type", json!("OrderPaid")),
        ("/specversion", json!("1.0")),
        ("/subject", json!("orders/ü 1")),
        ("/time", json!(neutral::WHEN)),
        ("/extension_attrs/tenant", json!("acme")),
        ("/json", json!({ "total": 7, "of": ["é"] })),
    ];
    let trigger = json!({ "kind": "event" });
    all(&trigger, neutral::incoming(neutral::application()), "CloudEvent", &meant)
}
