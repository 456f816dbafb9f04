//! Neutral events for hosts to write and for others to read, with what is easily got wrong in them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};
use xcloud_core::event::{
    Batch, ChangeKind, CloudEvent, Incoming, ObjectAction, Payload, RawMessage, Record,
};
use xcloud_core::text::rfc3339;

/// When everything happened, whole seconds: not every wire has finer ones.
pub(crate) const WHEN: u64 = 1_795_464_061;
/// Spaces, pluses, percent signs and letters beyond ASCII are written in another way by every service.
pub(crate) const KEY: &str = "photos/a b+c%2F/ü&=?.png";
pub(crate) const BUCKET: &str = "uploads-1";
pub(crate) const ETAG: &str = "b1946ac92492d2347c6235b4d2611184";

pub(crate) fn when() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(WHEN)
}

/// A time as RFC 3339 has it, without fractions and without a zone.
pub(crate) fn seconds(time: SystemTime) -> String {
    rfc3339(time).chars().take("2026-11-25T00:00:00".len()).collect()
}

fn event(id: &str) -> CloudEvent {
    CloudEvent {
        id: id.to_owned(),
        source: "shop.test".to_owned(),
        ty: "OrderPaid".to_owned(),
        subject: None,
        time: Some(rfc3339(when())),
        datacontenttype: Some("application/json".to_owned()),
        extensions: Vec::new(),
        data: Bytes::new(),
    }
}

pub(crate) fn object(action: ObjectAction, size: Option<u64>) -> Record {
    let (etag, version) = (size.map(|_| ETAG.to_owned()), None);
    let (bucket, key) = (BUCKET.to_owned(), KEY.to_owned());
    Record::new(event("o-1"), Payload::Object { bucket, key, action, size, etag, version }, BUCKET)
}

pub(crate) fn tick(scheduled: SystemTime) -> Record {
    Record::new(event("t-1"), Payload::Tick { name: Some("sweep".to_owned()), scheduled }, "sweep")
}

/// A row, with every kind of value that JSON has.
pub(crate) fn row(note: &str) -> Value {
    json!({
        "id": "r-1", "note": note, "n": -7, "big": 9_007_199_254_740_993_u64, "part": 0.1, "yes": true, "none": null,
        "list": [1, "é", [], {}], "map": { "a b": { "deep": [false] } }, "empty": ""
    })
}

pub(crate) fn change(kind: ChangeKind, old: Option<Value>, new: Option<Value>) -> Record {
    let bytes = |image: Value| Bytes::from(image.to_string());
    let payload = Payload::Change { kind, key: "r-1".to_owned(), old: old.map(bytes), new: new.map(bytes) };
    Record { position: Some("160".to_owned()), ..Record::new(event("c-1"), payload, "ledger") }
}

/// The three things that happen to a row: what, before, after.
pub(crate) fn changes() -> [(ChangeKind, Option<Value>, Option<Value>); 3] {
    let (old, new) = (row("old"), row("new \"quoted\" \\ ü"));
    [
        (ChangeKind::Created, None, Some(new.clone())),
        (ChangeKind::Updated, Some(old.clone()), Some(new)),
        (ChangeKind::Deleted, Some(old), None),
    ]
}

pub(crate) const BODY: &str = "{\"headline\":\"ü \\\"x\\\"\",\"id\":\"not the message's\"}";

fn attributes() -> Vec<(String, String)> {
    [("colour", "red é"), ("Id", "7")].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

pub(crate) fn topic() -> Record {
    let payload = Payload::Topic { body: Bytes::from_static(BODY.as_bytes()), attributes: attributes() };
    let event = CloudEvent { subject: Some("a \"subject\"".to_owned()), ..event("m-1") };
    Record { attempt: Some(3), position: Some("42".to_owned()), ..Record::new(event, payload, "news") }
}

pub(crate) fn application() -> Record {
    let data = Bytes::from(json!({ "total": 7, "of": ["é"] }).to_string());
    let subject = Some("orders/ü 1".to_owned());
    let extensions = vec![("tenant".to_owned(), "acme".to_owned())];
    let event = CloudEvent { subject, data, extensions, ..event("e-1") };
    Record::new(event, Payload::Event, "shop.test")
}

pub(crate) fn messages() -> Vec<RawMessage> {
    let message = |id: &str, attempt| RawMessage {
        id: id.to_owned(),
        body: Bytes::from_static(BODY.as_bytes()),
        attempt: Some(attempt),
        sent: Some(when()),
        attributes: attributes(),
    };
    vec![message("q-1", 1), message("q-2", 4)]
}

pub(crate) fn batch() -> Incoming {
    Incoming::Queue(Batch { messages: messages() })
}

pub(crate) fn incoming(record: Record) -> Incoming {
    Incoming::Record(Box::new(record))
}

/// Compares what another program read at a JSON pointer with what was meant.
pub(crate) fn same(what: &str, read: &Value, pointer: &str, meant: &Value) -> Result<(), String> {
    let theirs = read.pointer(pointer).unwrap_or(&Value::Null);
    if theirs == meant { Ok(()) } else { Err(format!("{what}: {pointer} reads {theirs}, meant was {meant}")) }
}
