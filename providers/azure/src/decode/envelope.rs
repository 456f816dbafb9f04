//! The JSON envelope of every trigger but proxied HTTP: one value in `Data`, what the extension knows of it in `Metadata`.
//!
//! The rules are those of azure-functions-host@89dc438 `Workers/MessageExtensions/ScriptInvocationContextExtensions.cs`:
//! - bytes are base64, objects are JSON objects, everything else is serialised to JSON once more, so that a text comes as
//!   a JSON string within a JSON string and an array as a string;
//! - metadata whose name ends in `trigger` is left out, `BlobTrigger` with the blob's path among it;
//! - times lose their fraction, and those of one message their zone: they are UTC.

use std::borrow::Cow;
use std::time::SystemTime;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use xcloud_core::text::{base64_decode, parse_json, parse_rfc3339};
use xcloud_core::{Error, ErrorKind, Result};

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "Data", alias = "data", borrow)]
    data: Option<&'a RawValue>,
    #[serde(rename = "Metadata", alias = "metadata", borrow)]
    metadata: Option<&'a RawValue>,
}

fn members(name: &str, value: Option<&RawValue>) -> Result<Map<String, Value>> {
    match value.map(|value| parse_json(value.get().as_bytes())) {
        None => Ok(Map::new()),
        Some(Ok(Value::Object(members))) => Ok(members),
        Some(_) => Err(bad(format!("not an invocation envelope: `{name}` is not an object"))),
    }
}

/// An envelope with one trigger value.
pub(super) struct Envelope {
    pub(super) value: Value,
    pub(super) metadata: Metadata,
}

impl Envelope {
    pub(super) fn read(body: &[u8]) -> Result<Self> {
        let Wire { data, metadata } =
            serde_json::from_slice(body).map_err(|e| bad(format!("not an invocation envelope: {e}")))?;
        let (data, metadata) = (members("Data", data)?, members("Metadata", metadata)?);
        let mut values = data.into_iter();
        let (Some((_, value)), None) = (values.next(), values.next()) else {
            return Err(bad("the envelope's `Data` does not hold one trigger value"));
        };
        Ok(Self { value, metadata: Metadata(metadata) })
    }
}

/// What the host says beside the value. Names differ in case between triggers, scalars in their wrapping.
pub(super) struct Metadata(Map<String, Value>);

impl Metadata {
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        member(&self.0, name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !value.is_null())
    }

    /// A scalar that is not empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(scalar).filter(|text| !text.is_empty())
    }

    pub(super) fn time(&self, name: &str) -> Option<SystemTime> {
        self.text(name).as_deref().and_then(time)
    }

    /// An object or an array, its wrapping taken off.
    pub(super) fn structured(&self, name: &str) -> Option<Value> {
        self.get(name).map(|value| structured(value.clone()))
    }

    /// A list with one entry for each of `count` values.
    pub(super) fn list(&self, name: &str, count: usize) -> Result<Option<Vec<Value>>> {
        match self.structured(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(list)) if list.len() == count => Ok(Some(list)),
            Some(Value::Array(list)) => {
                Err(bad(format!("`Metadata.{name}` has {} entries for {count} values", list.len())))
            }
            Some(_) => Err(bad(format!("`Metadata.{name}` is not an array"))),
        }
    }

    /// When the host wrote the envelope.
    pub(super) fn now(&self) -> Option<String> {
        self.structured("sys").and_then(|sys| sys.as_object().and_then(|sys| scalar(member(sys, "UtcNow")?)))
    }

    /// Which delivery this is, where the function has a retry policy: the first comes without `RetryContext` or with 0.
    pub(super) fn attempt(&self) -> Option<u32> {
        let context = self.structured("RetryContext")?;
        let count = scalar(member(context.as_object()?, "RetryCount")?)?.parse::<u32>().ok()?;
        count.checked_add(1)
    }
}

pub(super) fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| object.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v))
}

/// The bytes of a trigger value. A text was serialised once more and is unwrapped once, so that a message which is
/// itself a JSON string stays one; bytes (`binary`) came as base64, which never begins with a quote; an object is its
/// JSON text.
pub(super) fn body(value: Value, binary: bool) -> Bytes {
    let Value::String(text) = value else { return plain(value, binary) };
    match parse_json(text.as_bytes()) {
        Ok(Value::String(inner)) => inner.into(),
        _ => plain(Value::String(text), binary),
    }
}

/// The bytes of one of many values, whose texts were not serialised once more.
pub(super) fn plain(value: Value, binary: bool) -> Bytes {
    match value {
        Value::String(text) => match base64_decode(text.as_bytes()).filter(|_| binary) {
            Some(bytes) => bytes.into(),
            None => text.into(),
        },
        Value::Null => Bytes::new(),
        other => other.to_string().into(),
    }
}

/// How often a structured value may be wrapped into strings: Cosmos comes twice, one more is for the unknown.
const DEPTH: usize = 3;

/// A value that is an object or an array, perhaps wrapped into strings.
pub(super) fn structured(mut value: Value) -> Value {
    for _ in 0..DEPTH {
        let Value::String(text) = &value else { break };
        match parse_json(text.as_bytes()) {
            Ok(inner) => value = inner,
            Err(_) => break,
        }
    }
    value
}

/// A scalar as text, unwrapped from a JSON string if it is wrapped.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => match parse_json(text.as_bytes()) {
            Ok(Value::String(inner)) => Some(inner),
            Ok(Value::Null) => None,
            _ => Some(text.clone()),
        },
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// A time with a zone, or without one in UTC.
pub(super) fn time(text: &str) -> Option<SystemTime> {
    parse_rfc3339(&zoned(text))
}

/// The time with a zone, as CloudEvents want it.
pub(super) fn zoned(text: &str) -> Cow<'_, str> {
    let clock = text.split_once('T').map_or("", |(_, clock)| clock);
    match clock.contains(['Z', 'z', '+', '-']) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(format!("{text}Z")),
    }
}

pub(super) fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadEvent, message)
}
