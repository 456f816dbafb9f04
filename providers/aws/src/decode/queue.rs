//! Batches of SQS (<https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>).

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use xcloud_core::Result;
use xcloud_core::event::{Batch, RawMessage};

use super::json::{Fault, Reader, Text};
use super::{Payload, Scratch, bad};

/// A payload's list of records.
pub(super) enum Records<'a> {
    /// The first is one of SQS.
    Sqs(Vec<Record<'a>>),
    /// It is, and this is wrong with one of them.
    Faulty(Fault),
    /// They are of something else.
    Other,
}

/// One record, as it stands in the payload.
#[derive(Default)]
pub(super) struct Record<'a> {
    message_id: Option<Text<'a>>,
    body: Option<Text<'a>>,
    arn: Option<Text<'a>>,
    sent: Option<Text<'a>>,
    received: Option<Text<'a>>,
    attributes: Vec<(String, String)>,
}

/// Reads a list of records.
///
/// # Errors
/// It is not JSON. JSON of another shape is [`Records::Faulty`] or [`Records::Other`].
pub(super) fn records<'a>(reader: &mut Reader<'a>) -> Result<Records<'a>, Fault> {
    if !reader.first().is_some_and(is_sqs) {
        return reader.skip().map(|()| Records::Other);
    }
    let start = reader.clone();
    // Most are one or ten.
    let mut records = Vec::with_capacity(10);
    let read = reader.list(|reader| {
        records.push(Record::read(reader)?);
        Ok(())
    });
    match read {
        Ok(()) => Ok(Records::Sqs(records)),
        Err(fault) => {
            *reader = start;
            reader.skip().map(|()| Records::Faulty(fault))
        }
    }
}

fn is_sqs(mut record: Reader<'_>) -> bool {
    let mut sqs = false;
    let read = record.object(|reader, name| {
        if name.raw == b"eventSource" {
            sqs = reader.slice()? == b"\"aws:sqs\"";
            return Ok(());
        }
        reader.skip()
    });
    read.is_ok() && sqs
}

/// The messages of some records; all are of one queue.
pub(super) fn messages(records: Vec<Record<'_>>, payload: &Bytes, scratch: &mut Scratch) -> Result<Payload> {
    scratch.reserve(records.iter().filter_map(|record| record.body).map(Text::room).sum());
    let mut name: Option<Cow<'_, str>> = None;
    let mut messages = Vec::with_capacity(records.len());
    for record in records {
        let queue = record.queue().map_err(undocumented)?;
        match &name {
            None => name = Some(queue),
            Some(seen) if *seen != queue => {
                let message = format!("one payload brings messages of two queues: `{seen}` and `{queue}`");
                return Err(bad(message));
            }
            Some(_) => {}
        }
        messages.push(record.message(payload, scratch)?);
    }
    Ok(Payload::Queue(name.unwrap_or_default().into_owned(), Batch { messages }))
}

pub(super) fn undocumented(fault: impl std::fmt::Display) -> xcloud_core::Error {
    bad(format!("the SQS records are not of the documented shape: {fault}"))
}

impl<'a> Record<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let mut record = Self::default();
        reader.object(|reader, name| match &*name.read()? {
            _ if reader.null()? => Ok(()),
            b"messageId" => set(&mut record.message_id, reader),
            b"body" => set(&mut record.body, reader),
            b"eventSourceARN" => set(&mut record.arn, reader),
            b"attributes" => reader.object(|reader, name| match name.raw {
                _ if reader.null()? => Ok(()),
                b"SentTimestamp" => set(&mut record.sent, reader),
                b"ApproximateReceiveCount" => set(&mut record.received, reader),
                _ => reader.skip(),
            }),
            b"messageAttributes" => reader.object(|reader, name| {
                if let Some(value) = attribute(reader)? {
                    record.attributes.push((name.string()?.into_owned(), value.string()?.into_owned()));
                }
                Ok(())
            }),
            _ => reader.skip(),
        })?;
        // Equal ones are alike; a stable sort is twice the code.
        record.attributes.sort_unstable();
        Ok(record)
    }

    /// The queue's name in the app.
    fn queue(&self) -> Result<Cow<'a, str>, Fault> {
        let arn = self.arn.unwrap_or(Text::EMPTY).string()?;
        let name = |arn: &str| {
            let queue = arn.rsplit(':').next().unwrap_or_default();
            // Part of a FIFO queue's name on AWS, not of its name in the app.
            arn.len() - queue.len()
                ..arn.len() - queue.len() + queue.strip_suffix(".fifo").unwrap_or(queue).len()
        };
        Ok(match arn {
            Cow::Borrowed(arn) => Cow::Borrowed(&arn[name(arn)]),
            Cow::Owned(arn) => Cow::Owned(arn[name(&arn)].to_owned()),
        })
    }

    fn message(self, payload: &Bytes, scratch: &mut Scratch) -> Result<RawMessage> {
        let id = self.message_id.ok_or_else(|| undocumented("a record has no messageId"))?;
        let body = self.body.ok_or_else(|| undocumented("a record has no body"))?;
        // An empty id in the answer would mean the whole batch.
        if id.raw.is_empty() {
            return Err(bad("an SQS record has an empty messageId".to_owned()));
        }
        let number = |text: Option<Text<'_>>| std::str::from_utf8(text?.raw).ok()?.parse::<u64>().ok();
        let sent = number(self.sent).and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)));
        Ok(RawMessage {
            id: id.string()?.into_owned(),
            body: scratch.body(body, payload)?,
            attempt: number(self.received).and_then(|n| u32::try_from(n).ok()),
            sent,
            attributes: self.attributes,
        })
    }
}

fn set<'a>(field: &mut Option<Text<'a>>, reader: &mut Reader<'a>) -> Result<(), Fault> {
    *field = Some(reader.text()?);
    Ok(())
}

/// The value of a sender's attribute. Attributes are text everywhere: a binary one stays in base64.
fn attribute<'a>(reader: &mut Reader<'a>) -> Result<Option<Text<'a>>, Fault> {
    let (mut string, mut binary) = (None, None);
    reader.object(|reader, name| match name.raw {
        _ if reader.null()? => Ok(()),
        b"stringValue" => set(&mut string, reader),
        b"binaryValue" => set(&mut binary, reader),
        _ => reader.skip(),
    })?;
    Ok(string.or(binary))
}
