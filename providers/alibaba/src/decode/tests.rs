use std::path::Path;

use proptest::prelude::*;
use serde_json::json;
use xcloud_core::event::{ChangeKind, ObjectAction, Payload};

use super::*;

const FACTS: Facts<'_> = Facts { id: "1-call", function: "shop-dev-f", region: "cn-hangzhou" };

fn read(body: impl AsRef<[u8]>) -> Delivery {
    event(body.as_ref(), FACTS).unwrap()
}

fn error(body: impl AsRef<[u8]>) -> String {
    event(body.as_ref(), FACTS).unwrap_err().message().to_owned()
}

fn one(body: impl AsRef<[u8]>) -> Record {
    let Delivery::Records(mut read) = read(body) else { panic!("no records") };
    assert_eq!(read.records.len(), 1);
    read.records.remove(0)
}

fn messages(body: impl AsRef<[u8]>) -> Messages {
    let Delivery::Messages(messages) = read(body) else { panic!("no messages") };
    messages
}

macro_rules! fixture {
    ($case:literal) => {
        include_str!(concat!("../../fixtures/wire/", $case, "/event.json"))
    };
}

const OSS: &str = fixture!("object/oss-put");
const EVENT: &str = fixture!("object/eventbridge");
const TIMER: &str = fixture!("schedule/timer");
const TOPIC: &str = fixture!("topic/mns-json");
const ROCKET: &str = fixture!("topic/rocketmq");
const QUEUE: &str = fixture!("queue/mns");
const TABLE: &str = fixture!("change/tablestore-json");
const CBOR: &[u8] = include_bytes!("../../fixtures/wire/change/tablestore-put/event.cbor");
const CBOR_TWO: &[u8] = include_bytes!("../../fixtures/wire/change/tablestore-update-delete/event.cbor");

/// A delivery in the words of `expected.json`.
fn describe(delivery: Delivery) -> Value {
    match delivery {
        Delivery::Messages(messages) => {
            let (source, topic) = (messages.source.clone(), messages.topic);
            let message = |m: &xcloud_core::event::RawMessage| {
                json!([m.id, String::from_utf8_lossy(&m.body), m.sent.map(rfc3339), m.attributes])
            };
            let batch = messages.batch();
            json!({ "queue": source, "topic": topic, "messages": batch.messages.iter().map(message).collect::<Vec<_>>() })
        }
        Delivery::Records(Records { stream, records }) => {
            json!({ "stream": stream, "records": records.iter().map(record).collect::<Vec<_>>() })
        }
        Delivery::Raw(what) => json!({ "raw": what }),
    }
}

fn record(record: &Record) -> Value {
    let event = &record.event;
    json!({
        "payload": format!("{:?}", record.payload),
        "source": record.source,
        "position": record.position,
        "event": [event.ty, event.source, event.id, event.subject, event.time, event.extensions],
    })
}

#[test]
fn golden_events() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/wire");
    let folders =
        |path: &Path| std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
    let mut seen = 0;
    for case in folders(&root).iter().flat_map(|trigger| folders(trigger)) {
        let body = std::fs::read(case.join("event.json")).or_else(|_| std::fs::read(case.join("event.cbor")));
        let described = describe(read(body.unwrap()));
        if std::env::var_os("XCLOUD_UPDATE_GOLDENS").is_some() {
            let text = serde_json::to_string_pretty(&described).unwrap() + "\n";
            std::fs::write(case.join("expected.json"), text).unwrap();
        }
        let text = std::fs::read_to_string(case.join("expected.json")).unwrap();
        let expected: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(described, expected, "{}", case.display());
        assert!(case.join("SOURCE").is_file(), "{}", case.display());
        seen += 1;
    }
    assert!(seen >= 13, "{seen} cases");
}

