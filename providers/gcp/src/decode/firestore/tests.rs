use super::*;
use proptest::prelude::*;
use serde_json::json;

const PROTOBUF: Option<&str> = Some("application/protobuf");

fn event(subject: Option<&str>, ty: &str, data: Value) -> CloudEvent {
    CloudEvent {
        id: "1".to_owned(),
        source: "//firestore.googleapis.com/projects/p/databases/(default)".to_owned(),
        ty: format!("{FIRESTORE_TYPE}{ty}"),
        subject: subject.map(str::to_owned),
        data: data.to_string().into(),
        ..CloudEvent::default()
    }
}

fn document() -> Value {
    json!({ "name": "projects/p/databases/(default)/documents/ledger/1", "fields": { "n": { "integerValue": "1" } } })
}

fn kind(ty: &str, data: Value) -> ChangeKind {
    let record = record(event(Some("documents/ledger/1"), ty, data)).unwrap();
    let Payload::Change { kind, .. } = record.payload else { panic!("{record:?}") };
    kind
}

#[test]
fn a_write_is_told_by_its_images() {
    let both = json!({ "oldValue": document(), "value": document() });
    let (new, old) =
        (json!({ "oldValue": {}, "value": document() }), json!({ "oldValue": document(), "value": {} }));
    assert_eq!(kind("written", new.clone()), ChangeKind::Created);
    assert_eq!(kind("written.withAuthContext", old.clone()), ChangeKind::Deleted);
    assert_eq!(kind("written", both.clone()), ChangeKind::Updated);
    assert_eq!(kind("created", new.clone()), ChangeKind::Created);
    assert_eq!(kind("deleted", old), ChangeKind::Deleted);
    assert_eq!(kind("updated", both), ChangeKind::Updated);
    // What the platform leaves out is not made up.
    assert_eq!(kind("updated", new), ChangeKind::Updated);
}

#[test]
fn a_document_without_fields_is_there() {
    let empty = json!({ "value": { "name": "projects/p/databases/d/documents/ledger/1" } });
    let record = record(event(None, "written", empty)).unwrap();
    let Payload::Change { kind, key, old, new } = record.payload else { panic!() };
    assert_eq!((kind, key.as_str(), old, new.as_deref()), (ChangeKind::Created, "1", None, Some(&b"{}"[..])));
}

#[test]
fn the_collection_is_the_source_and_the_rest_of_the_path_the_key() {
    let path = |subject: Option<&str>, document: Option<&str>| {
        let mut event = event(subject, "created", json!({ "value": self::document() }));
        event.extensions.extend(document.map(|path| ("document".to_owned(), path.to_owned())));
        record(event).map(|record| {
            let Payload::Change { key, .. } = record.payload else { panic!() };
            (record.source, key)
        })
    };
    let is = |source: &str, key: &str| Ok((source.to_owned(), key.to_owned()));
    assert_eq!(path(Some("documents/ledger/2026/entries/é 1"), None), is("ledger", "2026/entries/é 1"));
    assert_eq!(path(None, Some("users/u")), is("users", "u"));
    assert_eq!(path(None, Some("documents/users/u")), is("users", "u"));
    assert_eq!(path(None, None), is("ledger", "1"));
    for broken in ["documents/ledger", "documents/ledger/", "documents//1"] {
        assert!(path(Some(broken), None).unwrap_err().contains("COLLECTION/ID"), "{broken}");
    }
}

