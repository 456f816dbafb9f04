//! The decoders, by family.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use serde_json::Value;
use serde_json::value::RawValue;
use xcloud_core::cloudevents;
use xcloud_core::event::{CloudEvent, Incoming, Payload, Record, TriggerKind, neutral};
use xcloud_schedule::{Dialect, Schedule, lower};

use crate::corpus::{self, Input};

/// What came of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is an event.
    Decoded,
    /// It has the shape of none: a raw handler's.
    Unknown,
    /// It is an error that says what was expected.
    Refused,
}

type Seeds = Vec<(String, Input)>;

/// Decoders of one kind of bytes.
pub struct Family {
    pub name: &'static str,
    pub seeds: fn() -> Result<Seeds, String>,
    pub decode: fn(&Input) -> Verdict,
}

pub const FAMILIES: &[Family] = &[
    Family { name: "aws", seeds: || bodies("aws"), decode: aws },
    Family { name: "azure", seeds: azure_seeds, decode: azure },
    Family { name: "gcp", seeds: || requests("gcp"), decode: gcp },
    Family { name: "alibaba", seeds: || bodies("alibaba"), decode: alibaba },
    Family { name: "local", seeds: local_seeds, decode: local },
    Family { name: "cloudevents", seeds: cloudevents_seeds, decode: cloud_events },
    Family { name: "schedule", seeds: schedule_seeds, decode: schedule },
    Family { name: "cbor", seeds: cbor_seeds, decode: cbor },
    Family { name: "protobuf", seeds: protobuf_seeds, decode: protobuf },
];

fn name(case: &Path) -> String {
    let words: Vec<_> = case.iter().map(|word| word.to_string_lossy()).collect();
    words[words.len().saturating_sub(2)..].join("/")
}

fn bodies(room: &str) -> Result<Seeds, String> {
    Ok(corpus::events(room)?.into_iter().map(|(case, body)| (name(&case), Input::of(body))).collect())
}

fn requests(room: &str) -> Result<Seeds, String> {
    let read = |(case, json): (PathBuf, Vec<u8>)| Ok((name(&case), corpus::request(&json)?));
    corpus::events(room)?.into_iter().map(read).collect()
}

fn headers(input: &Input) -> HeaderMap {
    let pair = |(name, value): &(Vec<u8>, Vec<u8>)| {
        Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
    };
    let mut headers = HeaderMap::new();
    for (name, value) in input.headers.iter().filter_map(pair) {
        headers.append(name, value);
    }
    headers
}

/// What a decoder promises of a record: images are JSON that a handler can read.
fn promised(record: &Record) {
    if let Payload::Change { old, new, .. } = &record.payload {
        for image in [old, new].into_iter().flatten() {
            // A number may be one that only the handler's own type holds.
            if let Err(error) = serde_json::from_slice::<&RawValue>(image) {
                panic!("an image is not JSON: {error}: {}", image.escape_ascii());
            }
        }
    }
    drop(cloudevents::to_json(&record.event));
    drop(neutral::to_cloud_event(record));
}

thread_local! {
    /// Kept from event to event, as the room does.
    static SCRATCH: RefCell<xcloud_aws::decode::Scratch> = RefCell::default();
}

fn aws(input: &Input) -> Verdict {
    use xcloud_aws::decode::Payload;
    let body = Bytes::from(input.body.clone());
    match SCRATCH.with_borrow_mut(|scratch| xcloud_aws::decode::event(&body, scratch)) {
        Ok(Payload::Records(read)) => {
            read.records.iter().for_each(promised);
            Verdict::Decoded
        }
        Ok(Payload::Http(_, Ok(_)) | Payload::Queue(..)) => Verdict::Decoded,
        Ok(Payload::Raw(_)) => Verdict::Unknown,
        Ok(Payload::Http(_, Err(_))) | Err(_) => Verdict::Refused,
    }
}

