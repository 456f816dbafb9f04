//! Firestore: `google.events.cloud.firestore.v1.DocumentEventData`, as protobuf (what Eventarc sends) and as JSON, to
//! plain JSON images (<https://github.com/googleapis/google-cloudevents/blob/main/proto/google/events/cloud/firestore/v1/data.proto>).

mod binary;
mod json;

use bytes::Bytes;
use serde_json::{Map, Number, Value};
use xcloud_core::event::{ChangeKind, CloudEvent, Payload, Record};

use crate::binding::FIRESTORE_TYPE;

/// How deep maps and lists may nest. Firestore stops at 20; what reads the image later stops at 128.
const MAX_DEPTH: usize = 100;

/// The documents of one event.
#[derive(Debug, Default, PartialEq)]
pub struct Images {
    /// The document's full name, from whichever image has it.
    pub name: Option<String>,
    /// Its fields before, plain.
    pub old: Option<Map<String, Value>>,
    /// Its fields after, plain.
    pub new: Option<Map<String, Value>>,
}

/// One image: its name and fields. A document always has a name, so without both it is not there.
type Document = (Option<String>, Map<String, Value>);

impl Images {
    fn of(old: Option<Document>, new: Option<Document>) -> Self {
        let there =
            |image: Option<Document>| image.filter(|(name, fields)| name.is_some() || !fields.is_empty());
        let (old_name, old) = there(old).unzip();
        let (new_name, new) = there(new).unzip();
        Self { name: new_name.flatten().or(old_name.flatten()), old, new }
    }
}

/// Reads the data of an event, in the format that its media type says, else by its first byte: no protobuf message
/// begins as JSON does.
///
/// # Errors
/// Where it is not of the documented shape.
pub fn images(data: &[u8], media: Option<&str>) -> Result<Images, String> {
    let media = media.unwrap_or("");
    let json = media.contains("json") || (!media.contains("protobuf") && data.first() == Some(&b'{'));
    if json { json::images(data) } else { binary::images(data) }
}

/// The word for the kind in an event's type, which may end in `.withAuthContext`.
fn word(ty: &str) -> Option<&str> {
    ty.strip_prefix(FIRESTORE_TYPE).map(|rest| rest.strip_suffix(".withAuthContext").unwrap_or(rest))
}

/// Whether a type is one of a document's.
pub(super) fn is_change(ty: &str) -> bool {
    matches!(word(ty), Some("created" | "updated" | "deleted" | "written"))
}

/// The change of a document.
pub(super) fn record(event: CloudEvent) -> Result<Record, String> {
    let Images { name, old, new } = images(&event.data, event.datacontenttype.as_deref())
        .map_err(|why| format!("its data is not a DocumentEventData: {why}"))?;
    let kind = match (word(&event.ty), old.is_some(), new.is_some()) {
        (Some("created"), ..) | (Some("written"), false, true) => ChangeKind::Created,
        (Some("deleted"), ..) | (Some("written"), true, false) => ChangeKind::Deleted,
        (Some("written"), false, false) => {
            return Err("it has neither the old nor the new document".to_owned());
        }
        _ => ChangeKind::Updated,
    };
    let path = event.subject.as_deref().and_then(|subject| subject.strip_prefix("documents/"));
    let path =
        path.or_else(|| event.extension("document").map(|d| d.strip_prefix("documents/").unwrap_or(d)));
    let path = path.or_else(|| name.as_deref()?.split_once("/documents/").map(|(_, path)| path));
    let path = path.ok_or("neither its subject nor its data names a document")?;
    let (collection, key) = path
        .split_once('/')
        .filter(|(collection, key)| !collection.is_empty() && !key.is_empty())
        .ok_or_else(|| format!("`{path}` is not the path of a document, COLLECTION/ID"))?;
    let (collection, key) = (collection.to_owned(), key.to_owned());
    let [old, new] =
        [old, new].map(|image| image.map(|fields| Bytes::from(Value::Object(fields).to_string())));
    Ok(Record::new(event, Payload::Change { kind, key, old, new }, collection))
}

/// JSON has no word for these; protobuf's JSON mapping writes them as texts.
fn double(value: f64) -> Value {
    match Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => "NaN".into(),
        None if value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

fn deeper(depth: usize) -> Result<usize, String> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(format!("it nests deeper than {MAX_DEPTH}")) }
}

#[cfg(test)]
mod tests;
