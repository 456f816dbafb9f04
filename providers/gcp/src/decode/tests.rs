use super::*;
use std::path::Path;

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::{Value, json};
use xcloud_core::text::{base64_decode, rfc3339};

type Request = (HeaderMap, Bytes);

/// A request as `event.json` has it: headers, and a body as JSON or, where it is none, in base64.
fn of_file(json: &str) -> Request {
    let event: Value = serde_json::from_str(json).unwrap();
    let pairs = event["headers"].as_object().unwrap().iter();
    let headers = pairs.map(|(name, value)| {
        let value = HeaderValue::from_str(value.as_str().unwrap()).unwrap();
        (name.parse::<HeaderName>().unwrap(), value)
    });
    let body = match (&event["body"], &event["body_base64"]) {
        (Value::Null, Value::String(text)) => base64_decode(text.as_bytes()).unwrap().into(),
        (Value::Null, _) => Bytes::new(),
        (json, _) => Bytes::from(json.to_string()),
    };
    (headers.collect(), body)
}

fn post(body: &str) -> Request {
    (HeaderMap::new(), Bytes::from(body.to_owned()))
}

fn binary(ty: &str, media: &str, body: impl Into<Bytes>) -> Request {
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "e-1"),
        ("ce-source", "//s"),
        ("ce-type", ty),
        ("content-type", media),
    ];
    let headers = headers.map(|(k, v)| (k.parse::<HeaderName>().unwrap(), HeaderValue::from_str(v).unwrap()));
    (headers.into_iter().collect(), body.into())
}

/// A delivery in the words of `expected.json`, with what other kinds of functions take of it.
fn describe(delivery: &Delivery) -> Value {
    let incoming = match &delivery.incoming {
        Incoming::Queue(batch) => {
            let message = &batch.messages[0];
            json!({
                "message": [message.id, String::from_utf8_lossy(&message.body), message.attempt, message.attributes],
                "sent": message.sent.map(rfc3339),
                "names": delivery.names,
                "topic": delivery.topic().as_ref().map(record),
                "object": delivery.object().unwrap().as_ref().map(record),
            })
        }
        Incoming::Record(found) => record(found),
        other => json!({ "kind": other.kind().as_str() }),
    };
    json!({ "id": delivery.id, "attempt": delivery.attempt, "incoming": incoming })
}

fn record(record: &Record) -> Value {
    let event = &record.event;
    json!({
        "payload": format!("{:?}", record.payload),
        "source": record.source,
        "attempt": record.attempt,
        "event": [event.ty, event.source, event.id, event.subject, event.time, event.datacontenttype, event.extensions],
        "data": event.data.len(),
    })
}

#[test]
fn golden_requests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/wire");
    let folders =
        |path: &Path| std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
    let mut seen = 0;
    for case in folders(&root).iter().flat_map(|trigger| folders(trigger)) {
        let file = |name: &str| std::fs::read_to_string(case.join(name)).unwrap();
        let (headers, body) = of_file(&file("event.json"));
        let deliveries = request(&headers, body).unwrap();
        let described = Value::Array(deliveries.iter().map(describe).collect());
        if std::env::var_os("XCLOUD_UPDATE_GOLDENS").is_some() {
            let text = serde_json::to_string_pretty(&described).unwrap() + "\n";
            std::fs::write(case.join("expected.json"), text).unwrap();
        }
        let expected: Value = serde_json::from_str(&file("expected.json")).unwrap();
        assert_eq!(described, expected, "{}", case.display());
        seen += 1;
    }
    assert!(seen >= 20, "{seen} cases");
}

#[test]
fn what_is_a_cloudevent_already_is_untouched() {
    for case in
        ["object/gcs-finalized", "change/firestore-updated", "schedule/eventarc", "event/gcs-archived"]
    {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/wire").join(case).join("event.json");
        let (headers, body) = of_file(&std::fs::read_to_string(path).unwrap());
        let sent = cloudevents::from_request(Mode::Binary, &headers, body.clone()).unwrap().remove(0);
        let delivery = request(&headers, body).unwrap().remove(0);
        // What a raw handler gets holds all of it too, the attributes of the headers included.
        let raw = cloudevents::from_json(&delivery.raw()).unwrap().remove(0);
        assert_eq!((&raw.id, &raw.ty, raw.extensions.len()), (&sent.id, &sent.ty, sent.extensions.len()));
        let Incoming::Record(record) = delivery.incoming else { panic!("{case}") };
        assert_eq!(record.event, sent, "{case}");
    }
}

#[test]
fn what_has_no_known_shape_is_raw() {
    for body in [
        "null",
        "[]",
        "{}",
        "3",
        "\u{0}",
        r#"{"message":{"messageId":"1"}}"#,
        r#"{"eventType":"google.storage.object.renamed","eventId":"1","data":{}}"#,
        r#"{"eventType":7}"#,
    ] {
        let (headers, bytes) = post(body);
        let delivery = request(&headers, bytes.clone()).unwrap().remove(0);
        assert!(matches!(&delivery.incoming, Incoming::Raw(raw) if *raw == bytes), "{body}");
        assert_eq!(delivery.raw(), bytes);
    }
}

