//! Wire to event: the JSON envelope of a queue trigger.
//!
//! The rules are those of azure-functions-host@89dc438 `ScriptInvocationContextExtensions.cs`: strings are serialised to
//! JSON strings once more, scalars of `Metadata` may be numbers or strings, and names differ in case between triggers.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};
use xcloud_core::event::{Batch, RawMessage};
use xcloud_core::text::parse_rfc3339;
use xcloud_core::{Error, ErrorKind, Result};

/// The envelope of every trigger but proxied HTTP.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Data", alias = "data", default)]
    data: Map<String, Value>,
    #[serde(rename = "Metadata", alias = "metadata", default)]
    metadata: Map<String, Value>,
}

/// The messages of a queue trigger's envelope: storage queue or Service Bus, one or many.
///
/// # Errors
/// [`ErrorKind::BadEvent`] when it is not an envelope with one trigger value.
pub fn queue(body: &[u8]) -> Result<Batch> {
    let envelope: Envelope =
        serde_json::from_slice(body).map_err(|e| bad(format!("not an invocation envelope: {e}")))?;
    let Envelope { data, metadata } = envelope;
    let mut values = data.into_iter();
    let (Some((_, value)), None) = (values.next(), values.next()) else {
        return Err(bad("the envelope's `Data` does not hold one trigger value"));
    };
    match get(&metadata, "MessageIdArray") {
        Some(ids) => many(value, &structured(ids.clone()), &metadata),
        None => Ok(Batch { messages: vec![message(text(value), &metadata)] }),
    }
}

fn many(value: Value, ids: &Value, metadata: &Map<String, Value>) -> Result<Batch> {
    let Value::Array(values) = structured(value) else {
        return Err(bad("`MessageIdArray` came with a value that is not an array"));
    };
    let counts = get(metadata, "DeliveryCountArray").map(|v| structured(v.clone()));
    let at = |array: &Value, i: usize| array.get(i).and_then(scalar);
    let messages = values.into_iter().enumerate().map(|(i, value)| RawMessage {
        id: at(ids, i).unwrap_or_default(),
        body: text(value),
        attempt: counts.as_ref().and_then(|c| at(c, i)).and_then(|c| c.parse().ok()),
        ..RawMessage::default()
    });
    Ok(Batch { messages: messages.collect() })
}

fn message(body: Bytes, metadata: &Map<String, Value>) -> RawMessage {
    let read = |names: [&str; 2]| names.iter().find_map(|n| get(metadata, n)).and_then(scalar);
    RawMessage {
        id: read(["Id", "MessageId"]).unwrap_or_default(),
        body,
        attempt: read(["DequeueCount", "DeliveryCount"]).and_then(|c| c.parse().ok()),
        sent: read(["InsertionTime", "EnqueuedTimeUtc"]).as_deref().and_then(parse_rfc3339),
        attributes: properties(metadata),
    }
}

/// The sender's properties of a Service Bus message.
fn properties(metadata: &Map<String, Value>) -> Vec<(String, String)> {
    let bag = ["ApplicationProperties", "UserProperties"].iter().find_map(|n| get(metadata, n));
    match bag.map(|b| structured(b.clone())) {
        Some(Value::Object(bag)) => bag.iter().filter_map(|(k, v)| Some((k.clone(), scalar(v)?))).collect(),
        _ => Vec::new(),
    }
}

/// Which delivery and since when, for the call's context.
pub fn attempt(batch: &Batch) -> Option<u32> {
    batch.messages.first().and_then(|m| m.attempt)
}

fn get<'a>(metadata: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    metadata.get(name).or_else(|| metadata.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v))
}

/// The text of a trigger value: a string serialised once more is unwrapped once, so that a message which is itself a
/// JSON string stays one; an object is its JSON text.
fn text(value: Value) -> Bytes {
    match value {
        Value::String(text) => match serde_json::from_str::<Value>(&text) {
            Ok(Value::String(inner)) => inner.into(),
            _ => text.into(),
        },
        Value::Null => Bytes::new(),
        other => other.to_string().into(),
    }
}

