//! Which function takes which event: from a manifest, and events put in by hand.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use serde_json::Value;
use xcloud_core::event::{CloudEvent, ObjectAction, Payload, Record, neutral};
use xcloud_core::spec::{FunctionSpec, ObjectFilter, TriggerSpec};
use xcloud_core::text::{base64_decode, rfc3339};
use xcloud_core::{Error, ErrorKind, Result, cloudevents};
use xcloud_deploy::Emit;
use xcloud_serve::parts::request_id;

use super::api::Manifest;
use super::app::App;
use super::buckets;
use super::store::{Expect, Feed};

/// The queue of a function's events. No queue of an app can have such a name.
pub(crate) fn inbox(function: &str) -> String {
    format!("@{function}")
}

/// Whether a function takes its events from its inbox.
pub(crate) fn has_inbox(function: &FunctionSpec) -> bool {
    !matches!(function.trigger, TriggerSpec::Http { .. } | TriggerSpec::Queue { .. } | TriggerSpec::Raw)
}

/// The inboxes of a manifest's functions.
pub(crate) fn inboxes(manifest: &Manifest) -> Vec<String> {
    manifest.functions.iter().filter(|f| has_inbox(f)).map(|f| inbox(&f.name)).collect()
}

/// The inboxes of the functions whose trigger fits.
fn takers(manifest: &Manifest, fits: impl Fn(&TriggerSpec) -> bool) -> Vec<String> {
    let functions = manifest.functions.iter().filter(|f| fits(&f.trigger));
    let named: Vec<_> = functions.map(|f| inbox(&f.name)).collect();
    if !named.is_empty() {
        return named;
    }
    // What nobody takes goes to whoever takes everything.
    manifest.functions.iter().filter(|f| f.trigger == TriggerSpec::Event).map(|f| inbox(&f.name)).collect()
}

/// Who takes an object's event.
pub(crate) fn of_bucket(manifest: &Manifest, name: &str, action: ObjectAction) -> Vec<String> {
    takers(
        manifest,
        |trigger| matches!(trigger, TriggerSpec::Object { bucket, on } if bucket == name && ObjectFilter::takes(*on, action)),
    )
}

/// Who takes which table's changes.
pub(crate) fn feeds(app: &str, manifest: &Manifest) -> BTreeMap<String, Feed> {
    let mut feeds: BTreeMap<String, Feed> = BTreeMap::new();
    for function in &manifest.functions {
        if let TriggerSpec::Change { table } = &function.trigger {
            let feed = feeds.entry(table.clone()).or_default();
            feed.source = format!("local:{app}/{table}");
            feed.queues.push(inbox(&function.name));
        }
    }
    feeds
}

/// The attributes of an event that begins here.
pub(crate) fn attributes(app: &str, source: &str) -> CloudEvent {
    CloudEvent {
        id: request_id(),
        source: format!("local:{app}/{source}"),
        time: Some(rfc3339(SystemTime::now())),
        ..CloudEvent::default()
    }
}

