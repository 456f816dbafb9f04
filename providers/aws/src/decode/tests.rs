use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;

fn read(payload: &str) -> Payload {
    event(&Bytes::from(payload.to_owned()), &mut Scratch::default()).unwrap()
}

fn refused(payload: &str) -> Error {
    event(&Bytes::from(payload.to_owned()), &mut Scratch::default()).unwrap_err()
}

/// A payload in the words of `expected.json`.
fn describe(payload: Payload) -> Value {
    match payload {
        Payload::Http(origin, request) => {
            let request = request.unwrap();
            let headers: Vec<_> =
                request.headers().iter().map(|(k, v)| json!([k.as_str(), v.to_str().unwrap()])).collect();
            json!({
                "origin": format!("{origin:?}"),
                "method": request.method().as_str(),
                "uri": request.uri().to_string(),
                "headers": headers,
                "body": String::from_utf8_lossy(request.body()),
            })
        }
        Payload::Queue(queue, batch) => json!({
            "queue": queue,
            "messages": batch.messages.iter().map(|m| json!([m.id, String::from_utf8_lossy(&m.body), m.attempt, m.attributes])).collect::<Vec<_>>(),
        }),
        Payload::Records(Records { stream, records }) => json!({
            "stream": stream,
            "records": records.iter().map(record).collect::<Vec<_>>(),
        }),
        Payload::Raw(bytes) => json!({ "raw": bytes.len() }),
    }
}

fn record(record: &xcloud_core::event::Record) -> Value {
    let event = &record.event;
    json!({
        "payload": format!("{:?}", record.payload),
        "source": record.source,
        "position": record.position,
        "event": [event.ty, event.source, event.id, event.subject, event.time, event.extensions],
    })
}

#[test]
fn golden_payloads() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/wire");
    let folders =
        |path: &Path| std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
    let mut seen = 0;
    for case in folders(&root).iter().flat_map(|trigger| folders(trigger)) {
        let file = |name: &str| std::fs::read_to_string(case.join(name)).unwrap();
        let described = describe(read(&file("event.json")));
        if std::env::var_os("XCLOUD_UPDATE_GOLDENS").is_some() {
            let text = serde_json::to_string_pretty(&described).unwrap() + "\n";
            std::fs::write(case.join("expected.json"), text).unwrap();
        }
        let expected: Value = serde_json::from_str(&file("expected.json")).unwrap();
        assert_eq!(described, expected, "{}", case.display());
        seen += 1;
    }
    assert!(seen >= 10, "{seen} cases");
}

#[test]
fn what_has_no_known_shape_is_raw() {
    for payload in ["", "null", "[]", "{}", "3", r#"{"headers":{"a":1}}"#, r#"{"Records":[]}"#, "\u{0}"] {
        assert!(matches!(read(payload), Payload::Raw(_)), "{payload}");
    }
}

