//! Messages as SQS takes them
//! (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>).

use std::borrow::Cow;

use serde::Serialize;
use xcloud_core::queue::Outgoing;
use xcloud_core::{Error, ErrorKind, Result};

use super::{MAX_BYTES, MAX_ENTRIES};

/// One message of a request. `at` is its place among all that are sent.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry<'a> {
    #[serde(skip)]
    pub(super) at: usize,
    /// Within the request, only where it has several: its place in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) message_body: &'a str,
    message_attributes: &'a Attributes,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_system_attributes: Option<&'a SystemAttributes>,
}

/// What the receiver can ask a message for. On AWS's side of the wire `providers/aws/src/decode/queue.rs` reads them.
#[derive(Serialize)]
struct Attributes {
    #[serde(rename = "content-type")]
    content_type: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<Text>,
}

/// What SQS hands on to Lambda as the trace of the receiver's call.
#[derive(Serialize)]
struct SystemAttributes {
    #[serde(rename = "AWSTraceHeader")]
    trace: Text,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Text {
    data_type: &'static str,
    string_value: String,
}

impl Text {
    fn new(value: impl Into<String>) -> Self {
        Self { data_type: "String", string_value: value.into() }
    }

    /// What it counts against the limit: name, type and value.
    fn weight(&self, name: &str) -> usize {
        name.len() + self.data_type.len() + self.string_value.len()
    }
}

/// All messages of a send, checked.
pub(super) struct Prepared<'a> {
    bodies: Vec<Cow<'a, str>>,
    attributes: Attributes,
    system: Option<SystemAttributes>,
}

impl<'a> Prepared<'a> {
    /// Checks every message before the first is sent.
    ///
    /// # Errors
    /// [`ErrorKind::PayloadTooLarge`]; [`ErrorKind::BadRequest`] for what is not text.
    pub(super) fn new(outgoing: &'a Outgoing) -> Result<Self> {
        let trace = outgoing.trace.as_deref();
        let traceparent = trace.and_then(traceparent).map(Text::new);
        let attributes = Attributes { content_type: Text::new("application/json"), traceparent };
        let system = trace.filter(|trace| trace.starts_with("Root=")).map(Text::new);
        let system = system.map(|trace| SystemAttributes { trace });
        let bodies = outgoing.messages.iter().map(|body| text(body)).collect::<Result<Vec<_>>>()?;
        let prepared = Self { bodies, attributes, system };
        let own = prepared.weight();
        match prepared.bodies.iter().find(|body| body.len() + own > MAX_BYTES) {
            None => Ok(prepared),
            Some(large) => {
                let message =
                    format!("a message has {} bytes; a queue of SQS takes {}", large.len(), MAX_BYTES - own);
                Err(Error::new(ErrorKind::PayloadTooLarge, message))
            }
        }
    }

    /// What each message's attributes count.
    fn weight(&self) -> usize {
        let traceparent = self.attributes.traceparent.as_ref();
        self.attributes.content_type.weight("content-type")
            + traceparent.map_or(0, |text| text.weight("traceparent"))
    }

    pub(super) fn len(&self) -> usize {
        self.bodies.len()
    }

    /// What goes into one request each, in order.
    pub(super) fn batches(&self) -> Vec<Vec<Entry<'_>>> {
        let own = self.weight();
        let mut batches: Vec<Vec<Entry<'_>>> = Vec::new();
        let mut room = 0;
        for (at, body) in self.bodies.iter().enumerate() {
            let weight = body.len() + own;
            if batches.last().is_none_or(|batch| batch.len() == MAX_ENTRIES) || room < weight {
                batches.push(Vec::new());
                room = MAX_BYTES;
            }
            room -= weight;
            if let Some(batch) = batches.last_mut() {
                batch.push(Entry {
                    at,
                    id: None,
                    message_body: body,
                    message_attributes: &self.attributes,
                    message_system_attributes: self.system.as_ref(),
                });
            }
        }
        batches
    }
}

