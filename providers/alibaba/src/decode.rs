//! Wire to event: what a request is, and the CloudEvents of message queues, one or an array of them.

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use serde_json::{Map, Value};
use xcloud_core::cloudevents;
use xcloud_core::event::{Batch, CloudEvent, Incoming, RawMessage};
use xcloud_core::text::parse_rfc3339;
use xcloud_core::{Error, ErrorKind, Result};

use crate::binding::{
    CONTROL_HEADER, HEADER_PREFIX, HTTP_INVOKE, INITIALIZE, INVOKE, MNS_TYPE, MQ_TYPE, PRE_STOP,
};

/// What the platform wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// A client's request.
    Http,
    /// An event.
    Event,
    /// The initializer hook.
    Initialize,
    /// The hook before the instance ends.
    PreStop,
}

/// Tells what a request is. The platform lets no client's `x-fc-` header through, so the control path is its own word;
/// the path alone is not: an app may have a route `/invoke`.
///
/// # Errors
/// [`ErrorKind::BadEvent`]: a control path that is not documented, or not with this method and path.
pub fn call(method: &Method, path: &str, headers: &HeaderMap) -> Result<Call> {
    let Some(control) = headers.get(CONTROL_HEADER) else { return Ok(Call::Http) };
    let control = control.to_str().unwrap_or("");
    match (control, method, path) {
        (HTTP_INVOKE, _, _) => Ok(Call::Http),
        (INVOKE, &Method::POST, INVOKE) => Ok(Call::Event),
        (INITIALIZE, &Method::POST, INITIALIZE) => Ok(Call::Initialize),
        (PRE_STOP, &Method::GET, PRE_STOP) => Ok(Call::PreStop),
        _ => Err(bad(format!("{CONTROL_HEADER}: {control} with {method} {path} is not a documented call"))),
    }
}

/// A client's request as the handler sees it: without the platform's headers, which carry the role's credentials.
pub fn http(mut request: Request<Bytes>) -> Request<Bytes> {
    let ours: Vec<_> =
        request.headers().keys().filter(|name| name.as_str().starts_with(HEADER_PREFIX)).cloned().collect();
    for name in ours {
        request.headers_mut().remove(name);
    }
    request
}

/// An event and the queue it is of.
#[derive(Debug)]
pub struct Delivery {
    /// The queue's or topic's name; `None` for what is no message.
    pub queue: Option<String>,
    /// The event.
    pub incoming: Incoming,
}

/// Reads an event: messages of one queue, or anything else for the raw handler.
///
/// # Errors
/// [`ErrorKind::BadEvent`]: a message that is not of the documented shape, or messages of several queues at once.
pub fn event(body: &Bytes) -> Result<Delivery> {
    let raw = || Delivery { queue: None, incoming: Incoming::Raw(body.clone()) };
    let Ok(events) = cloudevents::from_json(body) else { return Ok(raw()) };
    let is_message = |event: &CloudEvent| event.ty == MNS_TYPE || event.ty == MQ_TYPE;
    if events.is_empty() || !events.iter().any(is_message) {
        return Ok(raw());
    }
    let mut queue: Option<String> = None;
    let mut messages = Vec::with_capacity(events.len());
    for event in events {
        let (name, message) = message(event)?;
        if queue.as_ref().is_some_and(|seen| *seen != name) {
            let seen = queue.unwrap_or_default();
            return Err(bad(format!("one call brings messages of two queues: `{seen}` and `{name}`")));
        }
        queue = Some(name);
        messages.push(message);
    }
    Ok(Delivery { queue, incoming: Incoming::Queue(Batch { messages }) })
}

fn message(event: CloudEvent) -> Result<(String, RawMessage)> {
    let mut data: Map<String, Value> = serde_json::from_slice(&event.data)
        .map_err(|e| bad(format!("the data of message `{}` is not an object: {e}", event.id)))?;
    let (queue, body) = match event.ty.as_str() {
        MNS_TYPE => (subject_queue(&event), data.remove("messageBody")),
        MQ_TYPE => (data.get("topic").and_then(Value::as_str).map(str::to_owned), data.remove("body")),
        other => return Err(bad(format!("event `{}` of type {other} among messages of a queue", event.id))),
    };
    let body = match body {
        Some(Value::String(text)) => text.into_bytes(),
        // EventBridge may have parsed it on the way.
        Some(other) => other.to_string().into_bytes(),
        None => return Err(bad(format!("message `{}` has no body", event.id))),
    };
    let id = match data.remove("messageId") {
        Some(Value::String(id)) if !id.is_empty() => id,
        _ => event.id,
    };
    let sent = event.time.as_deref().and_then(parse_rfc3339);
    let message = RawMessage { id, body: body.into(), attempt: None, sent, attributes: Vec::new() };
    Ok((queue.unwrap_or_default(), message))
}