#[test]
fn records_without_their_fields_are_refused() {
    for (record, what) in [
        (r#"{"eventSource":"aws:sqs"}"#, "messageId"),
        (r#"{"eventSource":"aws:sqs","messageId":"","body":"x"}"#, "empty messageId"),
    ] {
        let error = refused(&format!(r#"{{"Records":[{record}]}}"#));
        assert!(error.message().contains(what), "{error}");
    }
    let two = r#"{"Records":[{"eventSource":"aws:sqs","messageId":"1","body":"","eventSourceARN":"a:q"},{"eventSource":"aws:sqs","messageId":"2","body":"","eventSourceARN":"a:p"}]}"#;
    assert!(refused(two).message().contains("two queues"));
}

#[test]
fn a_question_to_an_authorizer_is_not_the_request_it_asks_about() {
    for payload in [
        r#"{"version":"2.0","type":"REQUEST","routeArn":"arn:aws:execute-api:r:1:a/s/GET/x","rawPath":"/x","requestContext":{"http":{"method":"GET"}}}"#,
        r#"{"type":"REQUEST","methodArn":"arn:aws:execute-api:r:1:a/s/GET/x","resource":"/x","path":"/x","httpMethod":"GET","requestContext":{}}"#,
    ] {
        assert!(matches!(read(payload), Payload::Raw(_)), "{payload}");
    }
}

#[test]
fn a_fifo_queue_has_its_name_in_the_app() {
    let payload = r#"{"Records":[{"eventSource":"aws:sqs","messageId":"1","body":"","eventSourceARN":"arn:aws:sqs:r:1:shop-dev-placed.fifo"}]}"#;
    assert!(matches!(read(payload), Payload::Queue(name, _) if name == "shop-dev-placed"));
}

#[test]
fn a_request_that_is_none_keeps_its_origin() {
    let payload = r#"{"version":"2.0","rawPath":"/","requestContext":{"http":{"method":"GET"}},"body":"?","isBase64Encoded":true}"#;
    let Payload::Http(Origin::V2, Err(error)) = read(payload) else { panic!() };
    assert!(error.message().contains("base64"));
}

#[test]
fn a_body_is_whole_while_the_next_one_is_read() {
    let mut scratch = Scratch::default();
    let mut body = |n: usize| {
        let text = "\"a\\b\n\u{1}é\"".repeat(n);
        let payload = json!({ "version": "2.0", "rawPath": "/", "requestContext": { "http": { "method": "POST" } }, "body": text });
        match event(&Bytes::from(payload.to_string()), &mut scratch).unwrap() {
            Payload::Http(Origin::V2, Ok(request)) => (text, request.into_body()),
            other => panic!("{other:?}"),
        }
    };
    let all: Vec<_> = [1, 0, 3, 2000, 1, 40].map(&mut body).into_iter().collect();
    for (text, body) in all {
        assert_eq!(body, text);
    }
}

#[test]
fn headers_of_one_request_are_not_those_of_the_last() {
    let mut scratch = Scratch::default();
    let long = "l".repeat(MAX_NAME + 1);
    for names in
        [&["a", "b"][..], &["a", "b"], &["b"], &["A", "no name", "c", &long], &["a", &long, "b", "c"], &[]]
    {
        let headers: Value = names.iter().map(|name| ((*name).to_owned(), json!("x"))).collect();
        let payload = json!({ "version": "2.0", "rawPath": "/", "requestContext": { "http": { "method": "GET" } }, "headers": headers });
        let event = event(&Bytes::from(payload.to_string()), &mut scratch).unwrap();
        let Payload::Http(Origin::V2, Ok(request)) = event else { panic!("{event:?}") };
        let mut wanted: Vec<_> =
            names.iter().filter(|n| !n.contains(' ')).map(|n| n.to_lowercase()).collect();
        wanted.sort();
        let mut found: Vec<_> = request.headers().keys().map(|n| n.as_str().to_owned()).collect();
        found.sort();
        assert_eq!(found, wanted);
    }
}

#[test]
fn a_field_that_is_there_twice_makes_it_no_request() {
    let payload =
        r#"{"version":"2.0","rawPath":"/a","rawPath":"/b","requestContext":{"http":{"method":"GET"}}}"#;
    assert!(matches!(read(payload), Payload::Raw(_)));
}

/// For an instance that takes no records.
#[test]
fn requests_and_messages_are_read_alone_as_they_are_with_records() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/wire");
    for kind in std::fs::read_dir(root).unwrap().map(|kind| kind.unwrap().path()) {
        for case in std::fs::read_dir(kind).unwrap().map(|case| case.unwrap().path()) {
            let payload = Bytes::from(std::fs::read(case.join("event.json")).unwrap());
            let all = event(&payload, &mut Scratch::default()).unwrap();
            let alone = call(&payload, &mut Scratch::default()).unwrap();
            match all {
                Payload::Records(_) => assert!(matches!(alone, Payload::Raw(raw) if raw == payload)),
                all => assert_eq!(format!("{all:?}"), format!("{alone:?}"), "{}", case.display()),
            }
        }
    }
}

proptest! {
    #[test]
    fn no_payload_makes_it_panic(bytes: Vec<u8>, text in "\\PC*", at in 0..400usize) {
        let mut scratch = Scratch::default();
        let mut event = |payload: Bytes| drop(super::event(&payload, &mut scratch));
        event(bytes.into());
        let text = Value::from(text);
        let v2 = format!(r#"{{"version":"2.0","rawPath":{text},"rawQueryString":{text},"cookies":[{text}],"headers":{{{text}:{text}}},"requestContext":{{"http":{{"method":{text}}}}},"body":{text},"isBase64Encoded":true}}"#);
        event(Bytes::from(v2.clone()));
        event(Bytes::from(v2.chars().take(at).collect::<String>()));
        let v1 = format!(r#"{{"resource":"","path":{text},"httpMethod":"GET","multiValueHeaders":{{{text}:[{text}]}},"multiValueQueryStringParameters":{{{text}:[{text}]}},"requestContext":{{}}}}"#);
        event(Bytes::from(v1));
    }
}
