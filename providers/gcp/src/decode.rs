//! Wire to event: Pub/Sub push (<https://cloud.google.com/pubsub/docs/push>), CloudEvents as Eventarc and Knative
//! deliver them, and whatever else is posted to an event function.

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use xcloud_core::cloudevents::{self, Mode};
use xcloud_core::event::{Batch, CloudEvent, Incoming, RawMessage};
use xcloud_core::text::{base64_decode, parse_rfc3339};
use xcloud_core::{Error, ErrorKind, Result};

use crate::binding::PUBSUB_TYPE;

/// One event of a delivery.
#[derive(Debug)]
pub struct Delivery {
    /// The platform's id of the event.
    pub id: Option<String>,
    /// Which delivery this is, where the platform tells.
    pub attempt: Option<u32>,
    /// The topic or subscription of a message; `None` for other events.
    pub queue: Option<String>,
    /// The event.
    pub incoming: Incoming,
}

#[derive(Deserialize)]
struct Push<'a> {
    #[serde(borrow)]
    message: PushMessage<'a>,
    #[serde(borrow, default)]
    subscription: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, rename = "deliveryAttempt")]
    attempt: Option<u32>,
}

/// Names come in camel case, in snake case, or both at once (google-cloudevents testdata
/// `MessagePublishedData-duplicatedFields.json`).
#[derive(Deserialize)]
struct PushMessage<'a> {
    #[serde(borrow, default)]
    data: Option<std::borrow::Cow<'a, str>>,
    #[serde(default)]
    attributes: Option<std::collections::BTreeMap<String, String>>,
    #[serde(default, rename = "messageId")]
    id: Option<String>,
    #[serde(default, rename = "message_id")]
    snake_id: Option<String>,
    #[serde(default, rename = "publishTime")]
    time: Option<String>,
    #[serde(default, rename = "publish_time")]
    snake_time: Option<String>,
}

/// Whether a body has the shape of a Pub/Sub push.
pub fn is_push(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Shape {
        message: serde::de::IgnoredAny,
        #[serde(default)]
        subscription: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_slice::<Shape>(body).is_ok_and(|shape| {
        let Shape { message: serde::de::IgnoredAny, subscription } = shape;
        subscription.is_some()
    })
}

/// Reads the events that a request carries.
///
/// # Errors
/// [`ErrorKind::BadEvent`] saying what was expected.
pub fn request(headers: &HeaderMap, body: Bytes) -> Result<Vec<Delivery>> {
    match cloudevents::mode(headers) {
        Some(mode) => cloudevents::from_request(mode, headers, body)?.into_iter().map(cloud_event).collect(),
        None if is_push(&body) => Ok(vec![push(&body, None)?]),
        None if body.is_empty() => Err(bad("the request carries no event: no body and no `ce-` headers")),
        None => Ok(vec![Delivery { id: None, attempt: None, queue: None, incoming: Incoming::Raw(body) }]),
    }
}

/// One CloudEvent: a Pub/Sub message is a message, anything else goes to the raw handler in structured form.
fn cloud_event(event: CloudEvent) -> Result<Delivery> {
    if event.ty == PUBSUB_TYPE {
        let mut delivery = push(&event.data, Some(&event.source))?;
        delivery.id = Some(event.id);
        return Ok(delivery);
    }
    let json = cloudevents::to_json(&event).to_string();
    Ok(Delivery { id: Some(event.id), attempt: None, queue: None, incoming: Incoming::Raw(json.into()) })
}

fn push(body: &[u8], source: Option<&str>) -> Result<Delivery> {
    let Push { message, subscription, attempt } =
        serde_json::from_slice(body).map_err(|e| bad(format!("not a Pub/Sub push: {e}")))?;
    let id = message.id.or(message.snake_id).ok_or_else(|| bad("the Pub/Sub message has no `messageId`"))?;
    let data = message.data.as_deref().unwrap_or("");
    let body =
        base64_decode(data.as_bytes()).ok_or_else(|| bad("the Pub/Sub message's `data` is not base64"))?;
    let name = subscription.as_deref().or(source).unwrap_or("");
    let raw = RawMessage {
        id: id.clone(),
        body: body.into(),
        attempt,
        sent: message.time.or(message.snake_time).as_deref().and_then(parse_rfc3339),
        attributes: message.attributes.unwrap_or_default().into_iter().collect(),
    };
    Ok(Delivery {
        id: Some(id),
        attempt,
        queue: Some(name.rsplit('/').next().unwrap_or(name).to_owned()),
        incoming: Incoming::Queue(Batch { messages: vec![raw] }),
    })
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadEvent, message)
}

/// Whether a request says of itself that it carries an event.
pub fn claims_event(headers: &HeaderMap, body: &[u8]) -> bool {
    matches!(cloudevents::mode(headers), Some(Mode::Binary | Mode::Structured | Mode::Batched))
        || is_push(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_with_both_spellings_of_its_names_is_one_message() {
        let body =
            br#"{"message":{"attributes":{"k":"v"},"data":"eyJhIjoxfQ==","messageId":"7","message_id":"7",
            "publishTime":"2026-11-23T00:00:00Z","publish_time":"2026-11-23T00:00:00Z"},
            "subscription":"projects/p/subscriptions/shop-dev-order-placed","deliveryAttempt":3}"#;
        let mut all = request(&HeaderMap::new(), Bytes::from_static(body)).unwrap();
        let delivery = all.remove(0);
        assert_eq!(delivery.queue.as_deref(), Some("shop-dev-order-placed"));
        assert_eq!(delivery.attempt, Some(3));
        let Incoming::Queue(batch) = delivery.incoming else { panic!("{delivery:?}") };
        assert_eq!(&batch.messages[0].body[..], br#"{"a":1}"#);
        assert_eq!(batch.messages[0].attributes, [("k".to_owned(), "v".to_owned())]);
        assert!(batch.messages[0].sent.is_some());
    }

    #[test]
    fn broken_pushes_say_what_is_wrong() {
        for (body, what) in [
            (r#"{"message":{"messageId":"1","data":"!"},"subscription":"s"}"#, "base64"),
            (r#"{"message":{"data":""},"subscription":"s"}"#, "messageId"),
            (r#"{"message":7,"subscription":"s"}"#, "Pub/Sub"),
        ] {
            let error = request(&HeaderMap::new(), Bytes::from(body)).unwrap_err();
            assert!(error.message().contains(what), "{body}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_it_panic(body: Vec<u8>, tail in "\\PC*") {
            drop(request(&HeaderMap::new(), Bytes::from(body)));
            let near = format!(r#"{{"message":{{"data":"{tail}","messageId":"1"}},"subscription":"{tail}"}}"#);
            drop(request(&HeaderMap::new(), Bytes::from(near)));
        }
    }
}