#[test]
fn only_what_cannot_be_an_ordinary_request_claims_to_be_an_event() {
    let (headers, body) = binary("t", "application/json", "{}");
    assert!(claims_event(&headers, &body));
    assert!(claims_event(&HeaderMap::new(), br#"{"message":{},"subscription":"s"}"#));
    let legacy =
        br#"{"eventType":"google.storage.object.finalize","eventId":"1","timestamp":"t","resource":"r"}"#;
    assert!(!claims_event(&HeaderMap::new(), legacy));
    let mut tick = HeaderMap::new();
    tick.insert("x-cloudscheduler", HeaderValue::from_static("true"));
    assert!(!claims_event(&tick, b""));
}

#[test]
fn a_tick_without_its_time_is_due_now() {
    let mut headers = HeaderMap::new();
    headers.insert("x-cloudscheduler", HeaderValue::from_static("true"));
    headers.insert("x-cloudscheduler-jobname", HeaderValue::from_static("sweep"));
    let before = std::time::SystemTime::now();
    let delivery = request(&headers, Bytes::from_static(b"body")).unwrap().remove(0);
    let Incoming::Record(record) = &delivery.incoming else { panic!("{delivery:?}") };
    let Payload::Tick { scheduled, .. } = record.payload else { panic!("{record:?}") };
    assert!(scheduled >= before);
    assert_eq!((&record.event.data[..], &delivery.raw()[..]), (&b"body"[..], &b"body"[..]));
}

#[test]
fn broken_requests_say_what_is_wrong() {
    let legacy = |ty: &str, rest: &str| {
        post(&format!(r#"{{"eventType":"{ty}","eventId":"1","timestamp":"2020-09-29T11:32:00Z",{rest}}}"#))
    };
    let storage =
        |body: &'static str| binary("google.cloud.storage.object.v1.finalized", "application/json", body);
    let neutral = |body: &'static str| binary("dev.xcloud.change.created", "application/json", body);
    for ((headers, body), what) in [
        (post(""), "no event"),
        (post(r#"{"message":{"messageId":"1","data":"!"},"subscription":"s"}"#), "base64"),
        (post(r#"{"message":{"data":""},"subscription":"s"}"#), "messageId"),
        (post(r#"{"message":{"messageId":"","data":""},"subscription":"s"}"#), "messageId"),
        (post(r#"{"message":7,"subscription":"s"}"#), "not a Pub/Sub push: invalid type"),
        (post(r#"{"message":{"messageId":"1","messageId":"2"},"subscription":"s"}"#), "duplicate field"),
        (post(r#"{"message":{"messageId":"1"},"subscription":"s","deliveryAttempt":99999999999}"#), "u32"),
        (post(r#"{"message":{"messageId":"1","attributes":{"n":1}},"subscription":"s"}"#), "Pub/Sub"),
        (binary(PUBSUB_TYPE, "application/json", ""), "event `e-1` of type google.cloud.pubsub"),
        (storage("[]"), "neither its data nor its source has a bucket"),
        (storage("\"x\""), "StorageObjectData"),
        (storage("{\"bucket\":\"b\""), "EOF"),
        (storage(r#"{"name":"k"}"#), "bucket"),
        (storage(r#"{"bucket":"b"}"#), "`name`"),
        (storage(r#"{"bucket":"b","name":7}"#), "integer `7`"),
        (storage(r#"{"bucket":"b","bucket":"c"}"#), "duplicate field"),
        (storage(r#"{"bucket":"b","name":"k","size":"-1"}"#), "`size` is \"-1\""),
        (storage(r#"{"bucket":"b","name":"k","size":99999999999999999999}"#), "not a number of bytes"),
        (storage(r#"{"bucket":"b","name":"k","generation":1.5}"#), "`generation` is 1.5"),
        (binary(SCHEDULER_TYPE, "application/json", "{}"), "no `time`"),
        (neutral("{}"), "`table`"),
        (legacy("google.storage.object.finalize", r#""data":{}"#), "`resource` is missing"),
        (
            legacy("google.storage.object.finalize", r#""resource":"projects/p""#),
            "projects/_/buckets/B/objects/O",
        ),
        (legacy("google.storage.object.finalize", r#""resource":{"service":"s"}"#), "no `name`"),
        (
            legacy("google.pubsub.topic.publish", r#""resource":"projects/p/topics/t","data":7"#),
            "not a message",
        ),
        (
            legacy(
                "providers/google.firebase.database/eventTypes/ref.write",
                r#""resource":"projects/_/instances/i/refs/r""#,
            ),
            "`domain`",
        ),
        (
            legacy(
                "providers/google.firebase.analytics/eventTypes/event.log",
                r#""resource":"projects/p/events/e""#,
            ),
            "appId",
        ),
        (
            legacy(
                "providers/cloud.firestore/eventTypes/document.write",
                r#""resource":"projects/p/databases/d""#,
            ),
            "documents/PATH",
        ),
        (post(r#"{"eventType":"google.pubsub.topic.publish","timestamp":"t","resource":"r"}"#), "`eventId`"),
    ] {
        let error = request(&headers, body.clone()).unwrap_err();
        assert!(error.message().contains(what), "{body:?}: {error}");
        assert_eq!(error.kind(), ErrorKind::BadEvent);
    }
}

#[test]
fn broken_ticks_say_what_is_wrong() {
    for (headers, what) in [
        (&[("x-cloudscheduler", "true")][..], "x-cloudscheduler-jobname"),
        (
            &[
                ("x-cloudscheduler", "true"),
                ("x-cloudscheduler-jobname", "j"),
                ("x-cloudscheduler-scheduletime", "soon"),
            ],
            "`soon`, not an RFC 3339 time",
        ),
    ] {
        let map = headers.iter().map(|(k, v)| (k.parse().unwrap(), HeaderValue::from_static(v))).collect();
        let error = request(&map, Bytes::new()).unwrap_err();
        assert!(error.message().contains(what), "{error}");
    }
}

#[test]
fn an_event_version_that_is_not_known_is_an_event_of_no_kind() {
    for ty in ["google.cloud.storage.object.v2.finalized", "google.cloud.firestore.document.v1.moved"] {
        let (headers, body) = binary(ty, "application/protobuf", &[0xff][..]);
        let delivery = request(&headers, body).unwrap().remove(0);
        let Incoming::Record(record) = delivery.incoming else { panic!("{ty}") };
        assert_eq!(record.payload, Payload::Event, "{ty}");
    }
}

/// For an instance that takes no records.
#[test]
fn messages_are_read_alone_as_they_are_with_records() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/wire");
    let cases = |kind: &str| std::fs::read_dir(root.join(kind)).unwrap().map(|case| case.unwrap().path());
    let kinds = ["queue", "topic", "object", "change", "event", "schedule"];
    let mut seen = [0; 3];
    for case in kinds.into_iter().flat_map(cases) {
        let (headers, body) = of_file(&std::fs::read_to_string(case.join("event.json")).unwrap());
        let (Ok(all), Ok(alone)) = (request(&headers, body.clone()), messages(&headers, body)) else {
            continue;
        };
        for (all, alone) in all.iter().zip(&alone) {
            assert_eq!((&all.id, all.raw()), (&alone.id, alone.raw()), "{}", case.display());
            match (&all.incoming, &alone.incoming) {
                (Incoming::Record(_), Incoming::Raw(_)) => seen[0] += 1,
                // A plain request of Cloud Scheduler.
                (Incoming::Record(_), Incoming::Record(_)) => seen[1] += 1,
                _ => {
                    assert_eq!(describe(all), describe(alone), "{}", case.display());
                    seen[2] += 1;
                }
            }
        }
    }
    assert!(seen.iter().all(|n| *n > 0), "{seen:?}");
}

const TYPES: &[&str] = &[
    PUBSUB_TYPE,
    "google.cloud.storage.object.v1.finalized",
    "google.cloud.firestore.document.v1.written",
    SCHEDULER_TYPE,
    "dev.xcloud.topic.message",
    "any",
];

proptest! {
    #[test]
    fn no_request_makes_it_panic(bytes: Vec<u8>, text in "\\PC*", which in 0..TYPES.len(), at in 0..900usize) {
        drop(request(&HeaderMap::new(), bytes.clone().into()));
        for media in ["application/json", "application/protobuf"] {
            let (headers, body) = binary(TYPES[which], media, bytes.clone());
            drop(request(&headers, body.clone()));
            drop(messages(&headers, body));
        }
        let text = Value::from(text);
        let near = format!(r#"{{"message":{{"data":{text},"messageId":"1","attributes":{{"eventType":"OBJECT_FINALIZE","bucketId":{text},"objectId":{text}}}}},"subscription":{text}}}"#);
        for delivery in request(&HeaderMap::new(), Bytes::from(near)).into_iter().flatten() {
            drop((delivery.topic(), delivery.object(), delivery.raw()));
        }
        let object = format!(r#"{{"bucket":{text},"name":{text},"size":{text},"generation":{text}}}"#);
        let (headers, body) = binary("google.cloud.storage.object.v1.deleted", "application/json", object);
        drop(request(&headers, body));
        for (ty, _) in legacy::TYPES {
            let body = format!(r#"{{"eventType":"{ty}","eventId":{text},"timestamp":{text},"resource":{text},"domain":{text},"data":{{"a":{text}}}}}"#);
            drop(request(&HeaderMap::new(), Bytes::from(body.chars().take(at).collect::<String>())));
            drop(messages(&HeaderMap::new(), Bytes::from(body.clone())));
            drop(request(&HeaderMap::new(), Bytes::from(body)));
        }
    }
}
