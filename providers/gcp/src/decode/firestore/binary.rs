//! The protobuf form. Field numbers are those of the `.proto`.

use serde_json::{Map, Value, json};
use xcloud_core::text::base64_encode;

use super::{Document, Images, deeper, double};
use crate::decode::protobuf::{Fields, Wire};

/// `DocumentEventData`.
pub(super) fn images(bytes: &[u8]) -> Result<Images, String> {
    let (mut old, mut new) = (None, None);
    for field in Fields::new(bytes) {
        match field? {
            (1, value) => new = Some(at("value", document(value))?),
            (2, value) => old = Some(at("old_value", document(value))?),
            _ => {}
        }
    }
    Ok(Images::of(old, new))
}

fn at<T>(name: &str, result: Result<T, String>) -> Result<T, String> {
    result.map_err(|why| format!("`{name}` {why}"))
}

/// `Document`.
fn document(wire: Wire<'_>) -> Result<Document, String> {
    let (mut name, mut fields) = (None, Map::new());
    for field in Fields::new(wire.bytes()?) {
        match field? {
            (1, value) => name = Some(at("name", value.text())?.to_owned()),
            (2, value) => entry(value, &mut fields, 0)?,
            _ => {}
        }
    }
    Ok((name.filter(|name| !name.is_empty()), fields))
}

/// One entry of a `map<string, Value>`.
fn entry(wire: Wire<'_>, fields: &mut Map<String, Value>, depth: usize) -> Result<(), String> {
    let (mut name, mut found) = ("", None);
    for field in Fields::new(wire.bytes()?) {
        match field? {
            (1, text) => name = text.text()?,
            (2, message) => found = Some(message),
            _ => {}
        }
    }
    let read = found.ok_or_else(|| "has no value".to_owned()).and_then(|wire| value(wire, depth));
    fields.insert(name.to_owned(), at(name, read)?);
    Ok(())
}

/// `Value`: the last of its kinds that is there.
fn value(wire: Wire<'_>, depth: usize) -> Result<Value, String> {
    let depth = deeper(depth)?;
    let mut found = None;
    for field in Fields::new(wire.bytes()?) {
        let (number, wire) = field?;
        found = Some(match number {
            1 => Value::Bool(wire.int()? != 0),
            2 => wire.int()?.into(),
            3 => double(wire.double()?),
            5 | 17 => wire.text()?.into(),
            6 => map(wire, depth)?,
            8 => geo_point(wire)?,
            9 => array(wire, depth)?,
            10 => timestamp(wire)?,
            11 => wire.int().map(|_| Value::Null)?,
            18 => base64_encode(wire.bytes()?).into(),
            _ => continue,
        });
    }
    found.ok_or_else(|| "has no value of a known kind".to_owned())
}

/// `MapValue`.
fn map(wire: Wire<'_>, depth: usize) -> Result<Value, String> {
    let mut fields = Map::new();
    for field in Fields::new(wire.bytes()?) {
        if let (1, value) = field? {
            entry(value, &mut fields, depth)?;
        }
    }
    Ok(Value::Object(fields))
}

/// `ArrayValue`.
fn array(wire: Wire<'_>, depth: usize) -> Result<Value, String> {
    let mut values = Vec::new();
    for field in Fields::new(wire.bytes()?) {
        if let (1, element) = field? {
            values.push(value(element, depth)?);
        }
    }
    Ok(Value::Array(values))
}

/// `google.type.LatLng`.
fn geo_point(wire: Wire<'_>) -> Result<Value, String> {
    let (mut latitude, mut longitude) = (0.0, 0.0);
    for field in Fields::new(wire.bytes()?) {
        match field? {
            (1, value) => latitude = value.double()?,
            (2, value) => longitude = value.double()?,
            _ => {}
        }
    }
    Ok(json!({ "latitude": double(latitude), "longitude": double(longitude) }))
}

/// `google.protobuf.Timestamp`, written as its JSON mapping does: 0, 3, 6 or 9 digits of a second.
fn timestamp(wire: Wire<'_>) -> Result<Value, String> {
    const RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
    let (mut seconds, mut nanos) = (0, 0);
    for field in Fields::new(wire.bytes()?) {
        match field? {
            (1, value) => seconds = value.int()?,
            (2, value) => nanos = value.int()?,
            _ => {}
        }
    }
    if !RANGE.contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        return Err(format!("is a timestamp of {seconds} s {nanos} ns, outside the years 1 to 9999"));
    }
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let mut text = format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    );
    let fraction = format!("{nanos:09}");
    let digits = [0, 3, 6].into_iter().find(|&n| fraction[n..].bytes().all(|b| b == b'0')).unwrap_or(9);
    if digits > 0 {
        text.push('.');
        text.push_str(&fraction[..digits]);
    }
    text.push('Z');
    Ok(text.into())
}

/// Year, month and day of days since 1970 (Howard Hinnant's `civil_from_days`, whose eras go below zero).
const fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + (month <= 2) as i64, month, doy - (153 * mp + 2) / 5 + 1)
}
