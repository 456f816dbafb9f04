//! Neutral events as Azure's services and the host's extensions write them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use xcloud_core::cloudevents;
use xcloud_core::event::{ChangeKind, ObjectAction, Payload, RawMessage, Record};
use xcloud_core::text::{base64_encode, parse_rfc3339, percent_encode, rfc3339};
use xcloud_core::{Error, ErrorKind, Result};

use super::serialised;
use crate::binding::TRIGGER;

const TOPIC: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/fixture/providers/Microsoft.Storage/storageAccounts/fixture";

/// The envelope of one event for the function in this folder.
///
/// # Errors
/// [`ErrorKind::Unsupported`]: Azure sends no such event.
pub(super) fn envelope(folder: &str, record: &Record) -> Result<Value> {
    let (value, mut metadata) = match &record.payload {
        Payload::Object { .. } => event_grid(blob(record)),
        Payload::Tick { scheduled, .. } => (timer(*scheduled), Map::new()),
        Payload::Topic { .. } => service_bus(record),
        Payload::Change { kind: ChangeKind::Deleted, .. } => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the change feed of Cosmos DB has no deleted documents",
            ));
        }
        Payload::Change { .. } => (cosmos(record)?, Map::new()),
        _ => event_grid(cloudevents::to_json(&record.event)),
    };
    metadata.insert("sys".to_owned(), sys(folder));
    Ok(json!({ "Data": { TRIGGER: value }, "Metadata": metadata }))
}

/// `SystemBindingData`: what every envelope's metadata has.
pub(super) fn sys(folder: &str) -> Value {
    let guid = "f6b1c9d0-95b7-4f6a-9d7f-7d1f7b3a4c55";
    json!({ "MethodName": folder, "UtcNow": rfc3339(SystemTime::now()), "RandGuid": guid })
}

/// A .NET `DateTimeOffset` and `DateTime` after the host's `Parse(ToString())`: whole seconds, the latter without a zone.
pub(super) fn date_time_offset(time: SystemTime) -> String {
    format!("{}+00:00", date_time(time))
}

fn date_time(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let text = rfc3339(UNIX_EPOCH + Duration::from_secs(seconds));
    text.split('.').next().unwrap_or_default().to_owned()
}

/// When the event happened.
fn when(record: &Record) -> SystemTime {
    record.event.time.as_deref().and_then(parse_rfc3339).unwrap_or_else(SystemTime::now)
}

/// `EventGridTriggerAttributeBindingProvider.cs`: the event is the value, its data stands in the metadata too.
fn event_grid(event: Value) -> (Value, Map<String, Value>) {
    let data = event.get("data").filter(|data| data.is_object()).cloned();
    (event, data.map(|data| ("data".to_owned(), data)).into_iter().collect())
}

/// <https://learn.microsoft.com/azure/event-grid/event-schema-blob-storage>: in Event Grid's own schema, the default.
fn blob(record: &Record) -> Value {
    let Payload::Object { bucket, key, action, size, etag, .. } = &record.payload else { return Value::Null };
    let created = *action == ObjectAction::Created;
    let path = key.split('/').map(percent_encode).collect::<Vec<_>>().join("/");
    let mut data = json!({
        "api": if created { "PutBlob" } else { "DeleteBlob" },
        "clientRequestId": "6d79dbfb-0e37-4fc4-981f-442c9ca65760",
        "requestId": "831e1650-001e-001b-66ab-eeb76e000000",
        "contentType": "application/octet-stream", "blobType": "BlockBlob",
        "url": format!("https://fixture.blob.core.windows.net/{bucket}/{path}"),
        "sequencer": "00000000000004420000000000028963",
        "storageDiagnostics": { "batchId": "b68529f3-68cd-4744-baa4-3c0498ec19f0" }
    });
    if created {
        data["eTag"] = etag.as_deref().unwrap_or("0x8D4BCC2E4835CD0").into();
        data["contentLength"] = size.unwrap_or_default().into();
    }
    json!({
        "topic": TOPIC, "subject": format!("/blobServices/default/containers/{bucket}/blobs/{key}"),
        "eventType": if created { "Microsoft.Storage.BlobCreated" } else { "Microsoft.Storage.BlobDeleted" },
        "id": record.event.id, "eventTime": rfc3339(when(record)), "data": data, "dataVersion": "", "metadataVersion": "1"
    })
}

