//! A `cosmosDBTrigger`'s envelope: documents as they are now, in the order of their partition
//! (<https://learn.microsoft.com/azure/azure-functions/functions-bindings-cosmosdb-v2-trigger>).
//!
//! The change feed does not tell new documents from old ones, has no deleted ones, and gives no image from before: every
//! change is [`ChangeKind::Updated`] with a new image alone.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Map, Value};
use xcloud_core::Result;
use xcloud_core::event::{ChangeKind, CloudEvent, Payload, Record};
use xcloud_core::text::rfc3339;

use super::envelope::{Envelope, bad, scalar, structured};
use crate::binding::Binding;

/// What Cosmos DB adds to every document: not part of the row.
const SYSTEM: [&str; 6] = ["_attachments", "_etag", "_lsn", "_rid", "_self", "_ts"];

pub(super) fn read(envelope: Envelope, binding: &Binding) -> Result<Vec<Record>> {
    let Value::Array(documents) = structured(envelope.value) else {
        return Err(bad("not a Cosmos DB trigger's envelope: an array of documents is wanted"));
    };
    let records = documents.into_iter().enumerate().map(|(at, document)| {
        let Value::Object(document) = document else {
            return Err(bad(format!("document {at} is not a JSON object")));
        };
        record(document, binding).map_err(|e| bad(format!("document {at}: {}", e.message())))
    });
    records.collect()
}

fn record(document: Map<String, Value>, binding: &Binding) -> Result<Record> {
    let text = |name: &str| document.get(name).and_then(scalar).filter(|text| !text.is_empty());
    let Some(Value::String(key)) = document.get("id").cloned() else {
        return Err(bad("`id` is not a text"));
    };
    let position = text("_lsn");
    // Each writing of a document has another sequence number and another etag.
    let writing = position.clone().or_else(|| text("_etag"));
    let writing = writing.ok_or_else(|| bad("it has neither `_lsn` nor `_etag`"))?;
    let event = CloudEvent {
        id: format!("{}.{writing}", text("_rid").as_deref().unwrap_or(&key)),
        source: format!("azure:cosmosdb:{}", binding.source()),
        ty: "com.microsoft.cosmosdb.document.changed".to_owned(),
        subject: Some(key.clone()),
        time: document.get("_ts").and_then(Value::as_u64).and_then(seconds),
        datacontenttype: Some("application/json".to_owned()),
        data: Value::from(document.clone()).to_string().into(),
        ..CloudEvent::default()
    };
    let mut row = document;
    row.retain(|name, _| !SYSTEM.contains(&name.as_str()));
    let new = Some(Bytes::from(Value::from(row).to_string()));
    let payload = Payload::Change { kind: ChangeKind::Updated, key, old: None, new };
    let mut record = Record::new(event, payload, binding.source());
    record.position = position;
    Ok(record)
}

fn seconds(seconds: u64) -> Option<String> {
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
    // Beyond the year 9999 it is none that can be written.
    (seconds < 253_402_300_800).then(|| rfc3339(time))
}
