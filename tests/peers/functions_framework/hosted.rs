//! The same request of our Cloud Run host to the framework and to our decoder: both must see what was meant.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use serde_json::{Map, Value, json};
use xcloud_core::event::{ChangeKind, Incoming, ObjectAction, Payload, Record};
use xcloud_core::text::{base64_encode, parse_rfc3339, rfc3339};
use xcloud_gcp::decode::{self, Delivery, legacy};
use xcloud_gcp::host::requests;
use xcloud_tests::{root, tools};

use super::{Oracle, attributes, message_shape, their_message};
use crate::neutral::{self, same};

const FIRESTORE: &str = include_str!("firestore.py");

/// The request that our host makes of an event.
fn written(record: &Record) -> Result<Request<Bytes>, String> {
    let event = neutral::incoming(record.clone());
    let mut requests = requests("call-1", "order-placed", event).map_err(|e| e.to_string())?;
    requests.pop().ok_or_else(|| "no request came of an event".to_owned())
}

fn delivery(headers: &HeaderMap, body: &Bytes) -> Result<Delivery, String> {
    let mut read = decode::request(headers, body.clone()).map_err(|e| e.to_string())?;
    read.pop().ok_or_else(|| "no event".to_owned())
}

fn record(headers: &HeaderMap, body: &Bytes) -> Result<Record, String> {
    match delivery(headers, body)?.incoming {
        Incoming::Record(record) => Ok(*record),
        other => Err(format!("we read {other:?}, meant was a record")),
    }
}

fn equal(what: &str, theirs: &Value, ours: &Value) -> Result<(), String> {
    if theirs == ours { Ok(()) } else { Err(format!("{what}: the oracle saw {theirs}, we saw {ours}")) }
}

/// Both read the same attributes out of the request; gives what the oracle saw and what we saw.
fn both(oracle: &Oracle, meant: &Record) -> Result<(Value, Record), String> {
    let request = written(meant)?;
    let mut theirs = oracle.ask_host("/", &request)?;
    let ours = record(request.headers(), request.body())?;
    // We keep no version of the specification: there is one.
    same("functions-framework", &theirs, "/attributes/specversion", &json!("1.0"))?;
    theirs["attributes"].as_object_mut().map(|fields| fields.remove("specversion"));
    equal("attributes", &theirs["attributes"], &attributes(&ours.event))?;
    same("functions-framework", &theirs, "/attributes/id", &json!(meant.event.id))?;
    same("functions-framework", &theirs, "/attributes/time", &json!(meant.event.time))?;
    Ok((theirs, ours))
}

pub(crate) fn objects() -> Result<(), String> {
    let Some(oracle) = Oracle::start("event")? else { return Ok(()) };
    for (action, ty) in [
        (ObjectAction::Created, "google.cloud.storage.object.v1.finalized"),
        (ObjectAction::Deleted, "google.cloud.storage.object.v1.deleted"),
    ] {
        let (theirs, ours) = both(&oracle, &neutral::object(action, Some(5)))?;
        for (pointer, meant) in [
            ("/attributes/type", json!(ty)),
            ("/attributes/source", json!("//storage.googleapis.com/projects/_/buckets/uploads-1")),
            ("/attributes/subject", json!(format!("objects/{}", neutral::KEY))),
            ("/data/bucket", json!(neutral::BUCKET)),
            ("/data/name", json!(neutral::KEY)),
            ("/data/size", json!("5")),
            ("/data/etag", json!(neutral::ETAG)),
        ] {
            same("functions-framework", &theirs, pointer, &meant)?;
        }
        match ours.payload {
            Payload::Object { bucket, key, action: read, size: Some(5), etag: Some(etag), .. }
                if (bucket.as_str(), key.as_str(), etag.as_str(), read)
                    == (neutral::BUCKET, neutral::KEY, neutral::ETAG, action) => {}
            other => return Err(format!("we read {other:?}")),
        }
    }
    Ok(())
}

