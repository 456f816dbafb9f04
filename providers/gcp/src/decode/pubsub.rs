//! Pub/Sub: push with its wrapper (<https://cloud.google.com/pubsub/docs/push>), and the same wrapper as data of
//! Eventarc's CloudEvent.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use xcloud_core::event::{Batch, CloudEvent, Incoming, RawMessage};
use xcloud_core::text::{base64_decode, parse_rfc3339};

use super::Delivery;
use crate::binding::PUBSUB_TYPE;

#[derive(Deserialize)]
struct Push<'a> {
    #[serde(borrow)]
    message: Message<'a>,
    #[serde(borrow, default)]
    subscription: Option<Cow<'a, str>>,
    #[serde(default, rename = "deliveryAttempt")]
    attempt: Option<u32>,
}

/// Names come in camel case, in snake case, or both at once (google-cloudevents testdata
/// `MessagePublishedData-duplicatedFields.json`).
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    data: Option<Cow<'a, str>>,
    #[serde(default)]
    attributes: Option<BTreeMap<String, String>>,
    #[serde(default, rename = "messageId")]
    id: Option<String>,
    #[serde(default, rename = "message_id")]
    snake_id: Option<String>,
    #[serde(default, rename = "publishTime")]
    time: Option<String>,
    #[serde(default, rename = "publish_time")]
    snake_time: Option<String>,
}

/// Whether a body has the shape of a push.
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

/// One message. What came as a CloudEvent stays it; a push is made one.
pub(super) fn delivery(body: &Bytes, event: Option<CloudEvent>) -> Result<Delivery, String> {
    let Push { message, subscription, attempt } =
        serde_json::from_slice(body).map_err(|e| format!("not a Pub/Sub push: {e}"))?;
    let id = message.id.or(message.snake_id).filter(|id| !id.is_empty());
    let id = id.ok_or("the Pub/Sub message has no `messageId`")?;
    let data = message.data.as_deref().unwrap_or("");
    let data = base64_decode(data.as_bytes()).ok_or("the Pub/Sub message's `data` is not base64")?;
    let time = message.time.or(message.snake_time);
    // 0 says that the subscription does not count (google.events.cloud.pubsub.v1, `delivery_attempt`).
    let attempt = attempt.filter(|&n| n > 0);
    let raw = RawMessage {
        id: id.clone(),
        body: data.into(),
        attempt,
        sent: time.as_deref().and_then(parse_rfc3339),
        attributes: message.attributes.unwrap_or_default().into_iter().collect(),
    };
    let subscription = subscription.unwrap_or_default();
    let event = event.unwrap_or_else(|| CloudEvent {
        id,
        source: format!("//pubsub.googleapis.com/{subscription}"),
        ty: PUBSUB_TYPE.to_owned(),
        time,
        datacontenttype: Some("application/json".to_owned()),
        data: body.clone(),
        ..CloudEvent::default()
    });
    // Eventarc makes a subscription of its own, whose name says nothing.
    let topic = event.source.split_once("/topics/").map(|(_, topic)| topic.to_owned());
    let subscription = subscription.rsplit('/').next().unwrap_or_default();
    let mut names: Vec<_> = topic.into_iter().collect();
    if !subscription.is_empty() || names.is_empty() {
        names.push(subscription.to_owned());
    }
    Ok(Delivery {
        id: Some(event.id.clone()),
        attempt,
        names,
        incoming: Incoming::Queue(Batch { messages: vec![raw] }),
        event: Some(event),
        body: None,
    })
}
