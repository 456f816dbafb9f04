//! What our Lambda host writes, read by the parser models of AWS's own Powertools for Python.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use xcloud_aws::host::payload;
use xcloud_core::event::{ChangeKind, Incoming, ObjectAction};
use xcloud_tests::tools;

use crate::neutral::{self, same};

const SCRIPT: &str = include_str!("powertools.py");
const MILLIS: u64 = neutral::WHEN * 1000;

/// What a model makes of an event as the host writes it, the payload beside it; `None` where the library cannot be had.
fn read(model: &str, event: Incoming) -> Result<Option<(Value, Value)>, String> {
    let more = ["pydantic==2.14.4"];
    let programs = match tools::python("aws-lambda-powertools", "3.37.0", &more) {
        Ok(programs) => programs,
        Err(why) => return tools::skip(&why).map(|()| None),
    };
    let written = payload("call-1", "order-placed", event).map_err(|e| e.to_string())?;
    let written: Value = serde_json::from_slice(&written).map_err(|e| e.to_string())?;
    let answers = tools::script(&programs, SCRIPT, &json!([{ "model": model, "payload": written }]))?;
    match answers.pointer("/0/read") {
        Some(read) => Ok(Some((read.clone(), written))),
        None => Err(format!("{model} refuses what our host writes: {answers}; the payload: {written}")),
    }
}

/// Each of the pairs: where the model has a field, and what was meant.
fn all(model: &str, event: Incoming, meant: &[(&str, Value)]) -> Result<(), String> {
    let Some((read, written)) = read(model, event)? else { return Ok(()) };
    let differs = |why| format!("{why}; the payload: {written}");
    meant.iter().try_for_each(|(pointer, meant)| same(model, &read, pointer, meant).map_err(differs))
}

pub(crate) fn http_requests() -> Result<(), String> {
    let request = |method: &str, body: &'static [u8]| {
        Request::builder()
            .method(method)
            .uri("/orders/a%20b?tag=1&tag=2&q=%C3%BC+x")
            .header("cookie", "a=1; b=2")
            .header("x-many", "one")
            .header("x-many", "two")
            .header("user-agent", "peers/1")
            .body(Bytes::from_static(body))
            .map(Incoming::Http)
            .map_err(|e| e.to_string())
    };
    let text = [
        ("/version", json!("2.0")),
        ("/rawPath", json!("/orders/a%20b")),
        ("/rawQueryString", json!("tag=1&tag=2&q=%C3%BC+x")),
        ("/queryStringParameters", json!({ "tag": "1,2", "q": "ü x" })),
        ("/cookies", json!(["a=1", "b=2"])),
        ("/headers/x-many", json!("one,two")),
        ("/requestContext/requestId", json!("call-1")),
        ("/requestContext/http/method", json!("POST")),
        ("/requestContext/http/userAgent", json!("peers/1")),
        ("/body", json!("{\"é\":1}")),
        ("/isBase64Encoded", json!(false)),
    ];
    const MODEL: &str = "APIGatewayProxyEventV2Model";
    all(MODEL, request("POST", "{\"é\":1}".as_bytes())?, &text)?;
    let binary = [("/body", json!("//4=")), ("/isBase64Encoded", json!(true))];
    all(MODEL, request("PUT", &[0xff, 0xfe])?, &binary)?;
    all(MODEL, request("GET", b"")?, &[("/body", Value::Null)])
}

pub(crate) fn queue_messages() -> Result<(), String> {
    let Some((read, written)) = read("SqsModel", neutral::batch())? else { return Ok(()) };
    for (at, message) in neutral::messages().iter().enumerate() {
        let digest = read.pointer(&format!("/md5/{at}")).cloned().unwrap_or_default();
        let attempt = message.attempt.unwrap_or_default().to_string();
        let fields = [
            ("messageId", json!(message.id)),
            ("body", json!(neutral::BODY)),
            ("md5OfBody", digest),
            ("attributes/ApproximateReceiveCount", json!(attempt)),
            ("attributes/SentTimestamp", json!(MILLIS)),
            ("messageAttributes/colour/stringValue", json!("red é")),
            ("messageAttributes/colour/dataType", json!("String")),
            ("messageAttributes/Id/stringValue", json!("7")),
        ];
        for (name, meant) in fields {
            same("SqsModel", &read, &format!("/Records/{at}/{name}"), &meant)
                .map_err(|why| format!("{why}; the payload: {written}"))?;
        }
    }
    Ok(())
}