/// The framework hands a request of Cloud Scheduler on as it came: it says that the request is whole, not what it means.
pub(crate) fn schedules() -> Result<(), String> {
    let Some(oracle) = Oracle::start("request")? else { return Ok(()) };
    let request = written(&neutral::tick(neutral::when()))?;
    let theirs = oracle.ask_host("/", &request)?;
    let name = theirs["headers"]["x-cloudscheduler-jobname"].as_str().unwrap_or_default().to_owned();
    let due = theirs["headers"]["x-cloudscheduler-scheduletime"].as_str().and_then(parse_rfc3339);
    if (name.as_str(), due) != ("sweep", Some(neutral::when())) {
        return Err(format!("the oracle saw {theirs}"));
    }
    same("functions-framework", &theirs, "/method", &json!("POST"))?;
    same("functions-framework", &theirs, "/headers/x-cloudscheduler", &json!("true"))?;
    match record(request.headers(), request.body())?.payload {
        Payload::Tick { name: Some(name), scheduled } if name == "sweep" && scheduled == neutral::when() => {
            Ok(())
        }
        other => Err(format!("we read {other:?}")),
    }
}

pub(crate) fn topics() -> Result<(), String> {
    let Some(oracle) = Oracle::start("event")? else { return Ok(()) };
    let meant = neutral::topic();
    let request = written(&meant)?;
    let theirs = their_message(&oracle.ask_host("/projects/p/topics/news", &request)?)?;
    let read = delivery(request.headers(), request.body())?.topic().ok_or("we read no topic's message")?;
    let shape = |record: &Record| -> Result<Value, String> {
        let Payload::Topic { body, attributes } = &record.payload else { return Err("no topic".to_owned()) };
        let attributes: Map<_, _> = attributes.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        let body: Value = serde_json::from_slice(body).map_err(|e| e.to_string())?;
        let sent = record.event.time.as_deref().and_then(parse_rfc3339).map(rfc3339);
        Ok(json!({ "id": record.event.id, "body": body, "attributes": attributes, "sent": sent }))
    };
    equal("a topic's message", &theirs, &shape(&read)?)?;
    equal("a topic's message as meant", &theirs, &shape(&meant)?)
}

/// Push has no batches: each message is a request.
pub(crate) fn queue_messages() -> Result<(), String> {
    let Some(oracle) = Oracle::start("event")? else { return Ok(()) };
    let written = requests("call-1", "order-placed", neutral::batch()).map_err(|e| e.to_string())?;
    let messages = neutral::messages();
    if written.len() != messages.len() {
        return Err(format!("{} requests came of {} messages", written.len(), messages.len()));
    }
    for (request, meant) in written.iter().zip(&messages) {
        let theirs = their_message(&oracle.ask_host("/projects/p/topics/order-placed", request)?)?;
        let Incoming::Queue(batch) = delivery(request.headers(), request.body())?.incoming else {
            return Err("we read no message".to_owned());
        };
        let [ours] = &batch.messages[..] else { return Err(format!("we read {batch:?}")) };
        equal("a message", &theirs, &message_shape(ours)?)?;
        equal("a message as meant", &theirs, &message_shape(meant)?)?;
        if ours.attempt != meant.attempt {
            return Err(format!("we read attempt {:?} of {:?}", ours.attempt, meant.attempt));
        }
    }
    Ok(())
}

/// Firestore's events are protobuf: the framework hands the bytes on, Google's own types read them.
pub(crate) fn changes() -> Result<(), String> {
    let Some(oracle) = Oracle::start("event")? else { return Ok(()) };
    let programs = match tools::python("google-events", "0.14.0", &["googleapis-common-protos==1.76.0"]) {
        Ok(programs) => programs,
        Err(why) => return tools::skip(&why),
    };
    for (kind, old, new) in neutral::changes() {
        let meant = neutral::change(kind, old.clone(), new.clone());
        let request = written(&meant)?;
        let (theirs, ours) = both(&oracle, &meant)?;
        let data = base64_encode(request.body());
        same("functions-framework", &theirs, "/data", &json!({ "base64": data }))?;
        let read = tools::script(&programs, FIRESTORE, &json!([data]))?;
        let name = "projects/xcloud-fixture/databases/(default)/documents/ledger/r-1";
        let document = |fields: &Option<Value>| {
            let document = |fields| json!({ "name": name, "fields": fields, "updated": neutral::WHEN });
            fields.as_ref().map_or(Value::Null, document)
        };
        same("google-events", &read, "/0/old", &document(&old))?;
        same("google-events", &read, "/0/new", &document(&new))?;
        let mask = if kind == ChangeKind::Updated { json!(["note"]) } else { json!([]) };
        same("google-events", &read, "/0/mask", &mask)?;
        means("protobuf", &ours, &meant)?;
        // The same event as Google's library writes it in JSON.
        let mut headers = request.headers().clone();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        let json = Bytes::from(read[0]["json"].to_string());
        means("JSON", &record(&headers, &json)?, &meant)?;
    }
    Ok(())
}