/// A body as text of the characters that SQS takes. The two that JSON allows and SQS does not can only stand in a
/// string, where their escapes mean the same.
fn text(body: &[u8]) -> Result<Cow<'_, str>> {
    let text = std::str::from_utf8(body)
        .map_err(|e| Error::bad_request("a message that is not text cannot be sent to SQS").caused_by(e))?;
    if text.is_empty() {
        return Err(Error::bad_request("an empty message cannot be sent to SQS"));
    }
    if !text.contains(['\u{fffe}', '\u{ffff}']) {
        return Ok(Cow::Borrowed(text));
    }
    Ok(Cow::Owned(text.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")))
}

/// The W3C form of a trace (<https://www.w3.org/TR/trace-context/#traceparent-header>), also of X-Ray's
/// (<https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>):
/// `Root=1-<8 digits>-<24 digits>;Parent=<16 digits>;Sampled=1`.
fn traceparent(trace: &str) -> Option<String> {
    let hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let parts: Vec<_> = trace.split('-').collect();
    if let [version, id, parent, flags] = parts[..]
        && hex(version, 2)
        && hex(id, 32)
        && hex(parent, 16)
        && hex(flags, 2)
    {
        return Some(trace.to_owned());
    }
    let field =
        |name: &str| trace.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    let (time, unique) = field("Root")?.strip_prefix("1-")?.split_once('-')?;
    let parent = field("Parent")?;
    if !hex(time, 8) || !hex(unique, 24) || !hex(parent, 16) {
        return None;
    }
    let sampled = if field("Sampled") == Some("1") { "01" } else { "00" };
    Some(format!("00-{time}{unique}-{parent}-{sampled}"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_trace_is_told_in_w3cs_form() {
        let xray = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=1:a:0";
        let w3c = "00-67891233abcdef012345678912345678-53995c3f42cd8ad8-01";
        assert_eq!(traceparent(xray).as_deref(), Some(w3c));
        assert_eq!(traceparent(w3c).as_deref(), Some(w3c));
        let unsampled = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=0";
        assert!(traceparent(unsampled).is_some_and(|text| text.ends_with("-00")));
        for other in ["", "Root=1-x-y;Parent=z", "105445aa7843bc8bf206b12000100000/1;o=1", "a-b-c-d"] {
            assert_eq!(traceparent(other), None, "{other}");
        }
    }

    #[test]
    fn characters_that_sqs_refuses_are_written_as_escapes() {
        let body = serde_json::to_vec("a\u{fffe}b\u{ffff}c\u{1}").unwrap();
        let text = text(&body).unwrap();
        assert_eq!(text, r#""a\ufffeb\uffffc\u0001""#);
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), "a\u{fffe}b\u{ffff}c\u{1}");
    }

    #[test]
    fn ten_messages_or_one_mebibyte_go_into_a_request() {
        let sizes = |bodies: Vec<usize>| {
            let messages = bodies.into_iter().map(|size| Bytes::from(vec![b'1'; size])).collect();
            let outgoing = Outgoing { messages, ..Outgoing::default() };
            let prepared = Prepared::new(&outgoing)?;
            let places = |batch: Vec<Entry<'_>>| batch.iter().map(|entry| entry.at).collect::<Vec<_>>();
            Ok::<_, Error>(prepared.batches().into_iter().map(places).collect::<Vec<_>>())
        };
        assert_eq!(sizes(vec![]).unwrap(), Vec::<Vec<usize>>::new());
        assert_eq!(sizes(vec![1; 21]).unwrap().iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 1]);
        let own = "content-typeStringapplication/json".len();
        let half = MAX_BYTES / 2 - own;
        assert_eq!(sizes(vec![half, half, 1]).unwrap(), [vec![0, 1], vec![2]]);
        assert_eq!(sizes(vec![half, half + 1]).unwrap(), [vec![0], vec![1]]);
        assert_eq!(sizes(vec![MAX_BYTES - own]).unwrap(), [vec![0]]);
        let error = sizes(vec![1, MAX_BYTES - own + 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PayloadTooLarge, "{error}");
    }
}
