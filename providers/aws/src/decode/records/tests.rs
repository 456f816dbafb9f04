use super::*;

/// docs.aws.amazon.com/lambda/latest/dg/with-s3.html, with the second key from the notification page's note on encoding.
const S3: &str = include_str!("../../../fixtures/wire/object/s3-put/event.json");

fn one(payload: &str) -> Record {
    let mut read = read(payload.as_bytes()).unwrap().unwrap();
    assert_eq!(read.records.len(), 1);
    read.records.remove(0)
}

#[test]
fn s3_keys_are_decoded_as_forms() {
    let record = one(S3);
    let Payload::Object { bucket, key, action, size, etag, version } = record.payload else { panic!() };
    assert_eq!(key, "b21b84d653bb07b05b1e6b33684dc11b/red flower+é.jpg");
    assert_eq!((bucket.as_str(), action, size), ("shop-dev-uploads", ObjectAction::Created, Some(1_305_107)));
    assert_eq!((etag.as_deref(), version), (Some("b21b84d653bb07b05b1e6b33684dc11b"), None));
    assert_eq!(record.event.source, "aws:s3.us-east-2.shop-dev-uploads");
    assert_eq!(record.event.ty, "com.amazonaws.s3.ObjectCreated:Put");
    assert!(record.event.id.starts_with("D82B88E5F771F645.vlR7"));
    assert_eq!(record.event.extension("sequencer"), Some("0C0F6F405D6ED209E1"));
    let removed = one(&S3.replace("ObjectCreated:Put", "ObjectRemoved:DeleteMarkerCreated"));
    assert!(matches!(removed.payload, Payload::Object { action: ObjectAction::Deleted, .. }));
    assert_eq!(one(&S3.replace("ObjectCreated:Put", "ObjectRestore:Post")).payload, Payload::Event);
}

/// docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
#[test]
fn s3_through_eventbridge_has_plain_keys() {
    let record = one(include_str!("../../../fixtures/wire/object/s3-eventbridge/event.json"));
    let Payload::Object { key, version, .. } = &record.payload else { panic!("{record:?}") };
    assert_eq!(
        (key.as_str(), version.as_deref()),
        ("example key+%20", Some("IYV3p45BT0ac8hjHg1houSdS1a.Mro8e"))
    );
    assert_eq!(
        (record.source.as_str(), record.event.ty.as_str()),
        ("amzn-s3-demo-bucket1", "com.amazonaws.s3.ObjectCreated")
    );
}

/// docs.aws.amazon.com/lambda/latest/dg/services-eventbridge.html (the rule's event).
#[test]
fn scheduled_events_name_their_rule() {
    let rule = include_str!("../../../fixtures/wire/schedule/rule/event.json");
    let record = one(rule);
    let scheduled = parse_rfc3339("2019-03-01T01:23:45Z").unwrap();
    assert_eq!(record.payload, Payload::Tick { name: Some("shop-dev-sweep".to_owned()), scheduled });
    assert_eq!(record.event.ty, "com.amazonaws.scheduled");
    let scheduler = rule.replace("aws.events", "aws.scheduler").replace("rule/", "schedule/default/");
    assert_eq!(one(&scheduler).source, "shop-dev-sweep");
    let mine = one(&rule.replace("Scheduled Event", "OrderPaid").replace("aws.events", "shop.orders"));
    assert_eq!((mine.payload, mine.event.ty.as_str()), (Payload::Event, "OrderPaid"));
    assert_eq!((mine.event.source.as_str(), &mine.event.data[..]), ("shop.orders", &b"{}"[..]));
}