fn means(form: &str, read: &Record, meant: &Record) -> Result<(), String> {
    let shape = |payload: &Payload| match payload {
        Payload::Change { kind, key, old, new } => {
            let image = |json: &Option<Bytes>| json.as_deref().map(serde_json::from_slice::<Value>);
            let images = [image(old).transpose(), image(new).transpose()];
            format!("{kind:?} {key} {images:?}")
        }
        other => format!("{other:?}"),
    };
    let (read, meant) = (shape(&read.payload), shape(&meant.payload));
    if read == meant { Ok(()) } else { Err(format!("in {form} we read {read}, meant was {meant}")) }
}

pub(crate) fn events() -> Result<(), String> {
    let Some(oracle) = Oracle::start("event")? else { return Ok(()) };
    let meant = neutral::application();
    let (theirs, _) = both(&oracle, &meant)?;
    equal("the application's event", &theirs["attributes"], &attributes(&meant.event))?;
    let data: Value = serde_json::from_slice(&meant.event.data).map_err(|e| e.to_string())?;
    same("functions-framework", &theirs, "/data", &data)
}

/// A fixture, and the attributes in which the framework leaves Google's own mapping, with what it says instead.
type Legacy = (&'static str, &'static [(&'static str, &'static str)]);

/// Events from before CloudEvents, of the types that the framework knows: it makes CloudEvents of them, as
/// <https://github.com/GoogleCloudPlatform/functions-framework-conformance/blob/main/docs/mapping.md> says, mostly.
const LEGACY: &[Legacy] = &[
    ("change/legacy", &[]),
    // The mapping: "not including the generation".
    ("object/legacy", &[("subject", "objects/folder/MyFile#1588778055917163")]),
    ("topic/legacy", &[]),
    // The mapping: `//firebaseanalytics.googleapis.com/projects/{project-id}/apps/{app-id}`.
    ("event/legacy-firebase-analytics", &[("source", "//firebase.googleapis.com/projects/my-project-id")]),
    ("event/legacy-firebase-auth", &[]),
    ("event/legacy-firebase-database", &[]),
];

pub(crate) fn legacy_events() -> Result<(), String> {
    let Some(oracle) = Oracle::start("event")? else { return Ok(()) };
    let all: Vec<_> = LEGACY.iter().filter_map(|case| legacy_event(&oracle, case).err()).collect();
    if all.is_empty() { Ok(()) } else { Err(all.join("\n")) }
}

fn legacy_event(oracle: &Oracle, (name, leaves): &Legacy) -> Result<(), String> {
    let path = root().join("providers/gcp/fixtures/wire").join(name).join("event.json");
    let text = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let fixture: Value = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
    let body = Bytes::from(fixture["body"].to_string());
    let mut theirs = oracle.ask("/", &[("content-type", "application/json")], &body)?;
    let event = legacy::event(&body)?.ok_or_else(|| format!("{name}: not read as a legacy event"))?;
    let mut ours = attributes(&event);
    let data: Value = serde_json::from_slice(&event.data).map_err(|e| e.to_string())?;
    equal(name, &theirs["data"], &data)?;
    let Some(theirs) = theirs["attributes"].as_object_mut() else { return Err(format!("{name}: {theirs}")) };
    theirs.remove("specversion");
    for (attribute, instead) in *leaves {
        equal(name, &theirs.remove(*attribute).unwrap_or_default(), &json!(instead))?;
        ours.as_object_mut().map(|fields| fields.remove(*attribute));
    }
    equal(name, &json!(theirs), &ours)
}