const KINDS: [TriggerKind; 6] = [
    TriggerKind::Queue,
    TriggerKind::Object,
    TriggerKind::Schedule,
    TriggerKind::Change,
    TriggerKind::Topic,
    TriggerKind::Event,
];

/// A binding without a `function.json`, then those of the golden events that have one.
static BINDINGS: LazyLock<Vec<xcloud_azure::binding::Binding>> = LazyLock::new(|| {
    let plain = xcloud_azure::binding::Binding::new("handler");
    let files = corpus::events("azure").unwrap_or_default().into_iter();
    let json = files.filter_map(|(case, _)| std::fs::read(case.join("function.json")).ok());
    let bindings = json.filter_map(|json| plain.clone().with_json(&json).ok());
    [plain.clone()].into_iter().chain(bindings).collect()
});

fn azure_seeds() -> Result<Seeds, String> {
    let mut binding = 0;
    let mut seed = |(case, body): (PathBuf, Vec<u8>)| {
        let own = case.join("function.json").is_file();
        binding += usize::from(own);
        let folder = case.parent().and_then(Path::file_name).unwrap_or_default();
        let kind = KINDS.iter().position(|kind| folder == kind.as_str());
        let kind = kind.ok_or_else(|| format!("{} is of no kind of trigger", case.display()))?;
        let kind = kind + KINDS.len() * if own { binding } else { 0 };
        Ok((name(&case), Input { kind, ..Input::of(body) }))
    };
    corpus::events("azure")?.into_iter().map(&mut seed).collect()
}

fn azure(input: &Input) -> Verdict {
    let kind = KINDS[input.kind % KINDS.len()];
    let binding = &BINDINGS[input.kind / KINDS.len() % BINDINGS.len()];
    let decoded = match kind {
        TriggerKind::Queue => xcloud_azure::decode::queue(&input.body, binding).map(drop),
        kind => xcloud_azure::decode::records(kind, &input.body, binding)
            .map(|records| records.iter().for_each(promised)),
    };
    if decoded.is_ok() { Verdict::Decoded } else { Verdict::Refused }
}

fn gcp(input: &Input) -> Verdict {
    let (headers, body) = (headers(input), Bytes::from(input.body.clone()));
    let claims = xcloud_gcp::decode::claims_event(&headers, &body);
    let Ok(deliveries) = xcloud_gcp::decode::request(&headers, body) else { return Verdict::Refused };
    let mut verdict = if claims { Verdict::Decoded } else { Verdict::Unknown };
    for delivery in deliveries {
        drop(delivery.raw());
        if let Some(record) = delivery.topic() {
            promised(&record);
        }
        match delivery.object() {
            Ok(record) => record.iter().for_each(promised),
            Err(_) => return Verdict::Refused,
        }
        if let Incoming::Record(record) = &delivery.incoming {
            promised(record);
        }
        if !matches!(delivery.incoming, Incoming::Raw(_)) {
            verdict = Verdict::Decoded;
        }
    }
    verdict
}

fn alibaba(input: &Input) -> Verdict {
    use xcloud_alibaba::decode::{Delivery, Facts, event};
    match event(&input.body, Facts { id: "1", function: "f", region: "r" }) {
        Ok(Delivery::Messages(messages)) => {
            messages.publications().iter().for_each(promised);
            // Again, since a delivery is either.
            if let Ok(Delivery::Messages(messages)) = event(&input.body, Facts::default()) {
                drop(messages.batch());
            }
            Verdict::Decoded
        }
        Ok(Delivery::Records(read)) => {
            read.records.iter().for_each(promised);
            Verdict::Decoded
        }
        Ok(Delivery::Raw(_)) => Verdict::Unknown,
        Err(_) => Verdict::Refused,
    }
}