/// docs.aws.amazon.com/lambda/latest/dg/with-sns.html
#[test]
fn sns_messages_bring_their_attributes() {
    let record = one(include_str!("../../../fixtures/wire/topic/sns/event.json"));
    assert_eq!(record.source, "shop-dev-news");
    let Payload::Topic { body, attributes } = record.payload else { panic!() };
    assert_eq!(&body[..], br#"{"a":1}"#);
    assert!(attributes.contains(&("Test".to_owned(), "TestString".to_owned())));
    assert_eq!(record.event.id, "95df01b4-ee98-5cb9-9903-4c221d41eb5e");
}

/// docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
const DYNAMODB: &str = include_str!("../../../fixtures/wire/change/dynamodb/event.json");

#[test]
fn dynamodb_images_are_plain_json_and_failures_are_told_by_sequence_number() {
    let read = read(DYNAMODB.as_bytes()).unwrap().unwrap();
    assert!(read.stream);
    let [first, second] = &read.records[..] else { panic!() };
    let Payload::Change { kind, key, old: None, new: Some(new) } = &first.payload else {
        panic!("{first:?}")
    };
    assert_eq!(
        (*kind, key.as_str(), &new[..]),
        (ChangeKind::Created, "101", &br#"{"Id":101,"Message":"New item!"}"#[..])
    );
    assert_eq!((first.source.as_str(), first.position.as_deref()), ("shop-dev-ledger", Some("111")));
    assert_eq!(first.event.time.as_deref(), Some("2016-11-18T20:09:00.500Z"));
    let Payload::Change { kind, key, old: Some(_), new: None } = &second.payload else {
        panic!("{second:?}")
    };
    assert_eq!((*kind, key.as_str()), (ChangeKind::Deleted, r#"{"At":"x","Id":101}"#));
    assert_eq!(second.event.ty, "com.amazonaws.dynamodb.deleted");
}

/// docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
#[test]
fn kinesis_records_are_messages_of_a_stream() {
    let record = one(include_str!("../../../fixtures/wire/topic/kinesis/event.json"));
    let Payload::Topic { body, .. } = &record.payload else { panic!() };
    assert_eq!(&body[..], b"Hello, this is a test.");
    assert_eq!(record.source, "lambda-stream");
    assert_eq!(record.position.as_deref(), Some("49590338271490256608559692538361571095921575989136588898"));
}

#[test]
fn broken_records_say_which_and_what() {
    let (first, second) = DYNAMODB.split_at(DYNAMODB.rfind("aws:dynamodb").unwrap());
    let second_of_s3 = format!("{first}{}", second.replace("aws:dynamodb", "aws:s3"));
    for (payload, what) in [
        (S3.replace("\"key\"", "\"kei\""), "record 0 of aws:s3: `s3.object.key` is not a text"),
        (DYNAMODB.replace("REMOVE", "UPSERT"), "record 1 of aws:dynamodb: `eventName` is `UPSERT`"),
        (DYNAMODB.replace(r#""New item!""#, "7"), "`NewImage`: `Message`"),
        (
            DYNAMODB.replace(r#""SequenceNumber": "333","#, ""),
            "record 1 of aws:dynamodb: `dynamodb.SequenceNumber`",
        ),
        (second_of_s3, "record 1 is not"),
        (
            r#"{"detail-type":"Scheduled Event","source":"aws.events","id":"1","time":"soon"}"#.to_owned(),
            "`time` is `soon`",
        ),
        (r#"{"detail-type":1,"source":"s","id":"1","time":"t"}"#.to_owned(), "`detail-type` is not a text"),
    ] {
        let error = read(payload.as_bytes()).unwrap_err();
        assert!(error.message().contains(what), "{error}");
    }
    for other in [
        "",
        "{}",
        "[]",
        r#"{"Records":[]}"#,
        r#"{"Records":[{"eventSource":"aws:other"}]}"#,
        r#"{"Records":7}"#,
    ] {
        assert!(read(other.as_bytes()).unwrap().is_none(), "{other}");
    }
}

proptest::proptest! {
    #[test]
    fn no_payload_makes_it_panic(bytes: Vec<u8>, text in "\\PC*", number: f64, at in 0..1500usize) {
        drop(read(&bytes));
        for vector in [S3, DYNAMODB] {
            let cut: String = vector.chars().take(at).collect();
            drop(read(cut.as_bytes()));
            let text = Value::from(text.as_str()).to_string();
            drop(read(vector.replace("\"101\"", &text).replace("1479499740.5", &number.to_string()).as_bytes()));
            drop(read(vector.replace("\"aws:s3\"", &text).replace("\"INSERT\"", &text).as_bytes()));
        }
    }
}
