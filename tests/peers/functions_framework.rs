//! Google's functions-framework as an oracle: the same request to it and to our decoder, the events compared.

mod hosted;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use serde_json::{Map, Value, json};
use xcloud_core::cloudevents;
use xcloud_core::event::{CloudEvent, Incoming, RawMessage};
use xcloud_core::text::{base64_decode, parse_rfc3339, rfc3339};
use xcloud_serve::host::free_port;
use xcloud_tests::tools;

pub(crate) use self::hosted::*;
use crate::{Running, listens, post};

/// The binary mode's percent-encoding (CloudEvents HTTP binding, 3.1.3.2) is left on by the framework's reader.
const FUNCTION: &str = "import base64, flask, functions_framework, json, os, urllib.parse
def write(seen):
    open(os.environ['SEEN'], 'w').write(json.dumps(seen))

@functions_framework.cloud_event
def event(e):
    binary = 'ce-id' in flask.request.headers
    fields = {k: urllib.parse.unquote(v) if binary else v for k, v in e.get_attributes().items()}
    data = {'base64': base64.b64encode(e.data).decode()} if isinstance(e.data, bytes) else e.data
    write({'attributes': fields, 'data': data})

@functions_framework.http
def request(r):
    write({'headers': {k.lower(): v for k, v in r.headers.items()}, 'body': r.get_data(as_text=True), 'method': r.method})
    return 'OK'
";

/// The framework with a function that writes down what it is given.
struct Oracle {
    folder: PathBuf,
    port: u16,
    _running: Running,
}

impl Drop for Oracle {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

impl Oracle {
    /// Of functions that take events (`event`) or requests (`request`); `None` where the framework cannot be had.
    fn start(target: &str) -> Result<Option<Self>, String> {
        let programs = match tools::python("functions-framework", "3.10.2", &[]) {
            Ok(programs) => programs,
            Err(why) => return tools::skip(&why).map(|()| None),
        };
        let port = free_port().map_err(|e| e.to_string())?;
        let folder = std::env::temp_dir().join(format!("xcloud-oracle-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        std::fs::write(folder.join("main.py"), FUNCTION).map_err(|e| e.to_string())?;
        let signature = if target == "event" { "cloudevent" } else { "http" };
        let mut command = Command::new(programs.join("functions-framework"));
        command.current_dir(&folder).env("SEEN", folder.join("seen.json"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.args(["--target", target, "--signature-type", signature, "--host", "127.0.0.1", "--port"]);
        let running = Running(command.arg(port.to_string()).spawn().map_err(|e| e.to_string())?);
        listens(port)?;
        Ok(Some(Self { folder, port, _running: running }))
    }

    /// What the function was given.
    fn ask(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Value, String> {
        let seen = self.folder.join("seen.json");
        drop(std::fs::remove_file(&seen));
        let (status, answer) = post(self.port, path, headers, body).map_err(|e| e.to_string())?;
        let seen = std::fs::read(&seen).map_err(|e| format!("the oracle answered {status} {answer}: {e}"))?;
        serde_json::from_slice(&seen).map_err(|e| e.to_string())
    }

    /// [`Oracle::ask`] with a request of our host.
    fn ask_host(&self, path: &str, request: &Request<Bytes>) -> Result<Value, String> {
        let headers = request.headers().iter();
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default())).collect();
        self.ask(path, &headers, request.body())
    }
}

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
    let known = ["id", "source", "type", "subject"].map(|name| attributes(event)[name].clone());
    Ok(json!([known, data]))
}

/// All attributes of an event but its version.
fn attributes(event: &CloudEvent) -> Value {
    let mut all = json!({ "id": event.id, "source": event.source, "type": event.ty });
    let more =
        [("subject", &event.subject), ("time", &event.time), ("datacontenttype", &event.datacontenttype)];
    for (name, value) in more.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        all[name] = value.as_str().into();
    }
    for (name, value) in &event.extensions {
        all[name] = value.as_str().into();
    }
    all
}

/// A Pub/Sub push as the service documents it, wrapped: the framework makes an event of it, we make a message.
const PUSH: &str = r#"{"deliveryAttempt":2,"message":{"attributes":{"kind":"a b","n":"é"},"data":"eyJvcmRlcl9pZCI6ImEtMSJ9",
    "messageId":"2070443601311540","message_id":"2070443601311540","publishTime":"2021-02-26T19:13:55.749Z",
    "publish_time":"2021-02-26T19:13:55.749Z"},"subscription":"projects/p/subscriptions/shop-dev-order-placed"}"#;

/// What both say of a message, in one shape.
fn message_shape(message: &RawMessage) -> Result<Value, String> {
    let attributes = message.attributes.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str())));
    let attributes: Map<String, Value> = attributes.collect();
    let body: Value = serde_json::from_slice(&message.body).map_err(|e| e.to_string())?;
    Ok(json!({ "id": message.id, "body": body, "attributes": attributes, "sent": message.sent.map(rfc3339) }))
}

fn our_message() -> Result<Value, String> {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let events = xcloud_gcp::decode::request(&headers, Bytes::from_static(PUSH.as_bytes()));
    let event = events.map_err(|e| e.to_string())?.pop().ok_or("no event")?;
    let Incoming::Queue(batch) = event.incoming else { return Err("not a message".to_owned()) };
    message_shape(batch.messages.first().ok_or("no message")?)
}

fn their_message(event: &Value) -> Result<Value, String> {
    let message = &event["data"]["message"];
    let data = message["data"].as_str().and_then(|d| base64_decode(d.as_bytes())).ok_or("no data")?;
    let body: Value = serde_json::from_slice(&data).map_err(|e| e.to_string())?;
    let sent = message["publishTime"].as_str().and_then(parse_rfc3339).map(rfc3339);
    Ok(
        json!({ "id": event["attributes"]["id"], "body": body, "attributes": message["attributes"], "sent": sent }),
    )
}

pub(crate) fn cloud_events_mean_the_same() -> Result<(), String> {
    let Some(oracle) = Oracle::start("event")? else { return Ok(()) };
    for (name, headers, body) in CASES {
        let theirs = oracle.ask("/", headers, body.as_bytes()).map_err(|e| format!("{name}: {e}"))?;
        let known = ["id", "source", "type", "subject"].map(|name| theirs["attributes"][name].clone());
        let theirs = json!([known, theirs["data"]]);
        let ours = ours(headers, body).map_err(|e| format!("{name}: {e}"))?;
        if ours != theirs {
            return Err(format!("{name}: the oracle saw {theirs}, we saw {ours}"));
        }
    }
    let json = [("content-type", "application/json")];
    let theirs = their_message(&oracle.ask("/projects/p/topics/t", &json, PUSH.as_bytes())?)?;
    let mine = our_message()?;
    if mine != theirs {
        return Err(format!("a push: the oracle saw {theirs}, we saw {mine}"));
    }
    // What both must refuse.
    let broken = r#"{"specversion":"1.0","id":"4"}"#;
    let headers = [("content-type", "application/cloudevents+json")];
    let (status, _) = post(oracle.port, "/", &headers, broken.as_bytes()).map_err(|e| e.to_string())?;
    if status < 400 || ours(&headers, broken).is_ok() {
        return Err(format!("an event without source and type: the oracle answered {status}"));
    }
    Ok(())
}