/// How often a structured value may be wrapped into strings: Cosmos comes twice, one more is for the unknown.
const DEPTH: usize = 3;

/// A value that is an object or an array, perhaps wrapped into strings.
fn structured(mut value: Value) -> Value {
    for _ in 0..DEPTH {
        let Value::String(text) = &value else { break };
        match serde_json::from_str(text) {
            Ok(inner) => value = inner,
            Err(_) => break,
        }
    }
    value
}

/// A scalar as text, unwrapped from a JSON string if it is wrapped.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(Value::String(inner)) => Some(inner),
            _ => Some(text.clone()),
        },
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadEvent, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_unwrapped_once_and_an_object_kept() {
        for (value, expected) in [
            (r#""\"{\\\"a\\\":1}\"""#, r#"{"a":1}"#),
            (r#""{\"a\":1}""#, r#"{"a":1}"#),
            (r#"{"a":1}"#, r#"{"a":1}"#),
            (r#""\"stringTest\"""#, "stringTest"),
            (r#""\"\\\"a JSON string\\\"\"""#, r#""a JSON string""#),
            (r#""4""#, "4"),
            (r#""dGVzdA==""#, "dGVzdA=="),
        ] {
            let body = format!(r#"{{"Data":{{"event":{value}}},"Metadata":{{"Id":"7"}}}}"#);
            let batch = queue(body.as_bytes()).unwrap();
            assert_eq!(batch.messages[0].body, expected, "{value}");
        }
    }

    #[test]
    fn metadata_is_read_whatever_its_case_and_wrapping() {
        for metadata in [
            r#"{"Id":"m-1","DequeueCount":3,"InsertionTime":"2026-11-23T00:00:00+00:00"}"#,
            r#"{"id":"\"m-1\"","dequeueCount":"3","insertionTime":"\"2026-11-23T00:00:00+00:00\""}"#,
            r#"{"MessageId":"m-1","DeliveryCount":"3","EnqueuedTimeUtc":"2026-11-23T00:00:00Z"}"#,
        ] {
            let batch = queue(format!(r#"{{"Data":{{"m":"x"}},"Metadata":{metadata}}}"#).as_bytes()).unwrap();
            let message = &batch.messages[0];
            assert_eq!((message.id.as_str(), message.attempt), ("m-1", Some(3)), "{metadata}");
            assert!(message.sent.is_some(), "{metadata}");
        }
    }

    #[test]
    fn many_messages_come_as_arrays_of_arrays() {
        let body = r#"{"Data":{"m":"\"[{\\\"a\\\":1},\\\"text\\\"]\""},"Metadata":{"MessageIdArray":"[\"1\",\"2\"]","DeliveryCountArray":[1,2]}}"#;
        let batch = queue(body.as_bytes()).unwrap();
        let seen: Vec<_> = batch.messages.iter().map(|m| (m.id.as_str(), &m.body[..], m.attempt)).collect();
        assert_eq!(seen, [("1", &br#"{"a":1}"#[..], Some(1)), ("2", &b"text"[..], Some(2))]);
    }

    #[test]
    fn what_is_not_an_envelope_is_refused() {
        for body in
            ["", "[]", "{}", r#"{"Data":{}}"#, r#"{"Data":{"a":"1","b":"2"}}"#, "nul", r#"{"Data":[]}"#]
        {
            assert!(queue(body.as_bytes()).is_err(), "{body}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_it_panic(body: Vec<u8>, text in "\\PC*") {
            drop(queue(&body));
            let value = Value::from(text).to_string();
            drop(queue(format!(r#"{{"Data":{{"m":{value}}},"Metadata":{{"MessageIdArray":{value}}}}}"#).as_bytes()));
        }
    }
}