#[test]
fn broken_json_says_where() {
    let of = |value: Value| json!({ "value": { "name": "n", "fields": { "a": value } } }).to_string();
    let mut deep = json!({ "nullValue": null });
    for _ in 0..40 {
        deep = json!({ "arrayValue": { "values": [{ "mapValue": { "fields": { "x": deep } } }] } });
    }
    // The parser's own limit.
    let deep = of(deep);
    for (json, what) in [
        (String::new(), "EOF"),
        ("[]".to_owned(), "not a JSON object"),
        (r#"{"value":7}"#.to_owned(), "`value` is not an object"),
        (r#"{"value":{"name":7}}"#.to_owned(), "`value` has the name 7"),
        (r#"{"oldValue":{"name":"n","fields":[]}}"#.to_owned(), "`oldValue` has `fields`"),
        (of(json!(7)), "`value` `a` is not a value"),
        (of(json!({})), "`a` does not have exactly one kind"),
        (of(json!({ "integerValue": "1", "nullValue": null })), "exactly one kind"),
        (
            of(json!({ "integerValue": "99999999999999999999" })),
            "integerValue that is \"99999999999999999999\"",
        ),
        (of(json!({ "integerValue": 1.5 })), "integerValue that is 1.5"),
        (of(json!({ "doubleValue": "five" })), "doubleValue that is \"five\""),
        (of(json!({ "booleanValue": "true" })), "booleanValue"),
        (of(json!({ "geoPointValue": { "latitude": "x" } })), "geoPointValue"),
        (of(json!({ "arrayValue": { "values": 7 } })), "arrayValue that is 7"),
        (of(json!({ "mapValue": { "fields": { "b": { "stringValue": 1 } } } })), "`a` `b` has a stringValue"),
        (of(json!({ "vectorValue": [] })), "unknown kind `vectorValue`"),
        (deep, "recursion limit"),
    ] {
        let error = images(json.as_bytes(), Some("application/json; charset=utf-8")).unwrap_err();
        assert!(error.contains(what), "{json}: {error}");
    }
}

/// A length-delimited field.
fn field(number: u8, inside: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut tag = u32::from(number) << 3 | 2;
    while tag > 0x7f {
        out.push(u8::try_from(tag & 0x7f).unwrap() | 0x80);
        tag >>= 7;
    }
    out.push(u8::try_from(tag).unwrap());
    let mut length = inside.len();
    while length > 0x7f {
        out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap());
    out.extend_from_slice(inside);
    out
}

/// An event whose new document has one field `a`.
fn with(value: &[u8]) -> Vec<u8> {
    let entry = [field(1, b"a"), field(2, value)].concat();
    field(1, &[field(1, b"n"), field(2, &entry)].concat())
}

#[test]
fn broken_protobuf_says_where() {
    let timestamp = |seconds: &[u8]| field(10, &[&[0x08], seconds].concat());
    let mut deep = field(17, b"x");
    for _ in 0..101 {
        deep = field(9, &field(1, &deep));
    }
    let mut endless = Vec::new();
    for _ in 0..20_000 {
        endless = field(9, &field(1, &endless));
    }
    for (bytes, what) in [
        (vec![0x0a, 0x05, 0x00], "says it has 5 bytes"),
        (vec![0x08, 0x01], "`value` is a varint, not length-delimited"),
        (field(1, &field(1, &[0xff])), "`name` is not UTF-8"),
        (field(1, &field(2, &field(1, b"a"))), "`a` has no value"),
        (with(&[]), "no value of a known kind"),
        (with(&[0x11, 0, 0, 0, 0, 0, 0, 0, 0]), "`a` is 64 bits, not a varint"),
        (with(&[0x1d, 0, 0, 0, 0]), "is 32 bits, not 64 bits"),
        (with(&field(17, &[0xc0, 0xa0])), "not UTF-8"),
        (with(&field(6, &field(1, &field(1, b"b")))), "`b` has no value"),
        (with(&timestamp(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])), "outside the years"),
        (with(&field(10, &[0x10, 0x80, 0x94, 0xeb, 0xdc, 0x03])), "1000000000 ns"),
        (with(&deep), "nests deeper than 100"),
        (with(&endless), "nests deeper than 100"),
        (with(&[0x0b]), "wire type 3"),
    ] {
        let error = images(&bytes, PROTOBUF).unwrap_err();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn what_is_not_known_is_passed_over() {
    // A field of a later version, in the event, the document, the entry and the value.
    let later = field(15, b"later");
    let value = [field(17, b"x"), later.clone()].concat();
    let entry = [field(1, b"a"), field(2, &value), later.clone()].concat();
    let event = [field(1, &[field(1, b"n"), field(2, &entry), later.clone()].concat()), later].concat();
    let read = images(&event, PROTOBUF).unwrap();
    assert_eq!(read.new.map(Value::Object), Some(json!({ "a": "x" })));
    assert_eq!(images(&[], PROTOBUF).unwrap(), Images::default());
    // An empty document is one that is not there.
    assert_eq!(images(&field(2, &[]), PROTOBUF).unwrap(), Images::default());
}

#[test]
fn a_write_without_documents_is_refused() {
    let empty = CloudEvent { data: Bytes::new(), ..event(Some("documents/l/1"), "written", Value::Null) };
    assert!(record(empty).unwrap_err().contains("neither the old nor the new"));
}

proptest! {
    #[test]
    fn no_data_makes_it_panic(bytes: Vec<u8>, text in "\\PC*", flip in 0..2000usize, with_byte: u8) {
        drop(images(&bytes, PROTOBUF));
        drop(images(&with(&bytes), PROTOBUF));
        drop(images(&bytes, None));
        let golden = include_str!("../../../fixtures/wire/change/firestore-updated/event.json");
        let golden: Value = serde_json::from_str(golden).unwrap();
        let mut golden = xcloud_core::text::base64_decode(golden["body_base64"].as_str().unwrap().as_bytes()).unwrap();
        let at = flip % golden.len();
        drop(images(&golden[..at], PROTOBUF));
        golden[at] = with_byte;
        drop(images(&golden, PROTOBUF));
        for kind in ["integerValue", "doubleValue", "geoPointValue", "arrayValue", "mapValue", text.as_str()] {
            let data = json!({ "value": { "fields": { "a": { kind: text } } } }).to_string();
            drop(images(data.as_bytes(), None));
        }
    }
}
