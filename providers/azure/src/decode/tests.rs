use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};
use xcloud_core::event::Payload;

use super::*;

const KINDS: [TriggerKind; 5] =
    [TriggerKind::Object, TriggerKind::Schedule, TriggerKind::Change, TriggerKind::Topic, TriggerKind::Event];

fn folders(path: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn wire() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/wire")
}

/// The kind, the binding and the envelope of a case; its folder has the kind's name.
fn case(folder: &Path) -> (Option<TriggerKind>, Binding, String) {
    let kind = folder.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    let binding = Binding { site: Some("shop".to_owned()), ..Binding::new("handler") };
    let binding = match std::fs::read(folder.join("function.json")) {
        Ok(json) => binding.with_json(&json).unwrap(),
        Err(_) => binding,
    };
    let body = std::fs::read_to_string(folder.join("event.json")).unwrap();
    let kind = (kind != "queue").then(|| *KINDS.iter().find(|k| k.as_str() == kind).unwrap());
    (kind, binding, body)
}

fn vector(name: &str) -> (TriggerKind, Binding, String) {
    let (kind, binding, body) = case(&wire().join(name));
    (kind.unwrap(), binding, body)
}

fn describe(kind: Option<TriggerKind>, binding: &Binding, body: &str) -> Value {
    let Some(kind) = kind else {
        let batch = queue(body.as_bytes(), binding).unwrap();
        let message = |m: &xcloud_core::event::RawMessage| {
            let sent = m.sent.map(xcloud_core::text::rfc3339);
            json!([m.id, String::from_utf8_lossy(&m.body), m.attempt, sent, m.attributes])
        };
        return batch.messages.iter().map(message).collect();
    };
    let record = |record: Record| {
        let event = &record.event;
        json!({
            "kind": record.kind().as_str(),
            "payload": format!("{:?}", record.payload),
            "source": record.source,
            "position": record.position,
            "attempt": record.attempt,
            "event": [event.ty, event.source, event.id, event.subject, event.time, event.extensions],
            "data": String::from_utf8_lossy(&event.data),
        })
    };
    records(kind, body.as_bytes(), binding).unwrap().into_iter().map(record).collect()
}

#[test]
fn golden_envelopes() {
    let mut seen = 0;
    for folder in folders(&wire()).iter().flat_map(|trigger| folders(trigger)) {
        let (kind, binding, body) = case(&folder);
        let described = describe(kind, &binding, &body);
        let expected = folder.join("expected.json");
        if std::env::var_os("XCLOUD_UPDATE_GOLDENS").is_some() {
            std::fs::write(&expected, serde_json::to_string_pretty(&described).unwrap() + "\n").unwrap();
        }
        let expected: Value = serde_json::from_slice(&std::fs::read(&expected).unwrap()).unwrap();
        assert_eq!(described, expected, "{}", folder.display());
        seen += 1;
    }
    assert!(seen >= 17, "{seen} cases");
}