/// `acs:mns:<region>:<account>:queues/<name>`; the source `MNS-Function-<trigger>` names only the trigger.
fn subject_queue(event: &CloudEvent) -> Option<String> {
    let (_, name) = event.subject.as_deref()?.rsplit_once("queues/")?;
    Some(name.split('/').next().unwrap_or(name).to_owned())
}

fn bad(message: String) -> Error {
    Error::new(ErrorKind::BadEvent, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MNS: &str = r#"{"id":"c2g71017-6f65-fhcf-a814-a396fc8d****","source":"MNS-Function-mnstrigger","specversion":"1.0","type":"mns:Queue:SendMessage","datacontenttype":"application/json; charset=utf-8","subject":"acs:mns:cn-hangzhou:164901546557****:queues/zeus","time":"2021-04-08T06:28:17.093Z","aliyunaccountid":"1649015465574023","data":{"requestId":"606EA3074344430D4C81C3EB","messageId":"C6DB60D1574661357FA227277445****","messageBody":"TEST"}}"#;

    fn batch(body: &str) -> (String, Vec<RawMessage>) {
        let delivery = event(&Bytes::from(body.to_owned())).unwrap();
        let Incoming::Queue(batch) = delivery.incoming else { panic!("{:?}", delivery.incoming) };
        (delivery.queue.unwrap(), batch.messages)
    }

    #[test]
    fn messages_come_alone_or_in_arrays() {
        for (body, count) in [(MNS.to_owned(), 1), (format!("[{MNS},{MNS}]"), 2)] {
            let (queue, messages) = batch(&body);
            assert_eq!((queue.as_str(), messages.len()), ("zeus", count));
            assert_eq!(messages[0].id, "C6DB60D1574661357FA227277445****");
            assert_eq!(messages[0].body, "TEST");
            assert!(messages[0].sent.is_some());
        }
    }

    #[test]
    fn a_body_that_was_parsed_on_the_way_is_written_again() {
        let (_, messages) = batch(&MNS.replace(r#""messageBody":"TEST""#, r#""messageBody":{"a":1}"#));
        assert_eq!(messages[0].body, r#"{"a":1}"#);
    }

    #[test]
    fn topics_of_rocketmq_are_queues_too() {
        let mq = r#"{"id":"94ebc15f-f0db-4bbe-acce-56fb72fb****","source":"RocketMQ-Function-t","specversion":"1.0","type":"mq:Topic:SendMessage","subject":"acs:mq:cn-hangzhou:164901546557****:t","data":{"topic":"TopicName","systemProperties":{"KEYS":"k"},"userProperties":{},"body":"TEST"}}"#;
        let (queue, messages) = batch(mq);
        assert_eq!(
            (queue.as_str(), messages[0].id.as_str()),
            ("TopicName", "94ebc15f-f0db-4bbe-acce-56fb72fb****")
        );
    }

    #[test]
    fn other_events_are_raw_and_mixed_ones_refused() {
        for body in [r#"{"events":[{"eventSource":"acs:oss"}]}"#, "", "not json", "[]"] {
            let delivery = event(&Bytes::from(body)).unwrap();
            assert!(matches!(delivery.incoming, Incoming::Raw(_)), "{body}");
        }
        let other = MNS.replace("queues/zeus", "queues/hera");
        assert!(
            event(&Bytes::from(format!("[{MNS},{other}]"))).unwrap_err().message().contains("two queues")
        );
        let without = MNS.replace("messageBody", "body");
        assert!(event(&Bytes::from(without)).unwrap_err().message().contains("no body"));
    }

    #[test]
    fn only_the_documented_control_paths_are_calls() {
        let with = |control: Option<&str>, method: Method, path: &str| {
            let mut headers = HeaderMap::new();
            if let Some(control) = control {
                headers.insert(CONTROL_HEADER, control.parse().unwrap());
            }
            call(&method, path, &headers).ok()
        };
        assert_eq!(with(Some("/invoke"), Method::POST, "/invoke"), Some(Call::Event));
        assert_eq!(with(Some("/http-invoke"), Method::POST, "/invoke"), Some(Call::Http));
        assert_eq!(with(None, Method::POST, "/invoke"), Some(Call::Http));
        assert_eq!(with(Some("/initialize"), Method::POST, "/initialize"), Some(Call::Initialize));
        assert_eq!(with(Some("/pre-stop"), Method::GET, "/pre-stop"), Some(Call::PreStop));
        assert_eq!(with(Some("/invoke"), Method::GET, "/"), None);
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body: Vec<u8>, data in "\\PC*", at in 0..700usize) {
            drop(event(&body.into()));
            let cut: String = MNS.chars().take(at).collect();
            drop(event(&Bytes::from(cut)));
            drop(event(&Bytes::from(MNS.replace("\"TEST\"", &data))));
        }
    }
}
