//! Wire to event: telling the host's events from requests, and reading batches.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request};
use xcloud_core::cloudevents;
use xcloud_core::event::{Batch, Incoming, RawMessage, Record, neutral};
use xcloud_core::text::base64_decode;
use xcloud_core::{Error, ErrorKind, Result};

use crate::binding::{
    EVENT_HEADER, FUNCTION_HEADER, HEADER_PREFIX, ID_HEADER, REMAINING_HEADER, TOKEN_HEADER, WireBatch,
};

/// One call of the host.
#[derive(Debug)]
pub struct Call {
    /// The request or event, the host's headers taken off.
    pub incoming: Incoming,
    /// The call's id, when the host gave one.
    pub id: Option<String>,
    /// The time until the host gives up, when it says.
    pub remaining: Option<Duration>,
    /// The caller's `traceparent`.
    pub trace: Option<String>,
    /// The event's function, when the host names one.
    pub function: Option<String>,
}

/// Reads one call. With `token` a `POST` that carries it is an event; every other request is an ordinary one, whatever
/// its body looks like.
///
/// # Errors
/// [`ErrorKind::BadEvent`]: the host's own event is not of its documented shape.
pub fn call(request: Request<Bytes>, token: Option<&str>) -> Result<Call> {
    call_with(request, token, record)
}

/// As [`call`], with another way to read a record.
///
/// # Errors
/// As those of [`call`], and what `record` returns.
pub fn call_with(
    mut request: Request<Bytes>,
    token: Option<&str>,
    record: impl FnOnce(&[u8]) -> Result<Record>,
) -> Result<Call> {
    let headers = request.headers();
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let id = text(ID_HEADER).filter(|id| !id.is_empty()).map(str::to_owned);
    let remaining = text(REMAINING_HEADER).and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
    let trace = text("traceparent").map(str::to_owned);
    let sent = headers.get(TOKEN_HEADER).map(|v| v.as_bytes());
    let is_event = request.method() == Method::POST
        && token.zip(sent).is_some_and(|(token, sent)| equal(token.as_bytes(), sent));
    if !is_event {
        strip(request.headers_mut());
        return Ok(Call { incoming: Incoming::Http(request), id, remaining, trace, function: None });
    }
    let function = text(FUNCTION_HEADER).map(str::to_owned);
    let incoming = match text(EVENT_HEADER) {
        Some("queue") => Incoming::Queue(batch(request.body())?),
        Some("raw") => Incoming::Raw(request.into_body()),
        Some("record") => Incoming::Record(Box::new(record(request.body())?)),
        other => {
            return Err(bad(format!("header {EVENT_HEADER} is {other:?}, not `queue`, `raw` or `record`")));
        }
    };
    Ok(Call { incoming, id, remaining, trace, function })
}

/// Reads the body of a queue event.
///
/// # Errors
/// [`ErrorKind::BadEvent`] naming the message.
pub fn batch(body: &[u8]) -> Result<Batch> {
    let wire: WireBatch<'_> =
        serde_json::from_slice(body).map_err(|e| bad(format!("the body is not a batch: {e}")))?;
    let message = |wire: crate::binding::WireMessage<'_>| {
        let body = base64_decode(wire.body.as_bytes())
            .ok_or_else(|| bad(format!("the body of message `{}` is not base64", wire.id)))?;
        Ok(RawMessage {
            id: wire.id.into_owned(),
            body: body.into(),
            attempt: wire.attempt,
            sent: wire.sent_ms.and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms))),
            attributes: wire.attributes,
        })
    };
    Ok(Batch { messages: wire.messages.into_iter().map(message).collect::<Result<_>>()? })
}

/// Reads one event in the neutral form.
///
/// # Errors
/// [`ErrorKind::BadEvent`]: it is not one CloudEvent, or not of its type's shape.
pub fn record(body: &[u8]) -> Result<Record> {
    let mut events = cloudevents::from_json(body)?;
    match (events.pop(), events.is_empty()) {
        (Some(event), true) => neutral::from_cloud_event(event),
        _ => Err(bad("the body is not one CloudEvent".to_owned())),
    }
}