impl App {
    /// Puts an event in by hand, and says where it went.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] naming what there is; [`ErrorKind::BadRequest`] for an event that is none.
    pub(crate) async fn emit(&self, emit: Emit) -> Result<Vec<String>> {
        let manifest = self.record().manifest.ok_or_else(|| Error::not_found("nothing is deployed"))?;
        let place = self.place();
        let store = &place.store;
        match emit {
            Emit::Object { bucket, key, body_base64, deleted } => {
                known("bucket", &bucket, &self.record().buckets)?;
                let directory = place.bucket(&bucket);
                let body = if deleted { None } else { Some(decoded(body_base64)?) };
                tokio::task::spawn_blocking(move || buckets::write(&directory, &key, body.as_deref()))
                    .await
                    .map_err(|e| Error::handler(e.to_string()))??;
                Ok(vec![format!("bucket {bucket}")])
            }
            Emit::Tick { function } => {
                let is_it = |f: &&FunctionSpec| f.name == function && has_inbox(f);
                if !manifest
                    .functions
                    .iter()
                    .filter(is_it)
                    .any(|f| matches!(f.trigger, TriggerSpec::Schedule { .. }))
                {
                    return Err(none(
                        "scheduled function",
                        &function,
                        manifest.functions.iter().map(|f| &f.name),
                    ));
                }
                let payload = Payload::Tick { name: Some(function.clone()), scheduled: SystemTime::now() };
                let record = Record::new(attributes(&place.key, &function), payload, function.clone());
                self.put(vec![inbox(&function)], &record).await
            }
            Emit::Message { queue, body_base64 } => {
                known("queue", &queue, &self.record().queues)?;
                store.send(&queue, vec![decoded(body_base64)?]).await?;
                Ok(vec![format!("queue {queue}")])
            }
            Emit::Topic { topic, body_base64, attributes: own } => {
                known("topic", &topic, &self.record().topics)?;
                let to =
                    takers(&manifest, |t| matches!(t, TriggerSpec::Topic { topic: name } if *name == topic));
                let payload =
                    Payload::Topic { body: decoded(body_base64)?, attributes: own.into_iter().collect() };
                let record = Record::new(attributes(&place.key, &topic), payload, topic.clone());
                self.put(to, &record).await
            }
            Emit::Change { table, key, row } => {
                known("table", &table, &self.record().tables)?;
                match row {
                    Some(row) => {
                        store
                            .put(&table, &key, Bytes::from(row.to_string()), Expect::Anything)
                            .await
                            .map(drop)?;
                    }
                    None => drop(store.delete(&table, &key, Expect::Anything).await?),
                }
                Ok(vec![format!("table {table}")])
            }
            Emit::Event { event } => {
                let to = takers(&manifest, |trigger| *trigger == TriggerSpec::Event);
                if to.is_empty() {
                    return Err(Error::not_found("no function takes any CloudEvent (`#[handler(event)]`)"));
                }
                let event = whole(&place.key, event)?;
                let source = event.source.clone();
                self.put(to, &Record::new(event, Payload::Event, source)).await
            }
        }
    }

    async fn put(&self, to: Vec<String>, record: &Record) -> Result<Vec<String>> {
        self.place().store.emit(&to, record, None).await?;
        Ok(to.iter().map(|inbox| format!("function {}", &inbox[1..])).collect())
    }
}

fn known(what: &str, name: &str, there: &std::collections::BTreeSet<String>) -> Result<()> {
    if there.contains(name) { Ok(()) } else { Err(none(what, name, there)) }
}

fn none<'a>(what: &str, name: &str, there: impl IntoIterator<Item = &'a String>) -> Error {
    let there: Vec<&str> = there.into_iter().map(String::as_str).collect();
    let there =
        if there.is_empty() { "there is none".to_owned() } else { format!("there is {}", there.join(", ")) };
    Error::not_found(format!("the app has no {what} `{name}`; {there}"))
}

fn decoded(base64: String) -> Result<Bytes> {
    let bytes =
        base64_decode(base64.as_bytes()).ok_or_else(|| Error::bad_request("the body is not base64"))?;
    Ok(bytes.into())
}

/// An event in the neutral form, from what was typed: what reads it in the function will understand it.
///
/// # Errors
/// [`ErrorKind::BadRequest`]: it is no CloudEvent, or its data is not what its type says.
pub(crate) fn typed(app: &str, body: &[u8]) -> Result<Bytes> {
    let event = serde_json::from_slice(body)
        .map_err(|e| Error::bad_request(format!("the event is not JSON: {e}")))?;
    let event = whole(app, event)?;
    let text = cloudevents::to_json(&event).to_string();
    neutral::from_cloud_event(event).map_err(|e| Error::new(ErrorKind::BadRequest, e.message()))?;
    Ok(text.into())
}

/// A CloudEvent, completed where it may be: what is typed by hand needs a type alone.
fn whole(app: &str, event: Value) -> Result<CloudEvent> {
    let Value::Object(mut event) = event else {
        return Err(Error::bad_request("a CloudEvent is a JSON object"));
    };
    let made = attributes(app, "emit");
    for (name, value) in [
        ("specversion", "1.0".to_owned()),
        ("id", made.id),
        ("source", made.source),
        ("type", "dev.xcloud.emit".to_owned()),
    ] {
        event.entry(name).or_insert_with(|| value.into());
    }
    let mut events = cloudevents::from_json(Value::Object(event).to_string().as_bytes())
        .map_err(|e| Error::new(ErrorKind::BadRequest, e.message()))?;
    events.pop().ok_or_else(|| Error::bad_request("no CloudEvent"))
}