pub(crate) fn objects() -> Result<(), String> {
    let object = |action, size| neutral::incoming(neutral::object(action, size));
    let place = || {
        vec![
            ("/decoded_key", json!(neutral::KEY)),
            ("/Records/0/s3/bucket/name", json!(neutral::BUCKET)),
            ("/Records/0/eventTime", json!(MILLIS)),
        ]
    };
    let mut created = place();
    created.extend([
        ("/Records/0/eventName", json!("ObjectCreated:Put")),
        ("/Records/0/s3/object/size", json!(5.0)),
        ("/Records/0/s3/object/eTag", json!(neutral::ETAG)),
    ]);
    all("S3Model", object(ObjectAction::Created, Some(5)), &created)?;
    // Who emits an object by hand may not know its size; S3 always does.
    all("S3Model", object(ObjectAction::Created, None), &place())?;
    let mut deleted = place();
    deleted.push(("/Records/0/eventName", json!("ObjectRemoved:Delete")));
    all("S3Model", object(ObjectAction::Deleted, None), &deleted)
}

pub(crate) fn schedules() -> Result<(), String> {
    let tick = neutral::incoming(neutral::tick(neutral::when()));
    let meant = [
        ("/id", json!("t-1")),
        ("/source", json!("aws.events")),
        ("/detail-type", json!("Scheduled Event")),
        ("/time", json!(MILLIS)),
        ("/resources", json!(["arn:aws:events:eu-west-1:123456789012:rule/sweep"])),
        ("/detail", json!({})),
    ];
    all("EventBridgeModel", tick, &meant)
}

pub(crate) fn changes() -> Result<(), String> {
    for (kind, old, new) in neutral::changes() {
        let name = match kind {
            ChangeKind::Created => "INSERT",
            ChangeKind::Deleted => "REMOVE",
            _ => "MODIFY",
        };
        let record = neutral::incoming(neutral::change(kind, old.clone(), new.clone()));
        let meant = [
            ("/Records/0/eventID", json!("c-1")),
            ("/Records/0/eventName", json!(name)),
            ("/Records/0/dynamodb/ApproximateCreationDateTime", json!(MILLIS)),
            ("/Records/0/dynamodb/Keys", json!({ "id": "r-1" })),
            ("/Records/0/dynamodb/SequenceNumber", json!("160")),
            ("/Records/0/dynamodb/OldImage", json!(old)),
            ("/Records/0/dynamodb/NewImage", json!(new)),
        ];
        all("DynamoDBStreamModel", record, &meant)?;
    }
    Ok(())
}

pub(crate) fn topics() -> Result<(), String> {
    let meant = [
        ("/Records/0/Sns/MessageId", json!("m-1")),
        ("/Records/0/Sns/Message", json!(neutral::BODY)),
        ("/Records/0/Sns/Subject", json!("a \"subject\"")),
        ("/Records/0/Sns/Timestamp", json!(MILLIS)),
        ("/Records/0/Sns/TopicArn", json!("arn:aws:sns:eu-west-1:123456789012:news")),
        ("/Records/0/Sns/MessageAttributes/colour", json!({ "Type": "String", "Value": "red é" })),
        ("/Records/0/Sns/MessageAttributes/Id", json!({ "Type": "String", "Value": "7" })),
    ];
    all("SnsModel", neutral::incoming(neutral::topic()), &meant)
}

pub(crate) fn events() -> Result<(), String> {
    let meant = [
        ("/id", json!("e-1")),
        ("/source", json!("shop.test")),
        ("/detail-type", json!("OrderPaid")),
        ("/time", json!(MILLIS)),
        ("/resources", json!(["orders/ü 1"])),
        ("/detail", json!({ "total": 7, "of": ["é"] })),
    ];
    all("EventBridgeModel", neutral::incoming(neutral::application()), &meant)?;
    // `PutEvents` takes objects alone: another event must not go out as an empty one.
    let mut record = neutral::application();
    record.event.data = Bytes::from_static(b"[1]");
    match payload("call-1", "", neutral::incoming(record)) {
        Err(_) => Ok(()),
        Ok(written) => Err(format!("an event whose data is a list went out as {written:?}")),
    }
}
