//! Google's functions-framework as an oracle: the same request to it and to our decoder, the events compared.

use std::process::{Command, Stdio};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use xcloud_core::cloudevents;
use xcloud_core::event::Incoming;
use xcloud_core::text::{base64_decode, parse_rfc3339, rfc3339};
use xcloud_serve::host::free_port;
use xcloud_tests::tools;

use crate::{Running, listens, post};

const FUNCTION: &str = "import functions_framework, json, os
@functions_framework.cloud_event
def seen(e):
    fields = {k: e.get(k) for k in ('id', 'source', 'type', 'subject')}
    fields['data'] = e.data if isinstance(e.data, (dict, list, str, int, type(None))) else e.data.decode()
    open(os.environ['SEEN'], 'w').write(json.dumps(fields))
";

type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);

const CASES: &[Case] = &[
    (
        "binary",
        &[
            ("ce-id", "1"),
            ("ce-source", "//storage.googleapis.com/projects/_/buckets/b"),
            ("ce-specversion", "1.0"),
            ("ce-type", "google.cloud.storage.object.v1.finalized"),
            ("ce-subject", "objects/folder/Test.cs"),
            ("content-type", "application/json"),
        ],
        r#"{"bucket":"b","name":"folder/Test.cs"}"#,
    ),
    (
        "structured",
        &[("content-type", "application/cloudevents+json")],
        r#"{"specversion":"1.0","id":"2","source":"//s","type":"t","subject":"x y","data":{"a":[1,"é"]}}"#,
    ),
    (
        "structured with a charset",
        &[("content-type", "application/cloudevents+json; charset=utf-8")],
        r#"{"specversion":"1.0","id":"3","source":"//s","type":"t","datacontenttype":"application/json","data":{"n":7}}"#,
    ),
];

fn ours(headers: &[(&str, &str)], body: &str) -> Result<Value, String> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).map_err(|e| e.to_string())?;
        map.insert(name, HeaderValue::try_from(*value).map_err(|e| e.to_string())?);
    }
    let mode = cloudevents::mode(&map).ok_or("not recognised as a CloudEvent")?;
    let events =
        cloudevents::from_request(mode, &map, Bytes::from(body.to_owned())).map_err(|e| e.to_string())?;
    let event = events.first().ok_or("no event")?;
    let data: Value = serde_json::from_slice(&event.data).map_err(|e| e.to_string())?;
    Ok(
        json!({ "id": event.id, "source": event.source, "type": event.ty, "subject": event.subject, "data": data }),
    )
}

/// A Pub/Sub push as the service documents it, wrapped: the framework makes an event of it, we make a message.
const PUSH: &str = r#"{"deliveryAttempt":2,"message":{"attributes":{"kind":"a b","n":"é"},"data":"eyJvcmRlcl9pZCI6ImEtMSJ9",
    "messageId":"2070443601311540","message_id":"2070443601311540","publishTime":"2021-02-26T19:13:55.749Z",
    "publish_time":"2021-02-26T19:13:55.749Z"},"subscription":"projects/p/subscriptions/shop-dev-order-placed"}"#;

/// What both say of a message, in one shape.
fn our_message() -> Result<Value, String> {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let events = xcloud_gcp::decode::request(&headers, Bytes::from_static(PUSH.as_bytes()));
    let event = events.map_err(|e| e.to_string())?.pop().ok_or("no event")?;
    let Incoming::Queue(batch) = event.incoming else { return Err("not a message".to_owned()) };
    let message = batch.messages.into_iter().next().ok_or("no message")?;
    let attributes: Map<String, Value> =
        message.attributes.into_iter().map(|(k, v)| (k, Value::from(v))).collect();
    let body: Value = serde_json::from_slice(&message.body).map_err(|e| e.to_string())?;
    Ok(json!({ "id": message.id, "body": body, "attributes": attributes, "sent": message.sent.map(rfc3339) }))
}

fn their_message(event: &Value) -> Result<Value, String> {
    let message = &event["data"]["message"];
    let data = message["data"].as_str().and_then(|d| base64_decode(d.as_bytes())).ok_or("no data")?;
    let body: Value = serde_json::from_slice(&data).map_err(|e| e.to_string())?;
    let sent = message["publishTime"].as_str().and_then(parse_rfc3339).map(rfc3339);
    Ok(json!({ "id": event["id"], "body": body, "attributes": message["attributes"], "sent": sent }))
}

pub(crate) fn cloud_events_mean_the_same() -> Result<(), String> {
    let programs = match tools::python("functions-framework", "3.10.2") {
        Ok(programs) => programs,
        Err(why) => return tools::skip(&why),
    };
    let folder = std::env::temp_dir().join(format!("xcloud-oracle-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    std::fs::write(folder.join("main.py"), FUNCTION).map_err(|e| e.to_string())?;
    let seen = folder.join("seen.json");
    let port = free_port().map_err(|e| e.to_string())?;
    let mut command = Command::new(programs.join("functions-framework"));
    command.current_dir(&folder).env("SEEN", &seen).stdout(Stdio::null()).stderr(Stdio::null());
    command.args([
        "--target",
        "seen",
        "--signature-type",
        "cloudevent",
        "--host",
        "127.0.0.1",
        "--port",
        &port.to_string(),
    ]);
    let _running = Running(command.spawn().map_err(|e| e.to_string())?);
    listens(port)?;
    for (name, headers, body) in CASES {
        drop(std::fs::remove_file(&seen));
        let (status, answer) = post(port, "/", headers, body.as_bytes()).map_err(|e| e.to_string())?;
        let theirs = std::fs::read(&seen)
            .map_err(|e| format!("{name}: the oracle answered {status} {answer}: {e}"))?;
        let theirs: Value = serde_json::from_slice(&theirs).map_err(|e| e.to_string())?;
        let ours = ours(headers, body).map_err(|e| format!("{name}: {e}"))?;
        if ours != theirs {
            return Err(format!("{name}: the oracle saw {theirs}, we saw {ours}"));
        }
    }
    drop(std::fs::remove_file(&seen));
    let json = [("content-type", "application/json")];
    let (status, answer) =
        post(port, "/projects/p/topics/t", &json, PUSH.as_bytes()).map_err(|e| e.to_string())?;
    let event =
        std::fs::read(&seen).map_err(|e| format!("the oracle answered a push {status} {answer}: {e}"))?;
    let theirs = their_message(&serde_json::from_slice(&event).map_err(|e| e.to_string())?)?;
    let mine = our_message()?;
    if mine != theirs {
        return Err(format!("a push: the oracle saw {theirs}, we saw {mine}"));
    }
    drop(std::fs::remove_dir_all(&folder));
    // What both must refuse.
    let broken = r#"{"specversion":"1.0","id":"4"}"#;
    let headers = [("content-type", "application/cloudevents+json")];
    let (status, _) = post(port, "/", &headers, broken.as_bytes()).map_err(|e| e.to_string())?;
    if status < 400 || ours(&headers, broken).is_ok() {
        return Err(format!("an event without source and type: the oracle answered {status}"));
    }
    Ok(())
}
