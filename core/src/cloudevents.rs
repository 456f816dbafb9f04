//! CloudEvents 1.0: the JSON format and the HTTP binding
//! (<https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/http-protocol-binding.md>).

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};
use crate::event::CloudEvent;
use crate::text::{base64_decode, base64_encode, parse_json, percent_decode};

/// How a request carries CloudEvents, by its content type and headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Attributes in `ce-*` headers, the data as body.
    Binary,
    /// One event as a JSON object.
    Structured,
    /// Events as a JSON array.
    Batched,
}

/// The mode of a request, or `None` when it carries no CloudEvent.
pub fn mode(headers: &HeaderMap) -> Option<Mode> {
    let media = headers.get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let media = media.trim_start().to_ascii_lowercase();
    if media.starts_with("application/cloudevents-batch") {
        Some(Mode::Batched)
    } else if media.starts_with("application/cloudevents") {
        Some(Mode::Structured)
    } else {
        (headers.contains_key("ce-specversion") || headers.contains_key("ce-id")).then_some(Mode::Binary)
    }
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadEvent, format!("not a CloudEvent: {}", message.into()))
}

/// Reads the events of a request.
///
/// # Errors
/// [`ErrorKind::BadEvent`] naming what is missing or malformed.
pub fn from_request(mode: Mode, headers: &HeaderMap, body: Bytes) -> Result<Vec<CloudEvent>> {
    match mode {
        Mode::Binary => Ok(vec![from_headers(headers, body)?]),
        Mode::Structured => match parse(&body)? {
            Value::Object(object) => Ok(vec![from_object(object)?]),
            _ => Err(bad("a structured event is a JSON object")),
        },
        Mode::Batched => from_json(&body),
    }
}

/// Reads one event (a JSON object) or several (an array of them).
///
/// # Errors
/// [`ErrorKind::BadEvent`] naming what is missing or malformed.
pub fn from_json(body: &[u8]) -> Result<Vec<CloudEvent>> {
    match parse(body)? {
        Value::Object(object) => Ok(vec![from_object(object)?]),
        Value::Array(events) => events
            .into_iter()
            .map(|event| match event {
                Value::Object(object) => from_object(object),
                _ => Err(bad("a batch is an array of JSON objects")),
            })
            .collect(),
        _ => Err(bad("expected a JSON object or array")),
    }
}

fn parse(body: &[u8]) -> Result<Value> {
    parse_json(body).map_err(|e| bad(format!("the body is not JSON: {e}")))
}

fn from_object(mut object: Map<String, Value>) -> Result<CloudEvent> {
    let data = match (object.remove("data_base64"), object.remove("data")) {
        (Some(Value::String(text)), None) => {
            base64_decode(text.as_bytes()).ok_or_else(|| bad("`data_base64` is not base64"))?.into()
        }
        (Some(_), _) => return Err(bad("`data_base64` must be a string, and alone")),
        (None, None | Some(Value::Null)) => Bytes::new(),
        (None, Some(value)) => value_bytes(&object, value),
    };
    let mut event = CloudEvent { data, ..CloudEvent::default() };
    let mut version = None;
    for (name, value) in object {
        let text = match value {
            Value::String(text) => text,
            Value::Null => continue,
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Err(bad(format!("attribute `{name}` is not a scalar")));
            }
        };
        set(&mut event, &mut version, name, text);
    }
    finish(event, version)
}

/// JSON data is kept as JSON text; a string of another media type is that text (JSON format §3.1.1).
fn value_bytes(object: &Map<String, Value>, value: Value) -> Bytes {
    let media = object.get("datacontenttype").and_then(Value::as_str).unwrap_or("application/json");
    let json = media.split(';').next().is_some_and(|m| m.trim().ends_with("json"));
    match value {
        Value::String(text) if !json => text.into(),
        value => value.to_string().into(),
    }
}

fn from_headers(headers: &HeaderMap, body: Bytes) -> Result<CloudEvent> {
    let mut event = CloudEvent { data: body, ..CloudEvent::default() };
    let mut version = None;
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix("ce-") else { continue };
        let text = header_text(value.as_bytes())
            .ok_or_else(|| bad(format!("header `{name}` is not valid UTF-8")))?;
        set(&mut event, &mut version, attribute.to_owned(), text);
    }
    if let Some(media) = headers.get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok()) {
        event.datacontenttype = Some(media.to_owned());
    }
    finish(event, version)
}