/// `TimerListener.cs`: the status as it was before this firing; a late one is past due.
fn timer(scheduled: SystemTime) -> Value {
    let period = Duration::from_secs(300);
    let late = SystemTime::now().duration_since(scheduled).unwrap_or_default();
    let last = date_time_offset(scheduled.checked_sub(period).unwrap_or(UNIX_EPOCH));
    json!({
        "Schedule": { "AdjustForDST": true },
        "ScheduleStatus": { "Last": last, "LastUpdated": last, "Next": date_time_offset(scheduled) },
        "IsPastDue": late >= period
    })
}

/// `ServiceBusTriggerBindingStrategy.cs`, one message of `dataType: binary`.
fn service_bus(record: &Record) -> (Value, Map<String, Value>) {
    let Payload::Topic { body, attributes } = &record.payload else { return (Value::Null, Map::new()) };
    let properties: Map<String, Value> =
        attributes.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect();
    let sent = when(record);
    let mut metadata = Map::new();
    let mut put = |name: &str, value: Value| drop(metadata.insert(name.to_owned(), value));
    put("DeliveryCount", record.attempt.unwrap_or(1).to_string().into());
    put("SequenceNumber", record.position.as_deref().unwrap_or("1").into());
    put("MessageId", serialised(&record.event.id));
    put("LockToken", serialised("8a8b0a7e-62ad-4d9b-8a5e-3f4a2a9f7a11"));
    put("EnqueuedTimeUtc", date_time(sent).into());
    put("EnqueuedTime", date_time_offset(sent).into());
    put("ExpiresAtUtc", date_time(sent + Duration::from_secs(1_209_600)).into());
    put("ApplicationProperties", Value::Object(properties.clone()));
    put("UserProperties", Value::Object(properties));
    for (names, value) in [
        (&["Subject", "Label"][..], &record.event.subject),
        (&["ContentType"][..], &record.event.datacontenttype),
    ] {
        // Metadata that is null is left out.
        for name in value.iter().flat_map(|_| names) {
            put(name, serialised(value.as_deref().unwrap_or_default()));
        }
    }
    (base64_encode(body).into(), metadata)
}

/// The documents as the extension hands them over, a text, serialised by the host once more.
fn cosmos(record: &Record) -> Result<Value> {
    let Payload::Change { key, new: Some(new), .. } = &record.payload else {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "the change feed of Cosmos DB gives documents as they are now",
        ));
    };
    let Value::Object(mut document) = serde_json::from_slice(new)? else {
        return Err(Error::bad_request("a document of Cosmos DB is a JSON object"));
    };
    let lsn: u64 = record.position.as_deref().and_then(|lsn| lsn.parse().ok()).unwrap_or(160);
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let system = [
        ("id", json!(key)),
        ("_rid", json!("HdQYAKR0jQwBAAAAAAAAAA==")),
        ("_self", json!("dbs/HdQYAA==/colls/HdQYAKR0jQw=/docs/HdQYAKR0jQwBAAAAAAAAAA==/")),
        ("_etag", json!(format!("\"{lsn:08x}-0000-0d00-0000-6926f0a80000\""))),
        ("_attachments", json!("attachments/")),
        ("_ts", json!(seconds)),
        ("_lsn", json!(lsn)),
    ];
    document.extend(system.map(|(name, value)| (name.to_owned(), value)));
    Ok(serialised(&json!([document]).to_string()))
}

/// The envelope of a storage queue's message of `dataType: binary`.
pub(super) fn queue(folder: &str, message: &RawMessage) -> Value {
    let sent = message.sent.unwrap_or_else(SystemTime::now);
    let expires = date_time_offset(sent + Duration::from_secs(604_800));
    json!({
        "Data": { TRIGGER: base64_encode(&message.body) },
        "Metadata": {
            "DequeueCount": message.attempt.unwrap_or(1).to_string(),
            "ExpirationTime": expires,
            "Id": serialised(&message.id),
            "InsertionTime": date_time_offset(sent),
            "NextVisibleTime": date_time_offset(sent + Duration::from_secs(600)),
            "PopReceipt": serialised("AgAAAAMAAAAAAAAA"),
            "sys": sys(folder)
        }
    })
}
