//! A writer of `google.events.cloud.firestore.v1.DocumentEventData` as protobuf, with the types that Firestore keeps
//! for JSON (field numbers: googleapis/google-cloudevents `proto/google/events/cloud/firestore/v1/data.proto`).

use serde_json::Value;

/// Adds a varint.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn tag(out: &mut Vec<u8>, field: u32, wire: u32) {
    varint(out, u64::from(field << 3 | wire));
}

/// Adds a field of bytes: a text or a message.
fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    tag(out, field, 2);
    varint(out, u64::try_from(value.len()).unwrap_or(0));
    out.extend_from_slice(value);
}

/// The event's data. Images that are no object become their field `value`.
pub(super) fn document_event(name: &str, time: u64, old: Option<&Value>, new: Option<&Value>) -> Vec<u8> {
    let mut out = Vec::new();
    for (field, image) in [(1, new), (2, old)] {
        if let Some(image) = image {
            bytes(&mut out, field, &document(name, time, image));
        }
    }
    if let (Some(Value::Object(old)), Some(Value::Object(new))) = (old, new) {
        let mut mask = Vec::new();
        for path in new.iter().filter(|(name, value)| old.get(*name) != Some(value)).map(|(name, _)| name) {
            bytes(&mut mask, 1, path.as_bytes());
        }
        bytes(&mut out, 3, &mask);
    }
    out
}

fn document(name: &str, time: u64, image: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, 1, name.as_bytes());
    match image {
        Value::Object(fields) => fields.iter().for_each(|(name, field)| entry(&mut out, 2, name, field)),
        other => entry(&mut out, 2, "value", other),
    }
    let mut timestamp = Vec::new();
    tag(&mut timestamp, 1, 0);
    varint(&mut timestamp, time);
    for field in [3, 4] {
        bytes(&mut out, field, &timestamp);
    }
    out
}

/// An entry of a `map<string, Value>`.
fn entry(out: &mut Vec<u8>, field: u32, name: &str, image: &Value) {
    let mut pair = Vec::new();
    bytes(&mut pair, 1, name.as_bytes());
    bytes(&mut pair, 2, &value(image));
    bytes(out, field, &pair);
}

fn value(image: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match image {
        Value::Null => out.extend([11 << 3, 0]),
        Value::Bool(yes) => out.extend([1 << 3, u8::from(*yes)]),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => {
                tag(&mut out, 2, 0);
                varint(&mut out, integer.cast_unsigned());
            }
            (None, double) => {
                tag(&mut out, 3, 1);
                out.extend(double.unwrap_or_default().to_le_bytes());
            }
        },
        Value::String(text) => bytes(&mut out, 17, text.as_bytes()),
        Value::Array(values) => {
            let mut list = Vec::new();
            values.iter().for_each(|element| bytes(&mut list, 1, &value(element)));
            bytes(&mut out, 9, &list);
        }
        Value::Object(fields) => {
            let mut map = Vec::new();
            fields.iter().for_each(|(name, field)| entry(&mut map, 1, name, field));
            bytes(&mut out, 6, &map);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::firestore::images;
    use serde_json::json;
    use xcloud_core::text::base64_encode;

    /// What PyPI google-events 0.14.0 (proto-plus) writes for the same document.
    #[test]
    fn the_bytes_are_those_of_googles_own_library() {
        let name = "projects/p/databases/(default)/documents/ledger/r-1";
        let new = json!({ "a": [1, "é"], "b": { "c": true }, "d": -1.5, "n": null, "q": -2 });
        let written = document_event(name, 1_795_464_000, None, Some(&new));
        assert_eq!(base64_encode(&written), GOLDEN);
    }

    const GOLDEN: &str = "CpYBCjNwcm9qZWN0cy9wL2RhdGFiYXNlcy8oZGVmYXVsdCkvZG9jdW1lbnRzL2xlZGdlci9yLTESEgoBYRINSgsKAhABCgWKAQLDqRIQCgFiEgsyCQoHCgFjEgIIARIOCgFkEgkZAAAAAAAA+L8SBwoBbhICWAASEAoBcRILEP7//////////wEaBgjAtpLYBiIGCMC2ktgG";

    #[test]
    fn what_is_written_is_read_again() {
        let (old, new) = (json!({ "n": 1, "same": "x" }), json!({ "n": [{}, []], "same": "x" }));
        let read = images(&document_event("d/c/i", 1, Some(&old), Some(&new)), Some("application/protobuf"));
        let read = read.unwrap();
        assert_eq!((read.old.map(Value::Object), read.new.map(Value::Object)), (Some(old), Some(new)));
        assert_eq!(read.name.as_deref(), Some("d/c/i"));
        let read = images(&document_event("d/c/i", 1, None, Some(&json!(7))), None).unwrap();
        assert_eq!(read.new.map(Value::Object), Some(json!({ "value": 7 })));
    }
}