#[test]
fn only_the_documented_control_paths_are_calls() {
    let with = |control: Option<&str>, method: Method, path: &str| {
        let mut headers = HeaderMap::new();
        if let Some(control) = control {
            headers.insert(CONTROL_HEADER, control.parse().unwrap());
        }
        call(&method, path, &headers).ok()
    };
    assert_eq!(with(Some("/invoke"), Method::POST, "/invoke"), Some(Call::Event));
    assert_eq!(with(Some("/http-invoke"), Method::POST, "/invoke"), Some(Call::Http));
    assert_eq!(with(None, Method::POST, "/invoke"), Some(Call::Http));
    assert_eq!(with(Some("/initialize"), Method::POST, "/initialize"), Some(Call::Initialize));
    assert_eq!(with(Some("/pre-stop"), Method::GET, "/pre-stop"), Some(Call::PreStop));
    assert_eq!(with(Some("/invoke"), Method::GET, "/"), None);
}

#[test]
fn messages_come_alone_or_in_arrays() {
    for (body, count) in [(QUEUE.to_owned(), 1), (format!("[{QUEUE},{QUEUE}]"), 2)] {
        let read = messages(body);
        assert_eq!((read.source.as_str(), read.topic), ("shop-dev-orders", false));
        let batch = read.batch();
        assert_eq!(batch.messages.len(), count);
        assert_eq!(batch.messages[0].id, "C6DB60D1574661357FA2272774450001");
        assert_eq!(batch.messages[0].body, "TEST");
        assert!(batch.messages[0].sent.is_some());
    }
}

