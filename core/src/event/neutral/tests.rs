use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::cloudevents;

fn event() -> CloudEvent {
    CloudEvent {
        id: "e-1".to_owned(),
        source: "/local/shop".to_owned(),
        ty: "of.the.platform".to_owned(),
        subject: Some("a b/é".to_owned()),
        time: Some("2026-11-23T20:00:00Z".to_owned()),
        extensions: vec![("traceparent".to_owned(), "00-1-2-01".to_owned())],
        ..CloudEvent::default()
    }
}

fn payloads() -> Vec<(Payload, &'static str)> {
    let json = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    let object = |action, size: Option<u64>, etag: Option<&str>| Payload::Object {
        bucket: "uploads".to_owned(),
        key: "a b/é \"x\".png".to_owned(),
        action,
        size,
        etag: etag.map(str::to_owned),
        version: None,
    };
    let due = UNIX_EPOCH + Duration::from_millis(1_795_464_000_123);
    let row = r#"{ "cents": 123456789012345678901234567890, "n":1.50 }"#;
    let topic = |body: Bytes| Payload::Topic { body, attributes: vec![("k".to_owned(), "é".to_owned())] };
    vec![
        (object(ObjectAction::Created, Some(u64::MAX), Some("abc")), "uploads"),
        (object(ObjectAction::Deleted, None, None), "uploads"),
        (Payload::Tick { name: Some("sweep".to_owned()), scheduled: due }, "sweep"),
        (Payload::Tick { name: None, scheduled: due }, "shop-dev-sweep"),
        (
            Payload::Change { kind: ChangeKind::Created, key: "1".to_owned(), old: None, new: json(row) },
            "ledger",
        ),
        (
            Payload::Change {
                kind: ChangeKind::Updated,
                key: "1".to_owned(),
                old: json("7"),
                new: json(row),
            },
            "ledger",
        ),
        (
            Payload::Change { kind: ChangeKind::Deleted, key: String::new(), old: json(row), new: None },
            "ledger",
        ),
        (topic(Bytes::from_static(br#"{"a": 1}"#)), "news"),
        (topic(Bytes::from_static(br#""quoted""#)), "news"),
        (topic(Bytes::from_static(&[0xff, 0])), "news"),
        (topic(Bytes::new()), "news"),
        (Payload::Event, "/local/shop"),
    ]
}

/// All that a handler or a room reads of a record.
fn same(read: &Record, sent: &Record) {
    assert_eq!((&read.payload, &read.source), (&sent.payload, &sent.source));
    assert_eq!((&read.position, read.attempt), (&sent.position, sent.attempt));
    let of = |event: &CloudEvent| {
        let CloudEvent { id, source, subject, time, extensions, .. } = event.clone();
        (id, source, subject, time, extensions)
    };
    assert_eq!(of(&read.event), of(&sent.event));
}

#[test]
fn what_is_written_is_read_again_in_both_modes() {
    for (payload, source) in payloads() {
        for (attempt, position) in [(None, None), (Some(3), Some("17".to_owned()))] {
            let mut sent = Record::new(event(), payload.clone(), source);
            (sent.attempt, sent.position) = (attempt, position);
            let written = to_cloud_event(&sent);
            same(&from_cloud_event(written.clone()).unwrap(), &sent);
            // The JSON form goes through a number type of limited size; the rest stays.
            let structured = cloudevents::from_json(cloudevents::to_json(&written).to_string().as_bytes());
            let again = from_cloud_event(structured.unwrap().remove(0)).unwrap();
            assert_eq!((again.kind(), &again.source), (sent.kind(), &sent.source));
        }
    }
}

#[test]
fn another_name_of_the_source_and_an_older_delivery_are_beside_the_event() {
    let (payload, _) = payloads().remove(0);
    let mut sent = Record::new(event(), payload, "shop-dev-uploads");
    sent.event.extensions.push((ATTEMPT.to_owned(), "1".to_owned()));
    sent.attempt = Some(2);
    let written = to_cloud_event(&sent);
    assert_eq!(
        (written.extension(SOURCE), written.extension(ATTEMPT)),
        (Some("shop-dev-uploads"), Some("2"))
    );
    let read = from_cloud_event(written).unwrap();
    assert_eq!((read.source.as_str(), read.attempt), ("shop-dev-uploads", Some(2)));
    assert_eq!(read.event.extensions, event().extensions);
}

#[test]
fn a_hand_may_leave_out_what_is_not_needed() {
    let of = |ty: &str, data: &'static str| CloudEvent { ty: ty.to_owned(), data: data.into(), ..event() };
    let tick = from_cloud_event(of(SCHEDULE_TICK, "")).unwrap();
    let scheduled = parse_rfc3339("2026-11-23T20:00:00Z").unwrap();
    assert_eq!(tick.payload, Payload::Tick { name: None, scheduled });
    let message = from_cloud_event(of(TOPIC_MESSAGE, r#"{"topic":"news","body":{"a":[1]}}"#)).unwrap();
    assert_eq!(
        message.payload,
        Payload::Topic { body: Bytes::from_static(br#"{"a":[1]}"#), attributes: vec![] }
    );
    let object =
        from_cloud_event(of(OBJECT_CREATED, r#"{"bucket":"b","key":"k","etag":null,"later":1}"#)).unwrap();
    assert!(matches!(object.payload, Payload::Object { size: None, etag: None, .. }));
    let change = from_cloud_event(of(CHANGE_DELETED, r#"{"table":"t","key":"k","old":null}"#)).unwrap();
    assert!(matches!(change.payload, Payload::Change { old: None, new: None, .. }));
}

#[test]
fn broken_events_name_what_was_expected() {
    let of = |ty: &str, data: &[u8]| CloudEvent {
        ty: ty.to_owned(),
        time: None,
        data: Bytes::copy_from_slice(data),
        ..event()
    };
    let deep = format!(r#"{{"bucket":"b","key":{}1{}}}"#, "[".repeat(500), "]".repeat(500));
    for (ty, data, what) in [
        (OBJECT_CREATED, &b""[..], "{bucket, key, size?, etag?, version?}"),
        (OBJECT_CREATED, br#"{"bucket":"b""#, "EOF"),
        (OBJECT_CREATED, br#"{"bucket":"b"}"#, "`key`"),
        (OBJECT_CREATED, br#"{"bucket":"b","key":7}"#, "integer `7`"),
        (OBJECT_CREATED, br#"{"bucket":"b","bucket":"c","key":"k"}"#, "duplicate field `bucket`"),
        (OBJECT_CREATED, br#"{"bucket":"b","key":"k","size":-1}"#, "`-1`"),
        (OBJECT_DELETED, br#"{"bucket":"b","key":"k","size":99999999999999999999}"#, "u64"),
        (OBJECT_DELETED, b"{\"bucket\":\"\xff\",\"key\":\"k\"}", "unicode"),
        (OBJECT_DELETED, deep.as_bytes(), "a string"),
        (SCHEDULE_TICK, b"{}", "neither `scheduled`"),
        (SCHEDULE_TICK, br#"{"scheduled":"soon"}"#, "`soon`"),
        (CHANGE_CREATED, br#"{"key":"k"}"#, "`table`"),
        (CHANGE_UPDATED, br#"{"table":"t","key":"k","new":}"#, "{table, key, old?, new?}"),
        (CHANGE_DELETED, b"[]", "{table, key, old?, new?}"),
        (TOPIC_MESSAGE, br#"{"topic":"t","body":1,"body_base64":""}"#, "both"),
        (TOPIC_MESSAGE, br#"{"topic":"t","body_base64":"!"}"#, "base64"),
        (TOPIC_MESSAGE, br#"{"topic":"t","attributes":{"n":1}}"#, "attributes"),
    ] {
        let error = from_cloud_event(of(ty, data)).unwrap_err();
        assert!(error.message().contains(what), "{}: {error}", String::from_utf8_lossy(data));
        assert!(error.message().contains(ty), "{error}");
    }
    let mut often = of(SCHEDULE_TICK, b"{}");
    often.extensions.push((ATTEMPT.to_owned(), "often".to_owned()));
    assert!(from_cloud_event(often).unwrap_err().message().contains("`xcloudattempt` is `often`"));
}

#[test]
fn an_unknown_type_is_the_event_itself() {
    let sent = CloudEvent { ty: "dev.xcloud.object.renamed".to_owned(), data: "x".into(), ..event() };
    let read = from_cloud_event(sent.clone()).unwrap();
    assert_eq!((read.payload, read.event), (Payload::Event, sent));
}

proptest::proptest! {
    #[test]
    fn no_data_makes_it_panic(bytes: Vec<u8>, text in "\\PC*", at in 0..200usize, which in 0..12usize) {
        let (payload, source) = payloads().remove(which);
        let written = to_cloud_event(&Record::new(event(), payload, source));
        let cut = written.data.slice(..at.min(written.data.len()));
        let near = String::from_utf8_lossy(&written.data).replace("a b", &text).replace("news", &text);
        for data in [bytes.into(), cut, Bytes::from(near)] {
            drop(from_cloud_event(CloudEvent { data, ..written.clone() }));
        }
    }

    #[test]
    fn any_message_comes_back_to_the_letter(body: Vec<u8>, name in "\\PC*") {
        let payload = Payload::Topic { body: body.into(), attributes: vec![(name.clone(), name.clone())] };
        let sent = Record::new(event(), payload, name);
        same(&from_cloud_event(to_cloud_event(&sent)).unwrap(), &sent);
    }
}
