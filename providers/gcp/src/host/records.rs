//! Neutral events as Google's services send them: Eventarc's CloudEvents in binary mode
//! (<https://cloud.google.com/eventarc/docs/cloudevents>), Pub/Sub push, Cloud Scheduler's requests.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};
use xcloud_core::Result;
use xcloud_core::event::{ChangeKind, CloudEvent, ObjectAction, Payload, RawMessage, Record};
use xcloud_core::text::{parse_rfc3339, percent_encode, rfc3339};

use super::{PUSH_AGENT, protobuf, push};
use crate::binding::{
    FIRESTORE_TYPE, SCHEDULER_HEADER, SCHEDULER_JOB_HEADER, SCHEDULER_TIME_HEADER, STORAGE_DELETED,
    STORAGE_FINALIZED,
};

const PROJECT: &str = "xcloud-fixture";

/// Headers and body of a POST.
type Posted = (Vec<(String, String)>, Bytes);

/// The request of one event.
pub(super) fn request(record: &Record) -> Result<Posted> {
    Ok(match &record.payload {
        Payload::Object { .. } => binary(&storage(record)),
        Payload::Tick { name, scheduled } => scheduler(record, name.as_deref(), *scheduled),
        Payload::Change { .. } => binary(&firestore(record)),
        Payload::Topic { body, attributes } => topic(record, body, attributes),
        _ => binary(&record.event),
    })
}

fn time(record: &Record) -> String {
    record.event.time.clone().unwrap_or_else(|| rfc3339(SystemTime::now()))
}

/// A CloudEvent with its attributes in headers. Values are percent-encoded as the HTTP binding says (§3.1.3.2).
fn binary(event: &CloudEvent) -> Posted {
    let mut headers = vec![("user-agent".to_owned(), PUSH_AGENT.to_owned())];
    let mut put = |name: &str, value: &str| headers.push((format!("ce-{name}"), header_value(value)));
    put("specversion", "1.0");
    put("id", &event.id);
    put("source", &event.source);
    put("type", &event.ty);
    for (name, value) in [("subject", &event.subject), ("time", &event.time)] {
        if let Some(value) = value {
            put(name, value);
        }
    }
    for (name, value) in &event.extensions {
        put(name, value);
    }
    if let Some(media) = &event.datacontenttype {
        headers.push(("content-type".to_owned(), media.clone()));
    }
    (headers, event.data.clone())
}

fn header_value(text: &str) -> String {
    let plain = |c: char| c.is_ascii_graphic() && c != '"' && c != '%';
    text.chars().map(|c| if plain(c) { c.to_string() } else { percent_encode(&c.to_string()) }).collect()
}

/// `StorageObjectData` as the JSON API writes an object; its 64-bit integers are texts.
fn storage(record: &Record) -> CloudEvent {
    let Payload::Object { key, action, size, etag, version, .. } = &record.payload else {
        return CloudEvent::default();
    };
    let (bucket, time) = (&record.source, time(record));
    let generation = version.clone().unwrap_or_else(|| "1588778055917163".to_owned());
    let path = percent_encode(key);
    let data = json!({
        "kind": "storage#object", "id": format!("{bucket}/{key}/{generation}"), "bucket": bucket, "name": key,
        "selfLink": format!("https://www.googleapis.com/storage/v1/b/{bucket}/o/{path}"),
        "mediaLink": format!("https://storage.googleapis.com/download/storage/v1/b/{bucket}/o/{path}?generation={generation}&alt=media"),
        "generation": generation, "metageneration": "1", "contentType": "application/octet-stream",
        "timeCreated": time, "updated": time, "timeStorageClassUpdated": time, "storageClass": "STANDARD",
        "size": size.unwrap_or(0).to_string(), "md5Hash": "xrX0h3SqCoeoKidv+GvlBw==", "crc32c": "rTVTeQ==",
        "etag": etag.as_deref().unwrap_or("COu8mb3Dn+kCEAE=")
    });
    let ty = if *action == ObjectAction::Deleted { STORAGE_DELETED } else { STORAGE_FINALIZED };
    CloudEvent {
        id: record.event.id.clone(),
        source: format!("//storage.googleapis.com/projects/_/buckets/{bucket}"),
        ty: ty.to_owned(),
        subject: Some(format!("objects/{key}")),
        time: Some(time),
        datacontenttype: Some("application/json".to_owned()),
        extensions: vec![("bucket".to_owned(), bucket.clone())],
        data: data.to_string().into(),
    }
}

/// <https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs#httptarget>, of a job without body.
fn scheduler(record: &Record, name: Option<&str>, scheduled: SystemTime) -> Posted {
    let job = name.unwrap_or(&record.source);
    // Jobs are due on whole minutes; the time is written with seconds.
    let secs = scheduled.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let time = rfc3339(UNIX_EPOCH + std::time::Duration::from_secs(secs)).replace(".000Z", "Z");
    let headers = [
        ("user-agent", "Google-Cloud-Scheduler"),
        (SCHEDULER_HEADER, "true"),
        (SCHEDULER_JOB_HEADER, job),
        (SCHEDULER_TIME_HEADER, &time),
        ("content-type", "application/octet-stream"),
    ];
    (headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(), Bytes::new())
}

/// A document event of Eventarc. One trigger takes one type, so a table is watched by `written`; an image that the
/// neutral event does not have leaves its own type to say what happened.
fn firestore(record: &Record) -> CloudEvent {
    let Payload::Change { kind, key, old, new } = &record.payload else { return CloudEvent::default() };
    let image =
        |json: &Option<Bytes>| json.as_deref().and_then(|json| serde_json::from_slice::<Value>(json).ok());
    let (old, new) = (image(old), image(new));
    let word = match (kind, &old, &new) {
        (ChangeKind::Created, None, Some(_))
        | (ChangeKind::Updated, Some(_), Some(_))
        | (ChangeKind::Deleted, Some(_), None) => "written",
        (ChangeKind::Created, ..) => "created",
        (ChangeKind::Deleted, ..) => "deleted",
        _ => "updated",
    };
    let (database, path) =
        (format!("projects/{PROJECT}/databases/(default)"), format!("{}/{key}", record.source));
    let time = time(record);
    let seconds = parse_rfc3339(&time).and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let seconds = seconds.unwrap_or_default().as_secs();
    let name = format!("{database}/documents/{path}");
    let extensions = [
        ("project", PROJECT),
        ("location", "europe-west1"),
        ("database", "(default)"),
        ("namespace", "(default)"),
        ("document", &path),
    ];
    CloudEvent {
        id: record.event.id.clone(),
        source: format!("//firestore.googleapis.com/{database}"),
        ty: format!("{FIRESTORE_TYPE}{word}"),
        subject: Some(format!("documents/{path}")),
        time: Some(time),
        datacontenttype: Some("application/protobuf".to_owned()),
        extensions: extensions.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        data: protobuf::document_event(&name, seconds, old.as_ref(), new.as_ref()).into(),
    }
}

/// A push subscription of the topic.
fn topic(record: &Record, body: &Bytes, attributes: &[(String, String)]) -> Posted {
    let message = RawMessage {
        id: record.event.id.clone(),
        body: body.clone(),
        attempt: record.attempt,
        sent: record.event.time.as_deref().and_then(parse_rfc3339),
        attributes: attributes.to_vec(),
    };
    let headers = [("content-type", "application/json"), ("user-agent", PUSH_AGENT)];
    let body = push(&message, &record.source).to_string();
    (headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(), body.into())
}