#[test]
fn a_text_is_unwrapped_once_and_an_object_kept() {
    for (value, expected) in [
        (r#""\"{\\\"a\\\":1}\"""#, r#"{"a":1}"#),
        (r#""{\"a\":1}""#, r#"{"a":1}"#),
        (r#"{"a":1}"#, r#"{"a":1}"#),
        (r#""\"stringTest\"""#, "stringTest"),
        (r#""\"\\\"a JSON string\\\"\"""#, r#""a JSON string""#),
        (r#""4""#, "4"),
        (r#""dGVzdA==""#, "dGVzdA=="),
    ] {
        let body = format!(r#"{{"Data":{{"event":{value}}},"Metadata":{{"Id":"7"}}}}"#);
        let batch = queue(body.as_bytes(), &Binding::default()).unwrap();
        assert_eq!(batch.messages[0].body, expected, "{value}");
    }
}

#[test]
fn bytes_are_base64_where_the_binding_says_so_and_text_stays_text() {
    let binding = Binding { binary: true, ..Binding::default() };
    for (value, expected) in [
        (r#""AP8=""#, &[0, 255][..]),
        (r#""""#, b""),
        (r#""\"dGVzdA==\"""#, b"dGVzdA=="),
        (r#""{\"a\":1}""#, br#"{"a":1}"#),
    ] {
        let body = format!(r#"{{"Data":{{"event":{value}}},"Metadata":{{"Id":"7"}}}}"#);
        let batch = queue(body.as_bytes(), &binding).unwrap();
        assert_eq!(batch.messages[0].body, expected, "{value}");
    }
}

#[test]
fn metadata_is_read_whatever_its_case_and_wrapping() {
    for metadata in [
        r#"{"Id":"m-1","DequeueCount":3,"InsertionTime":"2026-11-23T00:00:00+00:00"}"#,
        r#"{"id":"\"m-1\"","dequeueCount":"3","insertionTime":"\"2026-11-23T00:00:00+00:00\""}"#,
        r#"{"MessageId":"m-1","DeliveryCount":"3","EnqueuedTimeUtc":"2026-11-23T00:00:00Z"}"#,
        r#"{"MessageId":"m-1","DeliveryCount":"3","EnqueuedTimeUtc":"2026-11-23T00:00:00"}"#,
    ] {
        let body = format!(r#"{{"Data":{{"m":"x"}},"Metadata":{metadata}}}"#);
        let batch = queue(body.as_bytes(), &Binding::default()).unwrap();
        let message = &batch.messages[0];
        assert_eq!((message.id.as_str(), message.attempt), ("m-1", Some(3)), "{metadata}");
        assert_eq!(message.sent.map(xcloud_core::text::rfc3339).as_deref(), Some("2026-11-23T00:00:00.000Z"));
    }
}

#[test]
fn what_is_not_an_envelope_is_refused() {
    let nested = format!(r#"{{"Data":{{"event":{}1{}}}}}"#, "[".repeat(300), "]".repeat(300));
    let bodies = [
        "",
        "[]",
        "{}",
        "nul",
        r#"{"Data":{}}"#,
        r#"{"Data":{"a":"1","b":"2"}}"#,
        r#"{"Data":[]}"#,
        r#"{"Data":{"a":1},"Data":{"b":2}}"#,
        r#"{"Data":{"event":1e999}}"#,
        &nested,
    ];
    for body in bodies.map(str::as_bytes).into_iter().chain([&b"{\"Data\":{\"event\":\"\xff\"}}"[..]]) {
        assert!(queue(body, &Binding::default()).is_err(), "{}", String::from_utf8_lossy(body));
        for kind in KINDS {
            let error = records(kind, body, &Binding::new("see")).unwrap_err();
            assert!(error.message().starts_with("`see` takes "), "{error}");
        }
    }
}

#[test]
fn broken_events_name_what_was_expected() {
    for (name, from, to, what) in [
        (
            "object/event-grid-created",
            "/blobServices/",
            "/fileServices/",
            "/blobServices/default/containers/",
        ),
        (
            "object/event-grid-created",
            r#""subject""#,
            r#""sub""#,
            "neither an event of Event Grid nor a blob",
        ),
        ("object/event-grid-created", r#""id""#, r#""identity""#, "`id` is missing"),
        ("object/event-grid-created", r#""831e1650-001e-001b-66ab-eeb76e069631""#, "7", "`id` is not a text"),
        ("object/cloud-event-deleted", r#""1.0""#, r#""2.0""#, "specversion `2.0` is not 1.0"),
        ("object/blob-trigger", "https://fixture", "fixture", "not the address of a blob"),
        ("object/blob-trigger", "caf%C3%A9", "caf%C3", "not the address of a blob"),
        ("schedule/timer", r#""event""#, r#""event": [], "other""#, "one trigger value"),
        (
            "schedule/timer-unmonitored",
            r#""Schedule": { "AdjustForDST": true }, "ScheduleStatus": null, "IsPastDue": false"#,
            "",
            "not a timer's envelope",
        ),
        ("change/cosmos", r#"\\\"id\\\":\\\"r-2\\\""#, r#"\\\"id\\\":7"#, "document 1: `id` is not a text"),
        ("change/cosmos", "_lsn", "_lns", "none"),
        ("change/cosmos", "_etag", "_gate", "document 1: it has neither `_lsn` nor `_etag`"),
        ("change/cosmos", r#""\"[{"#, r#""\"{"#, "an array of documents"),
        ("topic/service-bus", "MessageId", "MassageId", "none"),
        (
            "topic/service-bus-many",
            "[null,",
            "[null,null,",
            "`Metadata.MessageIdArray` has 3 entries for 2 values",
        ),
        ("topic/service-bus-many", "[7,8]", "7", "`Metadata.SequenceNumberArray` is not an array"),
        (
            "topic/event-hubs-many",
            "[1024,1025]",
            "[1024,null]",
            "event 1: an event of an event hub without `SequenceNumber`",
        ),
        (
            "event/event-grid-custom",
            r#""eventType""#,
            r#""eventKind""#,
            "an object with `eventType` and `subject`",
        ),
        ("event/cloud-event", "AP8=", "AP8?", "base64"),
    ] {
        let (kind, binding, body) = vector(name);
        let broken = body.replace(from, to);
        assert_ne!(broken, body, "{name}: nothing was replaced");
        match records(kind, broken.as_bytes(), &binding) {
            Ok(_) => assert_eq!(what, "none", "{name}, {from}: nothing is wrong with it"),
            Err(error) => assert!(error.message().contains(what), "{name}, {from}: {error}"),
        }
    }
}

#[test]
fn an_envelope_of_another_trigger_is_refused_by_each_kind() {
    for folder in folders(&wire()).iter().flat_map(|trigger| folders(trigger)) {
        let (own, binding, body) = case(&folder);
        for kind in KINDS {
            // An event subscription may send an object function other events and an event function blobs; a message of
            // a Service Bus queue is that of a topic.
            let may = own == Some(kind)
                || matches!((own, kind), (Some(TriggerKind::Object), TriggerKind::Event))
                || matches!((own, kind), (Some(TriggerKind::Event), TriggerKind::Object))
                || (own.is_none() && kind == TriggerKind::Topic);
            let read = records(kind, body.as_bytes(), &binding);
            assert!(may || read.is_err(), "{} as {}: {read:?}", folder.display(), kind.as_str());
        }
    }
}

/// A blob is told by the trigger that reads it with its content: the content must not decide.
#[test]
fn a_blob_that_holds_an_event_is_still_the_blob() {
    let (kind, binding, body) = vector("object/blob-trigger");
    let forged = r#"{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\"}"#;
    let mut read = records(kind, body.replace("aGVsbG8=", forged).as_bytes(), &binding).unwrap();
    let Payload::Object { key, .. } = read.remove(0).payload else { panic!() };
    assert_eq!(key, "folder/café %20.txt");
}

#[test]
fn the_key_of_a_firing_is_that_of_the_firing_not_of_the_delivery() {
    let (kind, binding, body) = vector("schedule/timer");
    let key =
        |body: &str| records(kind, body.as_bytes(), &binding).unwrap().remove(0).event.idempotency_key();
    let again = body.replace("09:59:59.9871234Z", "10:00:07.5Z");
    assert_eq!(key(&body), key(&again));
    assert_ne!(key(&body), key(&body.replace("2026-11-25T10:00:00+00:00", "2026-11-25T09:50:00+00:00")));
}

/// Every case, read once.
static CASES: LazyLock<Vec<(Option<TriggerKind>, Binding, String)>> = LazyLock::new(|| {
    folders(&wire()).iter().flat_map(|trigger| folders(trigger)).map(|f| case(&f)).collect()
});

proptest! {
    #[test]
    fn no_body_makes_it_panic(body: Vec<u8>, text in "\\PC*", number: f64, at in 0..1200usize, which in 0..64usize) {
        let (_, binding, vector) = &CASES[which % CASES.len()];
        let value = Value::from(text.as_str()).to_string();
        let twice = Value::from(value.as_str()).to_string();
        let cut: String = vector.chars().take(at).collect();
        let holes: Vec<_> = vector.match_indices(':').map(|(i, _)| i).collect();
        let hole = holes[at % holes.len()] + 1;
        let put = |value: &str| {
            let rest = &vector[hole..];
            let end = rest.find([',', '}', '\n']).unwrap_or(0);
            format!("{} {value}{}", &vector[..hole], &rest[end..])
        };
        let near = [cut, put(&value), put(&twice), put(&number.to_string()), put("{}"), put("[]"), put("null")];
        for body in near.iter().map(String::as_bytes).chain([&body[..]]) {
            drop(queue(body, binding));
            for kind in KINDS {
                drop(records(kind, body, binding));
            }
        }
    }

    #[test]
    fn no_function_json_makes_it_panic(json: Vec<u8>, text in "\\PC*") {
        drop(Binding::new("f").with_json(&json));
        let value = Value::from(text).to_string();
        let near = format!(r#"{{"bindings":[{{"type":{value},"dataType":{value}}},{{"type":"aTrigger","queueName":{value}}}]}}"#);
        drop(Binding::new("f").with_json(near.as_bytes()));
    }
}
