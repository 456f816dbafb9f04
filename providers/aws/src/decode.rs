//! Wire to event: what a payload is, told by its shape.

mod attribute_value;
mod http;
mod records;
mod text;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use serde::Deserialize;
use xcloud_core::event::{Batch, RawMessage};
use xcloud_core::text::base64_decode;
use xcloud_core::{Error, ErrorKind, Result};

pub use self::records::Records;

/// Which front an HTTP request came through: it decides the shape of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// API Gateway HTTP APIs (payload 2.0) and function URLs.
    V2,
    /// API Gateway REST APIs (payload 1.0).
    V1,
    /// An application load balancer.
    Alb {
        /// Whether the target group sends and takes lists of values.
        multi: bool,
    },
}

/// One payload.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "requests are the common case and it is moved once: a box would cost more"
)]
pub enum Payload {
    /// A request, or why it cannot be one; the answer goes back in the shape of its origin.
    Http(Origin, Result<::http::Request<Bytes>>),
    /// Messages of the SQS queue with this name.
    Queue(String, Batch),
    /// Objects, schedules, changes, messages of topics, other events.
    Records(Records),
    /// Anything else, as it came.
    Raw(Bytes),
}

/// Reads a payload. What has no known shape is raw.
///
/// # Errors
/// [`ErrorKind::BadEvent`]: records that are not of their service's documented shape.
pub fn event(payload: &Bytes) -> Result<Payload> {
    let Ok(wire) = serde_json::from_slice::<http::Wire<'_>>(payload) else {
        return Ok(Payload::Raw(payload.clone()));
    };
    if let Some(origin) = wire.origin() {
        return Ok(Payload::Http(origin, wire.request(origin)));
    }
    if wire.is_sqs() {
        let records: SqsRecords<'_> = serde_json::from_slice(payload)
            .map_err(|e| bad(format!("the SQS records are not of the documented shape: {e}")))?;
        return queue(records);
    }
    Ok(records::read(payload)?.map_or_else(|| Payload::Raw(payload.clone()), Payload::Records))
}

#[derive(Deserialize)]
struct SqsRecords<'a> {
    #[serde(rename = "Records", borrow)]
    records: Vec<Record<'a>>,
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow)]
    message_id: Cow<'a, str>,
    #[serde(borrow)]
    body: Cow<'a, str>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    message_attributes: BTreeMap<String, Attribute>,
    #[serde(rename = "eventSourceARN", borrow, default)]
    arn: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attribute {
    #[serde(default)]
    string_value: Option<String>,
    /// Base64.
    #[serde(default)]
    binary_value: Option<String>,
}

fn queue(records: SqsRecords<'_>) -> Result<Payload> {
    let mut name: Option<String> = None;
    let mut messages = Vec::with_capacity(records.records.len());
    for record in records.records {
        let queue = record.arn.rsplit(':').next().unwrap_or_default();
        // Part of a FIFO queue's name on AWS, not of its name in the app.
        let queue = queue.strip_suffix(".fifo").unwrap_or(queue);
        match &name {
            None => name = Some(queue.to_owned()),
            Some(seen) if seen != queue => {
                return Err(bad(format!(
                    "one payload brings messages of two queues: `{seen}` and `{queue}`"
                )));
            }
            Some(_) => {}
        }
        // An empty id in the answer would mean the whole batch.
        if record.message_id.is_empty() {
            return Err(bad("an SQS record has an empty messageId".to_owned()));
        }
        messages.push(message(record));
    }
    Ok(Payload::Queue(name.unwrap_or_default(), Batch { messages }))
}

fn message(record: Record<'_>) -> RawMessage {
    let number = |name: &str| record.attributes.get(name)?.parse::<u64>().ok();
    let sent = number("SentTimestamp").and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)));
    let attempt = number("ApproximateReceiveCount").and_then(|n| u32::try_from(n).ok());
    let attributes = record.message_attributes.into_iter();
    RawMessage {
        id: record.message_id.into_owned(),
        body: Bytes::from(record.body.into_owned()),
        attempt,
        sent,
        // Attributes are text everywhere: a binary one stays in base64.
        attributes: attributes
            .filter_map(|(name, value)| Some((name, value.string_value.or(value.binary_value)?)))
            .collect(),
    }
}

/// A body as it was sent.
fn body(text: Option<Cow<'_, str>>, base64: bool) -> Result<Bytes> {
    let text = text.unwrap_or_default();
    if !base64 {
        return Ok(Bytes::from(text.into_owned()));
    }
    let bytes = base64_decode(text.as_bytes());
    bytes.map(Bytes::from).ok_or_else(|| bad("isBase64Encoded is set and the body is not base64".to_owned()))
}

fn bad(message: String) -> Error {
    Error::new(ErrorKind::BadEvent, message)
}

#[cfg(test)]
mod tests;
