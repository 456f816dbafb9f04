//! Against a service of the tests' own; `tests/peers/sqs.rs` has the emulator.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::fake::{Act, Seen, service};

const CANARY: &str = "canary-secret";

fn lambda(name: &str) -> Option<String> {
    let value = match name {
        "AWS_ACCESS_KEY_ID" => "AKID",
        "AWS_SECRET_ACCESS_KEY" => CANARY,
        "AWS_SESSION_TOKEN" => "canary-token",
        "AWS_REGION" => "eu-west-1",
        _ => return None,
    };
    Some(value.to_owned())
}

async fn queue(acts: Vec<Act>) -> (Queue, Seen) {
    let (port, seen) = service(acts).await;
    let url = format!("http://127.0.0.1:{port}/123456789012/orders");
    (Queue::open(&url, lambda, Arc::new(Source::new(lambda))).unwrap(), seen)
}

fn stored(id: &str, body: &str) -> Value {
    json!({ "MessageId": id, "MD5OfMessageBody": crate::md5::hex(body.as_bytes()) })
}

fn problem(status: u16, code: &str) -> Act {
    Act::Answer(
        status,
        json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": "why" }).to_string(),
    )
}

fn messages(bodies: &[&'static str]) -> Outgoing {
    bodies.iter().map(|body| bytes::Bytes::from_static(body.as_bytes())).collect::<Vec<_>>().into()
}

#[tokio::test]
async fn one_message_is_signed_sent_and_acknowledged() {
    let (queue, seen) = queue(vec![Act::Answer(200, stored("m-1", "{\"a\":1}").to_string())]).await;
    let trace = Some("00-67891233abcdef012345678912345678-53995c3f42cd8ad8-01".to_owned());
    let ids = queue.store(Outgoing { trace, ..messages(&["{\"a\":1}"]) }).await.unwrap();
    assert_eq!(ids, ["m-1"]);
    let (_, head, body) = &seen.all()[0];
    for line in
        ["POST / HTTP/1.1", "x-amz-target: AmazonSQS.SendMessage", "content-type: application/x-amz-json-1.0"]
    {
        assert!(head.lines().any(|l| l == line), "{line} is not in {head}");
    }
    let signed =
        "SignedHeaders=content-length;content-type;host;x-amz-date;x-amz-security-token;x-amz-target";
    assert!(head.contains("/eu-west-1/sqs/aws4_request, ") && head.contains(signed), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    let text = |value: &str| json!({ "DataType": "String", "StringValue": value });
    let expected = json!({
        "QueueUrl": queue.url, "MessageBody": "{\"a\":1}",
        "MessageAttributes": {
            "content-type": text("application/json"),
            "traceparent": text("00-67891233abcdef012345678912345678-53995c3f42cd8ad8-01"),
        },
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn of_several_those_that_were_not_stored_are_sent_again() {
    let second = |id: &str, at: &str, body: &str| {
        let mut stored = stored(id, body);
        stored["Id"] = at.into();
        stored
    };
    let failed = json!([{ "Id": "1", "SenderFault": false, "Code": "InternalError", "Message": "x" }]);
    let first = json!({ "Successful": [second("c", "2", "3"), second("a", "0", "1")], "Failed": failed });
    let (queue, seen) =
        queue(vec![Act::Answer(200, first.to_string()), Act::Answer(200, stored("b", "2").to_string())])
            .await;
    assert_eq!(queue.store(messages(&["1", "2", "3"])).await.unwrap(), ["a", "b", "c"]);
    let seen = seen.all();
    assert!(
        seen[0].1.contains("AmazonSQS.SendMessageBatch")
            && seen[1].1.contains("x-amz-target: AmazonSQS.SendMessage\r")
    );
    let batch: Value = serde_json::from_str(&seen[0].2).unwrap();
    assert_eq!(batch["Entries"][2]["Id"], "2");
    assert_eq!(batch["Entries"][2]["MessageBody"], "3");
}

#[tokio::test]
async fn a_batch_that_was_stored_in_part_says_so() {
    let failed = json!([{ "Id": "1", "SenderFault": true, "Code": "InvalidMessageContents" }]);
    let mut good = stored("a", "1");
    good["Id"] = "0".into();
    let answer = json!({ "Successful": [good], "Failed": failed });
    let (queue, seen) = queue(vec![Act::Answer(200, answer.to_string())]).await;
    let error = queue.store(messages(&["1", "2"])).await.unwrap_err();
    assert!(error.to_string().contains("stored: 1 of 2"), "{error}");
    assert_eq!((error.kind(), seen.all().len()), (ErrorKind::Handler, 1));
}

#[tokio::test]
async fn a_service_that_is_busy_is_asked_three_times() {
    let answer = Act::Answer(200, stored("m", "1").to_string());
    let (patient, seen) = queue(vec![problem(400, "ThrottlingException"), Act::Close, answer]).await;
    assert_eq!(patient.store(messages(&["1"])).await.unwrap(), ["m"]);
    assert_eq!(seen.all().len(), 3);
    let (busy, seen) = queue(vec![problem(503, "ServiceUnavailable"); 5]).await;
    let error = busy.store(messages(&["1"])).await.unwrap_err();
    assert_eq!((error.kind(), seen.all().len()), (ErrorKind::Unavailable, 3), "{error}");
}

#[tokio::test]
async fn what_no_other_try_will_help_is_said_at_once() {
    for (code, part) in [
        ("AccessDenied", "sqs:SendMessage on the queue orders"),
        ("QueueDoesNotExist", "queue orders does not"),
    ] {
        let (queue, seen) = queue(vec![problem(400, code); 2]).await;
        let error = queue.store(messages(&["1"])).await.unwrap_err();
        assert!(error.message().contains(part) && error.kind() == ErrorKind::Config, "{error}");
        assert_eq!(seen.all().len(), 1);
    }
}

#[tokio::test]
async fn a_call_that_is_about_to_end_is_not_held_up() {
    let (queue, seen) = queue(vec![Act::Hang]).await;
    let start = Instant::now();
    let deadline = Some(start + Duration::from_millis(500));
    let error = queue.store(Outgoing { deadline, ..messages(&["1"]) }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(start.elapsed() < Duration::from_millis(480), "{:?}", start.elapsed());
    assert_eq!(seen.all().len(), 1);
}

#[tokio::test]
async fn an_answer_about_something_else_is_no_acknowledgement() {
    let wrong = Act::Answer(200, stored("m", "another body").to_string());
    let (queue, _) =
        queue(vec![wrong, Act::Answer(200, "{}".into()), Act::Answer(200, "no json".into())]).await;
    let error = queue.store(messages(&["1"])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_large_message_is_refused_before_anything_is_sent() {
    let (queue, seen) = queue(vec![]).await;
    let large = bytes::Bytes::from(vec![b'1'; MAX_BYTES]);
    let error = queue.store(vec![bytes::Bytes::from_static(b"1"), large].into()).await.unwrap_err();
    assert_eq!((error.kind(), seen.all().len()), (ErrorKind::PayloadTooLarge, 0));
}

#[tokio::test]
async fn secrets_are_in_no_error() {
    let acts = vec![
        problem(403, "InvalidSignatureException"),
        problem(403, "AccessDenied"),
        problem(500, "x"),
        Act::Close,
        Act::Answer(200, "{".into()),
        Act::Answer(302, "<html>".into()),
    ];
    for act in acts {
        let (queue, _) = queue(vec![act; 3]).await;
        let error = queue.store(messages(&["1"])).await.unwrap_err();
        let shown = format!("{error} {error:?} {}", error.public_message());
        assert!(!shown.contains("canary"), "{shown}");
    }
}

#[test]
fn a_binding_is_a_queues_url() {
    let open = |url: &str, environment| Queue::open(url, environment, Arc::new(Source::new(environment)));
    let queue =
        open("https://sqs.eu-central-1.amazonaws.com/123456789012/shop-dev-order-placed", lambda).unwrap();
    assert_eq!((queue.name.as_str(), queue.region.as_str()), ("shop-dev-order-placed", "eu-central-1"));
    let bad = [
        "",
        "orders",
        "arn:aws:sqs:eu-west-1:1:q",
        "https://sqs.eu-west-1.amazonaws.com",
        "https://sqs.eu-west-1.amazonaws.com/",
    ];
    for url in bad.iter().chain(&["http://sqs.eu-west-1.amazonaws.com/1/q"]) {
        assert_eq!(open(url, lambda).err().map(|e| e.kind()), Some(ErrorKind::Config), "{url}");
    }
    let error = open("https://queues.example/1/q", |_| None).err().unwrap();
    assert!(error.message().contains("AWS_REGION"), "{error}");
    let elsewhere = |name: &str| {
        if name == "AWS_ENDPOINT_URL" { Some("http://localhost:4566".into()) } else { lambda(name) }
    };
    let queue = open("https://sqs.us-west-2.amazonaws.com/1/q", elsewhere).unwrap();
    assert_eq!((queue.peer.host(), queue.region.as_str()), ("localhost:4566", "us-west-2"));
}

#[test]
fn the_region_is_in_the_name() {
    let cases = [
        ("sqs.eu-west-1.amazonaws.com", Some("eu-west-1")),
        ("sqs-fips.us-east-2.amazonaws.com", Some("us-east-2")),
        ("sqs.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
        ("sqs.eu-west-1.api.aws", Some("eu-west-1")),
        ("ap-south-1.queue.amazonaws.com", Some("ap-south-1")),
        ("queue.amazonaws.com", Some("us-east-1")),
        ("vpce-0a1b-c.sqs.us-east-1.vpce.amazonaws.com", Some("us-east-1")),
        ("127.0.0.1", None),
        ("sqs.eu-west-1.example.com", None),
        ("s3.eu-west-1.amazonaws.com", None),
    ];
    for (host, region) in cases {
        assert_eq!(region_of(host), region, "{host}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever comes back, a message counts as stored only with its own digest and an id.
    #[test]
    fn no_answer_is_too_strange(status in prop::sample::select(vec![200_u16, 204, 302, 400, 403, 500, 999]), body in ".{0,80}", several in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let result = runtime.block_on(async {
            let (queue, _) = queue(vec![Act::Answer(status, body)]).await;
            let deadline = Some(Instant::now() + MARGIN + Duration::from_millis(30));
            let bodies: &[&str] = if several { &["1", "2"] } else { &["1"] };
            queue.store(Outgoing { deadline, ..messages(bodies) }).await
        });
        prop_assert!(result.is_err());
    }
}