/// Header values: an RFC 7230 quoted string is unquoted, then one round of percent-decoding (HTTP binding §3.1.3.2).
fn header_text(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    let unquoted = inner.map(|quoted| {
        let mut out = String::with_capacity(quoted.len());
        let mut escaped = false;
        for c in quoted.chars() {
            if c == '\\' && !escaped {
                escaped = true;
            } else {
                escaped = false;
                out.push(c);
            }
        }
        out
    });
    let decoded = percent_decode(unquoted.as_deref().unwrap_or(text)).into_owned();
    String::from_utf8(decoded).ok()
}

fn set(event: &mut CloudEvent, version: &mut Option<String>, name: String, value: String) {
    match name.as_str() {
        "specversion" => *version = Some(value),
        "id" => event.id = value,
        "source" => event.source = value,
        "type" => event.ty = value,
        "subject" => event.subject = Some(value),
        "time" => event.time = Some(value),
        "datacontenttype" => event.datacontenttype = Some(value),
        _ => event.extensions.push((name, value)),
    }
}

fn finish(event: CloudEvent, version: Option<String>) -> Result<CloudEvent> {
    match version.as_deref() {
        Some("1.0") => {}
        Some(other) => return Err(bad(format!("specversion `{other}` is not 1.0"))),
        None => return Err(bad("`specversion` is missing")),
    }
    for (name, value) in [("id", &event.id), ("source", &event.source), ("type", &event.ty)] {
        if value.is_empty() {
            return Err(bad(format!("`{name}` is missing or empty")));
        }
    }
    Ok(event)
}

/// The event as a structured JSON object.
pub fn to_json(event: &CloudEvent) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, value: &str| drop(object.insert(name.to_owned(), value.into()));
    put("specversion", "1.0");
    put("id", &event.id);
    put("source", &event.source);
    put("type", &event.ty);
    for (name, value) in
        [("subject", &event.subject), ("time", &event.time), ("datacontenttype", &event.datacontenttype)]
    {
        if let Some(value) = value {
            put(name, value);
        }
    }
    for (name, value) in &event.extensions {
        put(name, value);
    }
    if !event.data.is_empty() {
        match parse_json(&event.data) {
            Ok(value) => drop(object.insert("data".to_owned(), value)),
            Err(_) => drop(object.insert("data_base64".to_owned(), base64_encode(&event.data).into())),
        }
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.parse::<http::HeaderName>().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn header_values_are_unquoted_then_percent_decoded_once() {
        let map = headers(&[
            ("ce-id", "1"),
            ("ce-source", "s"),
            ("ce-type", "t"),
            ("ce-specversion", "1.0"),
            ("ce-subject", "caf%C3%A9%2541"),
            ("ce-quoted", r#""a \"b\" %20""#),
        ]);
        assert_eq!(mode(&map), Some(Mode::Binary));
        let event = from_request(Mode::Binary, &map, Bytes::from_static(b"x")).unwrap().remove(0);
        assert_eq!(event.subject.as_deref(), Some("café%41"));
        assert!(event.extensions.contains(&("quoted".to_owned(), r#"a "b"  "#.to_owned())), "{event:?}");
    }

    #[test]
    fn overlong_utf8_in_a_header_is_refused() {
        let map =
            headers(&[("ce-id", "%C0%A0"), ("ce-source", "s"), ("ce-type", "t"), ("ce-specversion", "1.0")]);
        assert!(from_request(Mode::Binary, &map, Bytes::new()).is_err());
    }

    #[test]
    fn json_data_keeps_its_form_and_text_is_text() {
        let json = br#"[{"specversion":"1.0","id":"1","source":"s","type":"t","data":{"a":1},"n":7},
            {"specversion":"1.0","id":"2","source":"s","type":"t","datacontenttype":"text/plain","data":"hi"},
            {"specversion":"1.0","id":"3","source":"s","type":"t","data_base64":"AP8="}]"#;
        let events = from_json(json).unwrap();
        assert_eq!(&events[0].data[..], br#"{"a":1}"#);
        assert_eq!(events[0].extensions, [("n".to_owned(), "7".to_owned())]);
        assert_eq!(&events[1].data[..], b"hi");
        assert_eq!(&events[2].data[..], [0, 255]);
        assert_eq!(to_json(&events[2])["data_base64"], "AP8=");
    }

    #[test]
    fn what_is_missing_is_named() {
        for (json, what) in [
            (r#"{"id":"1","source":"s","type":"t"}"#, "specversion"),
            (r#"{"specversion":"0.3","id":"1","source":"s","type":"t"}"#, "0.3"),
            (r#"{"specversion":"1.0","source":"s","type":"t"}"#, "`id`"),
            ("[1]", "array"),
            ("nope", "JSON"),
        ] {
            let error = from_json(json.as_bytes()).unwrap_err();
            assert!(error.message().contains(what), "{json}: {error}");
        }
    }
}