/// Takes the host's headers off: the front does it to what clients send, the process to what handlers see.
pub fn strip(headers: &mut HeaderMap) {
    let ours = |name: &&HeaderName| name.as_str().starts_with(HEADER_PREFIX);
    let names: Vec<_> = headers.keys().filter(ours).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Compares without telling by its duration where they differ.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
}

fn bad(message: String) -> Error {
    Error::new(ErrorKind::BadEvent, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(headers: &[(&str, &str)], body: &str) -> Request<Bytes> {
        let builder = headers.iter().fold(Request::post("/"), |b, (name, value)| b.header(*name, *value));
        builder.body(Bytes::from(body.to_owned())).unwrap()
    }

    const BATCH: &str = r#"{"messages":[{"id":"1","attempt":2,"sent_ms":1795464000123,"attributes":[["a","b"]],"body":"e30="}]}"#;

    #[test]
    fn a_post_with_the_token_is_an_event() {
        let headers = [
            (TOKEN_HEADER, "secret"),
            (EVENT_HEADER, "queue"),
            (FUNCTION_HEADER, "fulfil"),
            (ID_HEADER, "r-1"),
            (REMAINING_HEADER, "1500"),
            ("traceparent", "00-1-2-01"),
        ];
        let call = call(event(&headers, BATCH), Some("secret")).unwrap();
        assert_eq!((call.id.as_deref(), call.function.as_deref()), (Some("r-1"), Some("fulfil")));
        assert_eq!(call.remaining, Some(Duration::from_millis(1500)));
        assert_eq!(call.trace.as_deref(), Some("00-1-2-01"));
        let Incoming::Queue(batch) = call.incoming else { panic!("not a batch") };
        let message = &batch.messages[0];
        assert_eq!((message.id.as_str(), &message.body[..], message.attempt), ("1", &b"{}"[..], Some(2)));
        assert_eq!(message.sent, Some(UNIX_EPOCH + Duration::from_millis(1_795_464_000_123)));
        assert_eq!(message.attributes, [("a".to_owned(), "b".to_owned())]);
    }

    #[test]
    fn a_forged_event_is_an_ordinary_request_without_the_hosts_headers() {
        for (sent, token) in
            [("guess", Some("secret")), ("secret", None), ("", Some("secret")), ("secre", Some("secret"))]
        {
            let headers = [(TOKEN_HEADER, sent), (EVENT_HEADER, "queue"), ("x-other", "stays")];
            let call = call(event(&headers, BATCH), token).unwrap();
            let Incoming::Http(request) = call.incoming else { panic!("taken for an event") };
            assert_eq!(request.headers().len(), 1);
            assert_eq!(&request.body()[..], BATCH.as_bytes());
        }
        let mut get = event(&[(TOKEN_HEADER, "secret"), (EVENT_HEADER, "queue")], BATCH);
        *get.method_mut() = Method::GET;
        assert!(matches!(call(get, Some("secret")).unwrap().incoming, Incoming::Http(_)));
    }

    #[test]
    fn a_malformed_event_says_what_is_wrong() {
        let with = |kind: &str, body: &str| {
            call(event(&[(TOKEN_HEADER, "s"), (EVENT_HEADER, kind)], body), Some("s"))
                .unwrap_err()
                .to_string()
        };
        assert!(with("topic", "").contains("topic"));
        assert!(with("queue", "{}").contains("messages"));
        assert!(with("queue", r#"{"messages":[{"id":"m-1","body":"a"}]}"#).contains("m-1"));
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..400)) {
            drop(batch(&body));
        }

        #[test]
        fn no_batch_makes_it_panic(id in ".*", body in ".*", sent in any::<u64>(), attempt in any::<i64>()) {
            let json = serde_json::json!({"messages": [{"id": id, "body": body, "sent_ms": sent, "attempt": attempt}]});
            drop(batch(json.to_string().as_bytes()));
        }
    }
}
