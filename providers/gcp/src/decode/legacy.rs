//! Events of first-generation Cloud Functions, `{context, data}` or flat, made CloudEvents by
//! <https://github.com/GoogleCloudPlatform/functions-framework-conformance/blob/main/docs/mapping.md>.

use serde_json::{Map, Value, json};
use xcloud_core::event::CloudEvent;
use xcloud_core::text::parse_json;

/// Type there, type here.
pub(super) const TYPES: &[(&str, &str)] = &[
    ("google.pubsub.topic.publish", "google.cloud.pubsub.topic.v1.messagePublished"),
    ("providers/cloud.pubsub/eventTypes/topic.publish", "google.cloud.pubsub.topic.v1.messagePublished"),
    ("google.storage.object.finalize", "google.cloud.storage.object.v1.finalized"),
    ("google.storage.object.delete", "google.cloud.storage.object.v1.deleted"),
    ("google.storage.object.archive", "google.cloud.storage.object.v1.archived"),
    ("google.storage.object.metadataUpdate", "google.cloud.storage.object.v1.metadataUpdated"),
    ("providers/cloud.firestore/eventTypes/document.write", "google.cloud.firestore.document.v1.written"),
    ("providers/cloud.firestore/eventTypes/document.create", "google.cloud.firestore.document.v1.created"),
    ("providers/cloud.firestore/eventTypes/document.update", "google.cloud.firestore.document.v1.updated"),
    ("providers/cloud.firestore/eventTypes/document.delete", "google.cloud.firestore.document.v1.deleted"),
    ("providers/firebase.auth/eventTypes/user.create", "google.firebase.auth.user.v1.created"),
    ("providers/firebase.auth/eventTypes/user.delete", "google.firebase.auth.user.v1.deleted"),
    (
        "providers/firebase.remoteConfig/remoteconfig.update",
        "google.firebase.remoteconfig.remoteConfig.v1.updated",
    ),
    ("providers/google.firebase.analytics/eventTypes/event.log", "google.firebase.analytics.log.v1.written"),
    ("providers/google.firebase.database/eventTypes/ref.create", "google.firebase.database.ref.v1.created"),
    ("providers/google.firebase.database/eventTypes/ref.write", "google.firebase.database.ref.v1.written"),
    ("providers/google.firebase.database/eventTypes/ref.update", "google.firebase.database.ref.v1.updated"),
    ("providers/google.firebase.database/eventTypes/ref.delete", "google.firebase.database.ref.v1.deleted"),
];

const PUBSUB: &str = "pubsub.googleapis.com";

/// The service of a type here, for events that do not say it.
const SERVICES: &[(&str, &str)] = &[
    ("google.cloud.pubsub.", PUBSUB),
    ("google.cloud.storage.", "storage.googleapis.com"),
    ("google.cloud.firestore.", "firestore.googleapis.com"),
    ("google.firebase.auth.", "firebaseauth.googleapis.com"),
    ("google.firebase.remoteconfig.", "firebaseremoteconfig.googleapis.com"),
    ("google.firebase.analytics.", "firebaseanalytics.googleapis.com"),
    ("google.firebase.database.", "firebasedatabase.googleapis.com"),
];

/// The CloudEvent that a body stands for, or `None` when it is no such event, or of a type that has none.
///
/// # Errors
/// What the event does not have.
pub fn event(body: &[u8]) -> Result<Option<CloudEvent>, String> {
    read(body, split)
}

/// The same, where none but messages are read: of another event id and type are right, and no more.
pub(super) fn message(body: &[u8]) -> Result<Option<CloudEvent>, String> {
    read(body, |parts| match parts.service {
        PUBSUB => published(parts),
        _ => Ok((parts.name.to_owned(), None, parts.data)),
    })
}

fn read(body: &[u8], split: Splitter) -> Result<Option<CloudEvent>, String> {
    let Ok(Value::Object(body)) = parse_json(body) else { return Ok(None) };
    let Some(ty) = context(&body, "eventType").and_then(Value::as_str) else { return Ok(None) };
    let Some((_, new)) = TYPES.iter().find(|(old, _)| *old == ty) else { return Ok(None) };
    convert(&body, new, split).map(Some).map_err(|why| format!("an event of the legacy type {ty}: {why}"))
}

/// From the context, else from the top.
fn context<'a>(body: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    body.get("context").and_then(|context| context.get(name)).or_else(|| body.get(name))
}