#[test]
fn a_body_that_was_parsed_on_the_way_is_written_again() {
    let batch = messages(QUEUE.replace("\"TEST\"", r#"{"a":1}"#)).batch();
    assert_eq!(batch.messages[0].body, r#"{"a":1}"#);
}

#[test]
fn topics_of_rocketmq_are_queues_or_topics() {
    assert_eq!((messages(ROCKET).source.as_str(), messages(ROCKET).topic), ("shop-dev-news", true));
    let batch = messages(ROCKET).batch();
    assert_eq!(batch.messages[0].id, "94ebc15f-f0db-4bbe-acce-56fb72fb0001");
    let records = messages(ROCKET).publications();
    assert_eq!(records[1].source, "shop-dev-news");
    let Payload::Topic { body, attributes } = &records[1].payload else { panic!() };
    assert_eq!(&body[..], br#"{"a":1}"#);
    assert_eq!(attributes[..], [("colour".to_owned(), "red".to_owned())]);
    assert_eq!(records[1].event.id, "94ebc15f-f0db-4bbe-acce-56fb72fb0002");
    let events = messages(ROCKET).events();
    assert_eq!(events[0].payload, Payload::Event);
    assert_eq!(events[0].event.ty, "mq:Topic:SendMessage");
}

/// Neither `+` nor `%20` is decoded.
#[test]
fn keys_of_oss_are_plain() {
    let record = one(OSS);
    let Payload::Object { bucket, key, action, size, etag, version } = record.payload else { panic!() };
    assert_eq!((key.as_str(), bucket.as_str()), ("image/red flower+é %20.jpg", "shop-dev-uploads"));
    assert_eq!((action, size, version), (ObjectAction::Created, Some(29203), None));
    assert_eq!(etag.as_deref(), Some("7D73E1052AF595535DE90994F4C3E6D5"));
    assert_eq!(record.event.ty, "com.aliyun.oss.ObjectCreated:PutObject");
    assert_eq!(record.event.source, "acs:oss:cn-shenzhen:1581223139000000:shop-dev-uploads");
}

#[test]
fn parts_of_uploads_are_no_objects() {
    for name in [
        "ObjectCreated:InitiateMultipartUpload",
        "ObjectCreated:UploadPart",
        "ObjectCreated:UploadPartCopy",
        "ObjectRemoved:AbortMultipartUpload",
        "ObjectRestore:FinishRestore",
        "x",
    ] {
        assert_eq!(one(OSS.replace("ObjectCreated:PutObject", name)).payload, Payload::Event, "{name}");
        let event = one(EVENT.replace("\"oss:ObjectCreated:PutObject", &format!("\"oss:{name}")));
        assert_eq!(event.payload, Payload::Event, "{name}");
    }
    for (name, action) in [
        ("ObjectCreated:CompleteMultipartUpload", ObjectAction::Created),
        ("ObjectRemoved:DeleteObjects", ObjectAction::Deleted),
    ] {
        for body in [
            OSS.replace("ObjectCreated:PutObject", name),
            EVENT.replace("\"oss:ObjectCreated:PutObject", &format!("\"oss:{name}")),
        ] {
            let Payload::Object { action: read, .. } = one(body).payload else { panic!("{name}") };
            assert_eq!(read, action, "{name}");
        }
    }
}

#[test]
fn an_event_that_is_one_is_passed_through_untouched() {
    let record = one(EVENT);
    assert!(matches!(&record.payload, Payload::Object { key, .. } if key == "source/日本 語.zip"));
    let event = &record.event;
    assert_eq!((event.ty.as_str(), event.source.as_str()), ("oss:ObjectCreated:PutObject", "acs.oss"));
    assert_eq!(event.extension("aliyuneventbusname"), Some("default"));
    assert_eq!(event.json::<Value>().unwrap()["region"], "cn-shenzhen");
}

#[test]
fn arrays_keep_their_order_and_may_hold_texts() {
    let application = fixture!("event/application");
    let text =
        serde_json::to_string(&application.replace("45ef4dewdwe1-7c35-447a-bd93-fab0000", "second")).unwrap();
    let first = serde_json::to_string(application).unwrap();
    let Delivery::Records(read) = read(format!("[{first},{text}]")) else { panic!() };
    let ids: Vec<_> = read.records.iter().map(|record| record.event.id.as_str()).collect();
    assert_eq!(ids, ["45ef4dewdwe1-7c35-447a-bd93-fab0000", "second"]);
    assert_eq!(read.records[0].source, "shop.orders");
}

#[test]
fn a_bus_may_carry_the_neutral_types() {
    let tick = fixture!("event/application").replace("OrderPaid", "dev.xcloud.schedule.tick");
    let Payload::Tick { name: None, scheduled } = one(tick).payload else { panic!() };
    assert_eq!(rfc3339(scheduled), "2020-11-19T13:04:41.000Z");
}

#[test]
fn a_timer_is_the_same_event_on_every_delivery() {
    let record = one(TIMER);
    assert_eq!(record.source, "shop-dev-sweep");
    let again = event(TIMER.as_bytes(), Facts { id: "1-other", ..FACTS }).unwrap();
    let Delivery::Records(again) = again else { panic!() };
    assert_eq!(again.records[0].event.idempotency_key(), record.event.idempotency_key());
    assert_eq!(record.event.source, "shop-dev-f/shop-dev-sweep");
}

#[test]
fn a_topics_message_in_both_formats() {
    let record = one(TOPIC);
    assert_eq!(record.source, "shop-dev-news");
    assert_eq!(record.event.id, "3405CA51807661353B3EXAMPLE");
    assert_eq!(record.event.source, "acs:mns:cn-hangzhou:1581223139000000:topics/shop-dev-news");
    assert_eq!(record.event.time.as_deref(), Some("2022-07-19T12:59:18.094Z"));
    let raw = Bytes::from_static(b"hello \xff topic");
    let streamed = stream(&raw, FACTS);
    assert_eq!(streamed.payload, Payload::Topic { body: raw, attributes: Vec::new() });
    assert_eq!((streamed.event.id.as_str(), streamed.event.source.as_str()), ("1-call", "shop-dev-f/mns"));
}

#[test]
fn changes_come_in_cbor_and_the_console_sends_json() {
    let (Delivery::Records(cbor), Delivery::Records(json)) = (read(CBOR), read(TABLE)) else { panic!() };
    assert!(cbor.stream && json.stream);
    assert_eq!(record(&cbor.records[0]), record(&json.records[0]));
    let Payload::Change { kind, key, old: None, new: Some(new) } = &cbor.records[0].payload else { panic!() };
    assert_eq!(*kind, ChangeKind::Updated);
    assert_eq!(
        key,
        r#"{"pk_0":1506416585881590900,"pk_1":"2017-09-26 17:03:05.8815909 +0800 CST","pk_2":1506416585741000}"#
    );
    let new: Value = serde_json::from_slice(new).unwrap();
    assert_eq!(
        (&new["attr_0"], &new["pk_2"]),
        (&json!("hello_table_store"), &json!(1_506_416_585_741_000_u64))
    );
    assert_eq!(cbor.records[0].event.time.as_deref(), Some("2017-09-26T09:03:05.740Z"));
}

#[test]
fn an_update_tells_what_was_put_and_a_delete_nothing() {
    let Delivery::Records(Records { records, .. }) = read(CBOR_TWO) else { panic!() };
    let Payload::Change { key, new: Some(new), .. } = &records[0].payload else { panic!() };
    assert_eq!(key, "r-1");
    let new: Value = serde_json::from_slice(new).unwrap();
    assert_eq!(new, json!({"id": "r-1", "level": -3, "ratio": 1.5, "open": true, "blob": "AP8="}));
    let deleted = Payload::Change { kind: ChangeKind::Deleted, key: "7".to_owned(), old: None, new: None };
    assert_eq!(records[1].payload, deleted);
    assert_eq!(records[1].event.ty, "com.aliyun.ots.row.delete");
    assert_eq!(records[1].event.id, "1506416585740838.7");
}

#[test]
fn what_has_no_known_shape_is_raw() {
    let deep = "[".repeat(100_000);
    for (body, what) in [
        (&b""[..], "not JSON"),
        (b"hello topic", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"{\"events\":[{\"eventSource\":\"acs:oss\"}", "not JSON"),
        (deep.as_bytes(), "not JSON"),
        (b"[]", "a JSON array"),
        (b"[1,{}]", "a JSON array"),
        (b"{}", "JSON of no known shape"),
        (b"7", "JSON of no known shape"),
        (b"{\"events\":[{\"eventSource\":\"acs:other\"}]}", "JSON of no known shape"),
        (b"{\"events\":7}", "JSON of no known shape"),
        (b"{\"Version\":\"Async-v1\",\"Records\":[]}", "JSON of no known shape"),
        (b"\xa1\x61a\x01", "CBOR of no known shape"),
        (b"\xa1\x61a", "CBOR of no known shape"),
    ] {
        let Delivery::Raw(why) = read(body) else { panic!("{}", String::from_utf8_lossy(body)) };
        assert!(why.starts_with(what), "{}: {why}", String::from_utf8_lossy(body));
    }
}

#[test]
fn broken_events_say_what_was_expected() {
    let two = |body: &str, from: &str, to: &str| format!("[{body},{}]", body.replace(from, to));
    let wrong_event = EVENT.replace("\"key\"", "\"kei\"");
    for (body, what) in [
        (OSS.replace("\"key\"", "\"kei\""), "event 0 of acs:oss: `oss.object.key` is not a text"),
        (OSS.replace("\"shop-dev-uploads\"", "7"), "event 0 of acs:oss: `oss.bucket.name` is not a text"),
        (OSS.replace("\"ObjectCreated:PutObject\"", "null"), "`eventName` is not a text"),
        (OSS.replacen("[", "[{},", 1), "event 0 is not of acs:oss"),
        (wrong_event, "of type oss:ObjectCreated:PutObject: its data: `oss.object.key` is not a text"),
        (TIMER.replace("2022-07-29T10:02:58Z", "soon"), "a time trigger's event: `triggerTime` is `soon`"),
        (TIMER.replace("\"shop-dev-sweep\"", "7"), "a time trigger's event: `triggerName` is not a text"),
        (TOPIC.replace("\"Message\"", "\"message\""), "an MNS topic's event: `Message` is not a text"),
        (TOPIC.replace("\"MessageId\"", "\"Id\""), "an MNS topic's event: `MessageId` is not a text"),
        (QUEUE.replace("messageBody", "body"), "no body"),
        (two(QUEUE, "queues/shop-dev-orders", "queues/hera"), "two queues"),
        (two(QUEUE, "mns:Queue:SendMessage", "OrderPaid"), "of type OrderPaid among messages"),
        (QUEUE.replace("\"1.0\"", "\"0.3\""), "specversion `0.3` is not 1.0"),
        (format!("[{QUEUE},7]"), "an array of JSON objects"),
        (format!("[{:?}]", r#"{"specversion":"1.0","id":"1"}"#), "`source` is missing"),
        (TABLE.replace("Sync-v1", "Sync-v2"), "`Version` is `Sync-v2`, not Sync-v1"),
        (TABLE.replace("PutRow", "Upsert"), "record 0: `Type` is `Upsert`"),
        (TABLE.replace("\"Put\"", "\"Get\""), "record 0: `Columns` 0: `Type` is not Put"),
        (TABLE.replace("\"PrimaryKey\"", "\"Key\""), "record 0: `PrimaryKey` is not a list"),
        (TABLE.replacen("\"Value\"", "\"value\"", 1), "record 0: `PrimaryKey` 0: `Value` is missing"),
        (r#"{"Version":"Sync-v1","Records":{}}"#.to_owned(), "`Records` is not a list"),
    ] {
        let error = error(&body);
        assert!(error.contains(what), "{what}: {error}");
    }
    for end in [9, 20, CBOR.len() / 2, CBOR.len() - 1] {
        assert!(error(&CBOR[..end]).contains("a Tablestore trigger's event: CBOR ends"), "{end}");
    }
    let twice = [&b"\xa2\x67Version\x67Sync-v1\x67Version\x67Sync-v1"[..]].concat();
    assert!(error(twice).contains("`Version` twice in one map"));
}

#[test]
fn numbers_are_not_trusted() {
    let huge = TOPIC.replace("1658235558094", "18446744073709551615");
    assert_eq!(one(huge).event.time, None);
    let huge = TABLE.replace("1506416585740836", "18446744073709551615");
    assert_eq!(one(huge).event.time, None);
    let none = OSS.replace("29203", "-1e999");
    assert!(matches!(read(none), Delivery::Raw(_)));
    let float = OSS.replace("29203", "1.5");
    assert!(matches!(one(float).payload, Payload::Object { size: None, .. }));
}

/// For an instance that takes no records.
#[test]
fn messages_are_read_alone_as_they_are_with_records() {
    let alone = |body: &str| super::messages(body.as_bytes()).unwrap();
    for message in [QUEUE, ROCKET] {
        assert_eq!(describe(alone(message)), describe(read(message)));
    }
    for other in [OSS, EVENT, TIMER, TOPIC, TABLE, "text", "[]"] {
        assert!(matches!(alone(other), Delivery::Raw(_)), "{other}");
    }
    assert!(matches!(super::messages(CBOR), Ok(Delivery::Raw(_))));
    let Delivery::Raw(what) = alone(EVENT) else { panic!() };
    assert!(what.contains("type oss:"), "{what}");
}

const VECTORS: [&str; 7] = [OSS, EVENT, TIMER, TOPIC, ROCKET, QUEUE, TABLE];

proptest! {
    #[test]
    fn no_body_makes_it_panic(body: Vec<u8>, text in "\\PC*", number: f64, at: usize) {
        drop((event(&body, FACTS), super::messages(&body)));
        let vector = VECTORS[at % VECTORS.len()];
        let cut: String = vector.chars().take(at % vector.len()).collect();
        drop((event(cut.as_bytes(), FACTS), super::messages(cut.as_bytes())));
        let (text, number) = (Value::from(text).to_string(), number.to_string());
        for known in
            ["\"TEST\"", "\"ObjectCreated:PutObject\"", "\"2022-07-29T10:02:58Z\"", "\"Put\"", "\"pk_0\"", "\"1.0\""]
        {
            drop(event(vector.replace(known, &text).as_bytes(), FACTS));
        }
        drop(event(vector.replace("29203", &number).replace("1658235558094", &number).as_bytes(), FACTS));
    }

    #[test]
    fn no_cbor_makes_it_panic(at: usize, flip: u8) {
        for vector in [CBOR, CBOR_TWO] {
            let mut bytes = vector.to_vec();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            drop(event(&bytes, FACTS));
            drop(event(&bytes[..at], FACTS));
        }
    }
}
