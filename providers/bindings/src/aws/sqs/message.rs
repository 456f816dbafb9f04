//! Messages as SQS takes them
//! (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>).

use std::borrow::Cow;

use serde_json::Value;
use xcloud_core::queue::Outgoing;
use xcloud_core::{Error, ErrorKind, Result};

use super::{MAX_BYTES, MAX_ENTRIES};

/// One message. `at` is its place among all that are sent.
pub(super) struct Entry<'a> {
    pub(super) at: usize,
    pub(super) body: &'a str,
    attributes: &'a str,
}

/// All messages of a send, checked.
pub(super) struct Prepared<'a> {
    bodies: Vec<Cow<'a, str>>,
    /// The members that say them, the same for every message.
    attributes: String,
    /// What they count against the limit of every message.
    weight: usize,
}

impl<'a> Prepared<'a> {
    /// Checks every message before the first is sent.
    ///
    /// # Errors
    /// [`ErrorKind::PayloadTooLarge`]; [`ErrorKind::BadRequest`] for what is not text.
    pub(super) fn new(outgoing: &'a Outgoing) -> Result<Self> {
        let (attributes, weight) = attributes(outgoing.trace.as_deref());
        let bodies = outgoing.messages.iter().map(|body| text(body)).collect::<Result<Vec<_>>>()?;
        let most = MAX_BYTES - weight;
        match bodies.iter().find(|body| body.len() > most) {
            None => Ok(Self { bodies, attributes, weight }),
            Some(large) => {
                let message = format!("a message has {} bytes; a queue of SQS takes {most}", large.len());
                Err(Error::new(ErrorKind::PayloadTooLarge, message))
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bodies.len()
    }

    /// What goes into one request each, in order.
    pub(super) fn batches(&self) -> Vec<Vec<Entry<'_>>> {
        let mut batches: Vec<Vec<Entry<'_>>> = Vec::new();
        let mut room = 0;
        for (at, body) in self.bodies.iter().enumerate() {
            let weight = body.len() + self.weight;
            if batches.last().is_none_or(|batch| batch.len() == MAX_ENTRIES) || room < weight {
                batches.push(Vec::new());
                room = MAX_BYTES;
            }
            room -= weight;
            if let Some(batch) = batches.last_mut() {
                batch.push(Entry { at, body, attributes: &self.attributes });
            }
        }
        batches
    }
}

/// The body of a request: SendMessage's for one message, SendMessageBatch's for several, whose ids are their places.
///
/// Written out, because there are three levels of it and derived code is 20 KB of a function.
pub(super) fn request(url: &str, entries: &[Entry<'_>]) -> String {
    let mut body = format!("{{\"QueueUrl\":{}", quoted(url));
    if let [entry] = entries {
        body.extend([",", &entry.members(), "}"]);
        return body;
    }
    let entries = entries.iter().enumerate();
    let entries: Vec<_> =
        entries.map(|(at, entry)| format!("{{\"Id\":\"{at}\",{}}}", entry.members())).collect();
    body.extend([",\"Entries\":[", &entries.join(","), "]}"]);
    body
}

impl Entry<'_> {
    fn members(&self) -> String {
        format!("\"MessageBody\":{},{}", quoted(self.body), self.attributes)
    }
}

/// The members that say a message's attributes, and what they count: names, types and values.
///
/// `content-type` and `traceparent` are for the receiver to ask the message for, and on AWS's side of the wire
/// `providers/aws/src/decode/queue.rs` reads them; X-Ray's header SQS itself hands on to Lambda, as the trace of the
/// receiver's call.
fn attributes(trace: Option<&str>) -> (String, usize) {
    let text = |name: &str, value: &str| {
        format!("\"{name}\":{{\"DataType\":\"String\",\"StringValue\":{}}}", quoted(value))
    };
    let mut all = vec![("content-type", "application/json".to_owned())];
    all.extend(trace.and_then(traceparent).map(|trace| ("traceparent", trace)));
    let weight = all.iter().map(|(name, value)| name.len() + "String".len() + value.len()).sum();
    let members: Vec<_> = all.iter().map(|(name, value)| text(name, value)).collect();
    let mut members = format!("\"MessageAttributes\":{{{}}}", members.join(","));
    if let Some(trace) = trace.filter(|trace| trace.starts_with("Root=")) {
        let trace = text("AWSTraceHeader", trace);
        members.extend([",\"MessageSystemAttributes\":{", &trace, "}"]);
    }
    (members, weight)
}

/// As JSON writes a text.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
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
    fn a_trace_cannot_break_out_of_the_request() {
        let outgoing = Outgoing {
            messages: vec![Bytes::from_static(b"\"\\\"\""), Bytes::from_static(b"2")],
            trace: Some("Root=1\",\"Id\":\"9\n".to_owned()),
            deadline: None,
        };
        let prepared = Prepared::new(&outgoing).unwrap();
        let body: Value = serde_json::from_str(&request("u\"\\", &prepared.batches()[0])).unwrap();
        assert_eq!(body["QueueUrl"], "u\"\\");
        let entries = body["Entries"].as_array().unwrap();
        assert_eq!(entries[0]["MessageBody"], "\"\\\"\"");
        for (at, entry) in entries.iter().enumerate() {
            assert_eq!(entry["Id"], at.to_string());
            let trace = &entry["MessageSystemAttributes"]["AWSTraceHeader"]["StringValue"];
            assert_eq!(trace.as_str(), outgoing.trace.as_deref());
            assert_eq!(entry["MessageAttributes"].as_object().map(|all| all.len()), Some(1));
        }
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
        assert_eq!(attributes(None).1, own);
        let half = MAX_BYTES / 2 - own;
        assert_eq!(sizes(vec![half, half, 1]).unwrap(), [vec![0, 1], vec![2]]);
        assert_eq!(sizes(vec![half, half + 1]).unwrap(), [vec![0], vec![1]]);
        assert_eq!(sizes(vec![MAX_BYTES - own]).unwrap(), [vec![0]]);
        let error = sizes(vec![1, MAX_BYTES - own + 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PayloadTooLarge, "{error}");
    }
}