fn local_seeds() -> Result<Seeds, String> {
    use xcloud_local::binding::{EVENT_HEADER, FUNCTION_HEADER, ID_HEADER, REMAINING_HEADER, TOKEN_HEADER};
    let call = |kind: &str, body: &str| {
        let headers = [
            (TOKEN_HEADER, "t"),
            (EVENT_HEADER, kind),
            (FUNCTION_HEADER, "fulfil"),
            (ID_HEADER, "r-1"),
            (REMAINING_HEADER, "1500"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ];
        let headers = headers.map(|(name, value)| (name.into(), value.into())).to_vec();
        Input { headers, ..Input::of(body) }
    };
    let batch = r#"{"messages":[{"id":"1","attempt":2,"sent_ms":1795464000123,"attributes":[["a","b"]],"body":"e30="},{"id":"2","body":""}]}"#;
    let mut seeds =
        vec![("queue".to_owned(), call("queue", batch)), ("raw".to_owned(), call("raw", "{\"a\":1}"))];
    let events = cloudevents_seeds()?.into_iter().filter(|(name, _)| name.starts_with("structured"));
    seeds.extend(events.map(|(name, event)| (name, Input { headers: call("record", "").headers, ..event })));
    Ok(seeds)
}

fn local(input: &Input) -> Verdict {
    let mut request = Request::new(Bytes::from(input.body.clone()));
    *request.method_mut() = http::Method::POST;
    *request.headers_mut() = headers(input);
    match xcloud_local::decode::call(request, Some("t")) {
        // Without its token it is an ordinary request.
        Ok(call) if matches!(call.incoming, Incoming::Http(_)) => Verdict::Unknown,
        Ok(call) => {
            if let Incoming::Record(record) = &call.incoming {
                promised(record);
            }
            Verdict::Decoded
        }
        Err(_) => Verdict::Refused,
    }
}

/// Requests in the three modes, with the neutral types and one of an application.
fn cloudevents_seeds() -> Result<Seeds, String> {
    let types = [
        (
            neutral::OBJECT_CREATED,
            r#"{"bucket":"uploads","key":"a b.png","size":5,"etag":"e","version":"1"}"#,
        ),
        (neutral::SCHEDULE_TICK, r#"{"name":"sweep","scheduled":"2026-11-25T00:00:00Z"}"#),
        (
            neutral::CHANGE_UPDATED,
            r#"{"table":"ledger","key":"7","old":{"n":1},"new":{"n":12345678901234567890123}}"#,
        ),
        (neutral::TOPIC_MESSAGE, r#"{"topic":"news","body":"hello","attributes":{"colour":"red"}}"#),
        (neutral::TOPIC_MESSAGE, r#"{"topic":"news","body_base64":"AP8="}"#),
        ("OrderPaid", r#"{"total":7}"#),
    ];
    let pair = |name: &str, value: &str| (name.into(), value.into());
    let mut seeds = Vec::new();
    let mut all = Vec::new();
    for (ty, data) in types {
        let headers = vec![
            pair("ce-specversion", "1.0"),
            pair("ce-id", "e-1"),
            pair("ce-source", "/hand"),
            pair("ce-type", ty),
            pair("ce-time", "2026-11-25T00:00:00.123+01:00"),
            pair("ce-subject", "caf%C3%A9"),
            pair("ce-xcloudattempt", "2"),
            pair("content-type", "application/json"),
        ];
        seeds.push((format!("binary {ty}"), Input { headers, ..Input::of(data) }));
        let event = CloudEvent {
            id: "e-1".to_owned(),
            source: "/hand".to_owned(),
            ty: ty.to_owned(),
            data: Bytes::from(data),
            ..CloudEvent::default()
        };
        let json = cloudevents::to_json(&event).to_string();
        let headers = vec![pair("content-type", "application/cloudevents+json")];
        seeds.push((format!("structured {ty}"), Input { headers, ..Input::of(json.clone()) }));
        all.push(json);
    }
    let headers = vec![pair("content-type", "application/cloudevents-batch+json; charset=utf-8")];
    seeds.push(("batched".to_owned(), Input { headers, ..Input::of(format!("[{}]", all.join(","))) }));
    Ok(seeds)
}

fn cloud_events(input: &Input) -> Verdict {
    let headers = headers(input);
    let events = match cloudevents::mode(&headers) {
        Some(mode) => cloudevents::from_request(mode, &headers, Bytes::from(input.body.clone())),
        None => cloudevents::from_json(&input.body),
    };
    let records: Result<Vec<_>, _> =
        events.and_then(|events| events.into_iter().map(neutral::from_cloud_event).collect());
    let Ok(records) = records else { return Verdict::Refused };
    records.iter().for_each(promised);
    Verdict::Decoded
}

fn schedule_seeds() -> Result<Seeds, String> {
    let texts = [
        "every minute",
        "every 5 minutes",
        "every hour",
        "every 12 hours",
        "every 366 days",
        "*/5 * * * *",
        "0 9 * * 1-5",
        "0 0 1,15 jan-mar *",
        "30 4 29 2 *",
        "0 0 * * mon-fri",
        "59 23 31 12 *",
        "1-59/2 0-23/3 * * 0,6",
    ];
    Ok(texts.into_iter().map(|text| (text.to_owned(), Input::of(text))).collect())
}

fn schedule(input: &Input) -> Verdict {
    let text = String::from_utf8_lossy(&input.body);
    let Ok(schedule) = Schedule::parse(&text) else { return Verdict::Refused };
    let again = Schedule::parse(&schedule.to_string());
    assert_eq!(again.as_ref(), Ok(&schedule), "`{schedule}` is read as another schedule than `{text}`");
    for dialect in Dialect::ALL {
        for zone in [None, Some("Europe/Berlin")] {
            drop(lower(&schedule, zone, dialect));
        }
    }
    Verdict::Decoded
}

fn cbor_seeds() -> Result<Seeds, String> {
    let mut seeds = bodies("alibaba")?;
    seeds.retain(|(_, input)| xcloud_alibaba::decode::cbor::is_map(&input.body));
    // Of RFC 8949, appendix A.
    let vectors: [&[u8]; 8] = [
        b"\x5f\x42\x01\x02\x43\x03\x04\x05\xff",
        b"\x7f\x65strea\x64ming\xff",
        b"\x9f\x01\x82\x02\x03\x9f\x04\x05\xff\xff",
        b"\xbf\x63Fun\xf5\x63Amt\x21\xff",
        b"\xc1\xfb\x41\xd4\x52\xd9\xec\x20\x00\x00",
        b"\xfa\x7f\x7f\xff\xff",
        b"\x83\xf9\x00\x01\xf9\x7c\x00\xf6",
        b"\xa2\x01\x02\x3b\xff\xff\xff\xff\xff\xff\xff\xff\x04",
    ];
    seeds.extend(vectors.iter().map(|bytes| (bytes.escape_ascii().to_string(), Input::of(*bytes))));
    Ok(seeds)
}

fn cbor(input: &Input) -> Verdict {
    let Ok(value) = xcloud_alibaba::decode::cbor::read(&input.body) else { return Verdict::Refused };
    let json = value.to_string();
    if let Err(error) = serde_json::from_str::<Value>(&json) {
        panic!("the value cannot be read as JSON: {error}: {json}");
    }
    Verdict::Decoded
}

fn protobuf_seeds() -> Result<Seeds, String> {
    let mut seeds = requests("gcp")?;
    seeds.retain(|(_, input)| input.headers.iter().any(|(_, value)| value == b"application/protobuf"));
    Ok(seeds)
}

fn protobuf(input: &Input) -> Verdict {
    use xcloud_gcp::decode::{firestore, protobuf};
    let fields = protobuf::Fields::new(&input.body).count();
    match firestore::images(&input.body, Some("application/protobuf")) {
        Ok(images) => {
            for image in [images.old, images.new].into_iter().flatten() {
                let json = Value::Object(image).to_string();
                if let Err(error) = serde_json::from_str::<Value>(&json) {
                    panic!("an image of {fields} fields cannot be read as JSON: {error}: {json}");
                }
            }
            Verdict::Decoded
        }
        Err(_) => Verdict::Refused,
    }
}