fn convert(body: &Map<String, Value>, ty: &str, split: Splitter) -> Result<CloudEvent, String> {
    let need = |name: &str| {
        let text = context(body, name).and_then(Value::as_str).filter(|text| !text.is_empty());
        text.ok_or_else(|| format!("`{name}` is not a text"))
    };
    let (id, time) = (need("eventId")?, need("timestamp")?);
    let (service, name) = resource(body, ty)?;
    let data = body.get("data").cloned().unwrap_or(Value::Null);
    let (resource, subject, data) = split(Parts { body, service, name, data, id, time })?;
    Ok(CloudEvent {
        id: id.to_owned(),
        source: format!("//{service}/{resource}"),
        ty: ty.to_owned(),
        subject,
        time: Some(time.to_owned()),
        datacontenttype: Some("application/json".to_owned()),
        extensions: Vec::new(),
        data: data.to_string().into(),
    })
}

/// Service and name of the resource, which is a text or an object.
fn resource<'a>(body: &'a Map<String, Value>, ty: &str) -> Result<(&'a str, &'a str), String> {
    let resource = context(body, "resource").ok_or("`resource` is missing")?;
    let of = |name: &str| resource.get(name).and_then(Value::as_str);
    let name =
        resource.as_str().or_else(|| of("name")).ok_or("`resource` is not a text and has no `name`")?;
    let known = SERVICES.iter().find(|(prefix, _)| ty.starts_with(prefix)).map_or("", |(_, service)| service);
    Ok((of("service").unwrap_or(known), name))
}

type Split = (String, Option<String>, Value);

/// What the rest is made of.
struct Parts<'a> {
    body: &'a Map<String, Value>,
    service: &'a str,
    name: &'a str,
    data: Value,
    id: &'a str,
    time: &'a str,
}

type Splitter = fn(Parts<'_>) -> Result<Split, String>;

fn published(Parts { name, mut data, id, time, .. }: Parts<'_>) -> Result<Split, String> {
    let message = data.as_object_mut().ok_or("`data` is not a message")?;
    message.insert("messageId".to_owned(), id.into());
    message.insert("publishTime".to_owned(), time.into());
    Ok((name.to_owned(), None, json!({ "message": data })))
}

/// Source, subject and data as the service's own section of the mapping says.
fn split(parts: Parts<'_>) -> Result<Split, String> {
    if parts.service == PUBSUB {
        return published(parts);
    }
    let Parts { body, service, name, mut data, .. } = parts;
    let parted = |at: &str| {
        let (source, subject) = name.split_once(at)?;
        Some((source.to_owned(), format!("{}{subject}", &at[1..])))
    };
    let expected = |shape: &str| format!("its resource is `{name}`, not {shape}");
    match service {
        "storage.googleapis.com" => {
            let (source, subject) =
                parted("/objects/").ok_or_else(|| expected("projects/_/buckets/B/objects/O"))?;
            let subject = match subject.rsplit_once('#') {
                Some((key, generation)) if generation.bytes().all(|b| b.is_ascii_digit()) => key.to_owned(),
                _ => subject,
            };
            Ok((source, Some(subject), data))
        }
        "firestore.googleapis.com" => {
            let (source, subject) =
                parted("/documents/").ok_or_else(|| expected("projects/P/databases/D/documents/PATH"))?;
            Ok((source, Some(subject), data))
        }
        "firebasedatabase.googleapis.com" => {
            let shape = || expected("projects/_/instances/I/refs/PATH");
            let (source, subject) = parted("/refs/").ok_or_else(shape)?;
            let instance = source.strip_prefix("projects/_/").ok_or_else(shape)?;
            let domain = body.get("domain").and_then(Value::as_str).ok_or("`domain` is not a text")?;
            let location = match domain {
                "firebaseio.com" => "us-central1",
                other => other.split('.').next().unwrap_or(other),
            };
            Ok((format!("projects/_/locations/{location}/{instance}"), Some(subject), data))
        }
        "firebaseanalytics.googleapis.com" => {
            let (source, subject) = parted("/events/").ok_or_else(|| expected("projects/P/events/NAME"))?;
            let app = data.pointer("/userDim/appInfo/appId").and_then(Value::as_str);
            let app = app.ok_or("`data.userDim.appInfo.appId` is not a text")?;
            Ok((format!("{source}/apps/{app}"), Some(subject), data))
        }
        "firebaseauth.googleapis.com" => {
            let subject = data.get("uid").and_then(Value::as_str).map(|uid| format!("users/{uid}"));
            if let Some(Value::Object(metadata)) = data.get_mut("metadata") {
                for (old, new) in [("createdAt", "createTime"), ("lastSignedInAt", "lastSignInTime")] {
                    if let Some(time) = metadata.remove(old) {
                        metadata.insert(new.to_owned(), time);
                    }
                }
            }
            Ok((name.to_owned(), subject, data))
        }
        _ => Ok((name.to_owned(), None, data)),
    }
}
