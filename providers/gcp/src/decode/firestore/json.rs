//! The JSON form, which legacy events carry: protobuf's JSON mapping, 64-bit integers as texts.

use serde_json::{Map, Value, json};

use super::{Document, Images, deeper, double};

/// `DocumentEventData`.
pub(super) fn images(json: &[u8]) -> Result<Images, String> {
    let Value::Object(mut data) = serde_json::from_slice(json).map_err(|e| format!("not JSON: {e}"))? else {
        return Err("it is not a JSON object".to_owned());
    };
    let mut of = |name: &str| match data.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => document(object).map(Some).map_err(|why| format!("`{name}` {why}")),
        Some(_) => Err(format!("`{name}` is not an object")),
    };
    let (old, new) = (of("oldValue")?, of("value")?);
    Ok(Images::of(old, new))
}

fn document(mut object: Map<String, Value>) -> Result<Document, String> {
    let name = match object.remove("name") {
        None => None,
        Some(Value::String(name)) => Some(name).filter(|name| !name.is_empty()),
        Some(other) => return Err(format!("has the name {other}, which is no text")),
    };
    Ok((name, fields(object.remove("fields"), 0)?))
}

/// A `map<string, Value>`; an empty one may be absent.
fn fields(map: Option<Value>, depth: usize) -> Result<Map<String, Value>, String> {
    match map {
        None => Ok(Map::new()),
        Some(Value::Object(map)) => map
            .into_iter()
            .map(|(name, json)| match value(json, depth) {
                Ok(plain) => Ok((name, plain)),
                Err(why) => Err(format!("`{name}` {why}")),
            })
            .collect(),
        Some(_) => Err("has `fields` that are no object".to_owned()),
    }
}

/// A `Value`: an object with one name, its kind.
fn value(json: Value, depth: usize) -> Result<Value, String> {
    let depth = deeper(depth)?;
    let Value::Object(object) = json else {
        return Err("is not a value, an object that names its kind".to_owned());
    };
    let mut pairs = object.into_iter();
    let (Some((kind, value)), None) = (pairs.next(), pairs.next()) else {
        return Err("does not have exactly one kind of value".to_owned());
    };
    let wrong = |value: &Value| format!("has a {kind} that is {}", short(value));
    match (kind.as_str(), value) {
        ("nullValue", _) => Ok(Value::Null),
        ("booleanValue", Value::Bool(yes)) => Ok(Value::Bool(yes)),
        ("integerValue", Value::String(text)) => {
            text.parse::<i64>().map(Value::from).map_err(|_| wrong(&Value::String(text)))
        }
        ("integerValue", Value::Number(number)) if number.is_i64() => Ok(Value::Number(number)),
        ("doubleValue", Value::Number(number)) => Ok(number.as_f64().map_or(Value::Null, double)),
        ("doubleValue", Value::String(text)) if ["NaN", "Infinity", "-Infinity"].contains(&text.as_str()) => {
            Ok(Value::String(text))
        }
        ("timestampValue" | "stringValue" | "bytesValue" | "referenceValue", Value::String(text)) => {
            Ok(Value::String(text))
        }
        ("geoPointValue", Value::Object(point)) => {
            let of = |name: &str| point.get(name).map_or(Some(0.0), Value::as_f64);
            match (of("latitude"), of("longitude")) {
                (Some(latitude), Some(longitude)) => {
                    Ok(json!({ "latitude": double(latitude), "longitude": double(longitude) }))
                }
                _ => Err(wrong(&Value::Object(point))),
            }
        }
        ("arrayValue", Value::Object(mut list)) => match list.remove("values") {
            None => Ok(Value::Array(Vec::new())),
            Some(Value::Array(values)) => {
                values.into_iter().map(|element| self::value(element, depth)).collect::<Result<_, _>>()
            }
            Some(other) => Err(wrong(&other)),
        },
        ("mapValue", Value::Object(mut map)) => Ok(Value::Object(fields(map.remove("fields"), depth)?)),
        (
            "booleanValue" | "integerValue" | "doubleValue" | "timestampValue" | "stringValue" | "bytesValue"
            | "referenceValue" | "geoPointValue" | "arrayValue" | "mapValue",
            value,
        ) => Err(wrong(&value)),
        _ => Err(format!("is of the unknown kind `{kind}`")),
    }
}

/// The beginning of a value, for a message.
fn short(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}
