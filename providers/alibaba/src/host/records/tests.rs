use proptest::prelude::*;
use xcloud_core::event::CloudEvent;

use super::*;
use crate::decode::{self, Delivery, Facts};

fn sent(record: &Record) -> Record {
    let facts = Facts { id: "1", function: "f", region: REGION };
    match decode::event(&body(record).unwrap(), facts).unwrap() {
        Delivery::Records(mut read) => read.records.remove(0),
        Delivery::Messages(messages) => messages.publications().remove(0),
        Delivery::Raw(why) => panic!("{why}"),
    }
}

fn event(id: &str) -> CloudEvent {
    let time = Some("2026-11-25T00:00:00.123Z".to_owned());
    CloudEvent {
        id: id.to_owned(),
        source: "shop".to_owned(),
        ty: "Paid".to_owned(),
        time,
        ..CloudEvent::default()
    }
}

/// The bytes are those of PyPI cbor2 6.3.0 for the page's example; names come in another order here.
#[test]
fn cbor_is_read_by_others_as_it_was_meant() {
    let json: Value =
        serde_json::from_str(include_str!("../../../fixtures/wire/change/tablestore-json/event.json"))
            .unwrap();
    let theirs = include_bytes!("../../../fixtures/wire/change/tablestore-put/event.cbor");
    assert_eq!(decode::cbor::read(theirs).unwrap(), json);
    assert_eq!(decode::cbor::read(&cbor(&json)).unwrap(), json);
    assert_eq!(cbor(&json).len(), theirs.len());
}

#[test]
fn every_kind_arrives_as_it_was() {
    let object = Payload::Object {
        bucket: "p-s-b".to_owned(),
        key: "a b+%20é".to_owned(),
        action: ObjectAction::Created,
        size: Some(5),
        etag: Some("E".to_owned()),
        version: None,
    };
    let tick = Payload::Tick {
        name: Some("sweep".to_owned()),
        scheduled: parse_rfc3339("2026-11-25T00:05:00Z").unwrap(),
    };
    let plain = Payload::Topic { body: Bytes::from("\"é\n"), attributes: Vec::new() };
    let coloured =
        Payload::Topic { body: Bytes::from("x"), attributes: vec![("colour".to_owned(), "red".to_owned())] };
    for (payload, source) in [
        (object, "p-s-b"),
        (tick, "sweep"),
        (plain, "p-s-news"),
        (coloured, "p-s-news"),
        (Payload::Event, "shop"),
    ] {
        let record = Record::new(event("e-1"), payload, source);
        let read = sent(&record);
        assert_eq!((&read.payload, &read.source), (&record.payload, &record.source));
    }
    let custom = CloudEvent { data: Bytes::from_static(b"{\"a\":1}"), ..event("e-2") };
    assert_eq!(sent(&Record::new(custom.clone(), Payload::Event, "shop")).event, custom);
}

#[test]
fn changes_lose_what_the_platform_does_not_tell() {
    let json = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    let change = |kind, old, new| {
        let payload = Payload::Change { kind, key: "7".to_owned(), old, new };
        sent(&Record::new(event("e"), payload, "p-s-ledger")).payload
    };
    let as_read = |kind, new| Payload::Change { kind, key: "7".to_owned(), old: None, new };
    let row = r#"{"id":7,"list":[1],"n":-1.5,"none":null}"#;
    let read = r#"{"id":7,"list":"[1]","n":-1.5}"#;
    assert_eq!(change(ChangeKind::Created, None, json(row)), as_read(ChangeKind::Updated, json(read)));
    assert_eq!(
        change(ChangeKind::Updated, json(r#"{"id":7,"gone":1}"#), json(row)),
        as_read(ChangeKind::Updated, json(read))
    );
    assert_eq!(change(ChangeKind::Deleted, json(row), None), as_read(ChangeKind::Deleted, None));
}

#[test]
fn bytes_are_no_message_of_a_topic() {
    let payload = Payload::Topic { body: Bytes::from_static(b"\xff"), attributes: Vec::new() };
    assert!(body(&Record::new(event("e"), payload, "t")).is_err());
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(n: u64, i: i64, f in -1e300..1e300f64, text: String, flag: bool) {
        let value = json!({ "n": n, "i": i, "f": f, "text": text, "flag": flag, "none": null, "list": [[], {}, [n]] });
        prop_assert_eq!(decode::cbor::read(&cbor(&value)).unwrap(), value);
    }
}
