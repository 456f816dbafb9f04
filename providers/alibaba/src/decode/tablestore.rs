//! Changes of a Tablestore table, as its trigger sends them in CBOR; in JSON the console's test does
//! (<https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/tablestore-triggers>).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};
use xcloud_core::event::{ChangeKind, CloudEvent, Payload, Record};
use xcloud_core::{Error, Result};

use super::{Facts, bad, cbor, json, need, text, time};

/// The only version there is.
const VERSION: &str = "Sync-v1";

/// Reads a body that begins as a CBOR map. `None` when it is some other application's.
pub(super) fn from_cbor(body: &[u8], facts: Facts<'_>) -> Result<Option<Vec<Record>>> {
    match cbor::read(body) {
        Ok(event) if is_stream(&event) => read(&event, facts).map(Some),
        Err(why) if begins_as_stream(body) => Err(bad(format!("a Tablestore trigger's event: {why}"))),
        _ => Ok(None),
    }
}

/// Whether an event is of a Tablestore trigger.
pub(super) fn is_stream(event: &Value) -> bool {
    text(event, "/Version").is_some_and(|version| version.starts_with("Sync-"))
        && event.get("Records").is_some()
}

/// The first name of the map, of which there are two.
fn begins_as_stream(body: &[u8]) -> bool {
    let head = &body[..body.len().min(16)];
    [&b"\x67Version"[..], b"\x67Records"].iter().any(|name| head.windows(name.len()).any(|w| w == *name))
}

/// Reads the changes in their order. The event names neither table nor instance: the function's name stands for them.
pub(super) fn read(event: &Value, facts: Facts<'_>) -> Result<Vec<Record>> {
    let failed = |why: String| bad(format!("a Tablestore trigger's event: {why}"));
    let version = text(event, "/Version").unwrap_or_default();
    if version != VERSION {
        return Err(failed(format!("`Version` is `{version}`, not {VERSION}")));
    }
    let records = event.get("Records").and_then(Value::as_array);
    let records = records.ok_or_else(|| failed("`Records` is not a list".to_owned()))?;
    let read = |(at, record): (usize, &Value)| {
        change(record, facts).map_err(|e| failed(format!("record {at}: {}", e.message())))
    };
    records.iter().enumerate().map(read).collect()
}

fn change(record: &Value, facts: Facts<'_>) -> Result<Record> {
    let (kind, word) = match need(record, "/Type")? {
        // Both write over a row that is there: which of them are new rows is not told.
        "PutRow" => (ChangeKind::Updated, "put"),
        "UpdateRow" => (ChangeKind::Updated, "update"),
        "DeleteRow" => (ChangeKind::Deleted, "delete"),
        other => {
            let message = format!("`Type` is `{other}`, not PutRow, UpdateRow or DeleteRow");
            return Err(Error::bad_request(message));
        }
    };
    let primary = primary_key(record)?;
    let key = key(&primary);
    let new = match kind {
        ChangeKind::Deleted => None,
        _ => Some(Bytes::from(Value::Object(row(primary, record)?).to_string())),
    };
    let micros = record.pointer("/Info/Timestamp").and_then(Value::as_u64);
    let event = CloudEvent {
        id: format!("{}.{key}", micros.unwrap_or_default()),
        source: format!("{}/tablestore", facts.function),
        ty: format!("com.aliyun.ots.row.{word}"),
        subject: Some(key.clone()),
        time: micros.and_then(|n| time(Duration::from_micros(n))),
        ..json(record)
    };
    Ok(Record::new(event, Payload::Change { kind, key, old: None, new }, ""))
}

fn primary_key(record: &Value) -> Result<Map<String, Value>> {
    let columns = record.get("PrimaryKey").and_then(Value::as_array).filter(|columns| !columns.is_empty());
    let columns = columns.ok_or_else(|| Error::bad_request("`PrimaryKey` is not a list of columns"))?;
    let column = |(at, column): (usize, &Value)| {
        let wrong = |what: &str| Error::bad_request(format!("`PrimaryKey` {at}: {what}"));
        let name = text(column, "/ColumnName").ok_or_else(|| wrong("`ColumnName` is not a text"))?;
        let value = column.get("Value").ok_or_else(|| wrong("`Value` is missing"))?;
        Ok((name.to_owned(), value.clone()))
    };
    columns.iter().enumerate().map(column).collect()
}

/// A key of one column is its text, a composite one its JSON.
fn key(primary: &Map<String, Value>) -> String {
    let mut values = primary.values();
    match (values.next(), values.next()) {
        (Some(Value::String(text)), None) => text.clone(),
        (Some(one), None) => one.to_string(),
        _ => Value::Object(primary.clone()).to_string(),
    }
}

/// The primary key and the columns that were put, each in its newest version. Of an UpdateRow these are not the whole
/// row: the columns that it left alone are not told.
fn row(mut row: Map<String, Value>, record: &Value) -> Result<Map<String, Value>> {
    let columns = match record.get("Columns") {
        None | Some(Value::Null) => &[],
        Some(Value::Array(columns)) => columns.as_slice(),
        Some(_) => return Err(Error::bad_request("`Columns` is not a list of columns")),
    };
    let mut newest: BTreeMap<&str, Option<u64>> = BTreeMap::new();
    for (at, column) in columns.iter().enumerate() {
        let wrong = |what: &str| Error::bad_request(format!("`Columns` {at}: {what}"));
        let name = text(column, "/ColumnName").ok_or_else(|| wrong("`ColumnName` is not a text"))?;
        match text(column, "/Type") {
            Some("Put") => {}
            Some("DeleteOneVersion" | "DeleteAllVersions") => continue,
            _ => return Err(wrong("`Type` is not Put, DeleteOneVersion or DeleteAllVersions")),
        }
        let value = column.get("Value").ok_or_else(|| wrong("`Value` is missing"))?;
        let version = column.get("Timestamp").and_then(Value::as_u64);
        if newest.get(name).is_none_or(|seen| *seen <= version) {
            row.insert(name.to_owned(), value.clone());
            newest.insert(name, version);
        }
    }
    Ok(row)
}
