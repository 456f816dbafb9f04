//! Calls that are made up: from what the app says of itself, and what was typed.

use std::time::SystemTime;

use bytes::Bytes;
#[cfg(feature = "local")]
use xcloud_core::event::{Batch, Incoming, RawMessage};
use xcloud_core::event::{ChangeKind, CloudEvent, ObjectAction, Payload, Record, neutral};
use xcloud_core::spec::{FunctionSpec, ObjectFilter, Spec, TriggerSpec};
use xcloud_core::text::rfc3339;
use xcloud_core::{Error, ErrorKind, Result, cloudevents};
use xcloud_deploy::Invoke;
use xcloud_serve::parts::request_id;

use crate::args::Example;

/// What is sent where nothing else is said and something must be.
const BODY: &[u8] = b"{}";
/// The key of an object or a row that nobody has named.
const KEY: &str = "example";

/// Completes a call: the function, for HTTP its method and path, and for what is neither a request nor a message the
/// CloudEvent around the data.
///
/// # Errors
/// [`ErrorKind::Config`]: the app has no such function, or its kind has no such data.
pub(super) fn complete(kind: Example, spec: &Spec, mut call: Invoke) -> Result<Invoke> {
    let function = function(kind, spec, &call.function)?;
    call.function.clone_from(&function.name);
    if let TriggerSpec::Http { routes, .. } = &function.trigger {
        let route = routes.first();
        if call.path.is_none() {
            call.path = Some(route.map_or("/".to_owned(), |route| path(&route.path)));
            call.method = call.method.or_else(|| route.and_then(|route| route.method.clone()));
        }
        let takes = call.method.as_deref().is_some_and(|m| ["POST", "PUT", "PATCH"].contains(&m));
        if call.data.is_empty() && takes {
            call.data = BODY.to_vec();
        }
        return Ok(call);
    }
    if let Some(record) = record(function, &call.data)? {
        call.data = cloudevents::to_json(&neutral::to_cloud_event(&record)).to_string().into_bytes();
    } else if call.data.is_empty() {
        call.data = BODY.to_vec();
    }
    Ok(call)
}

/// What would have happened for this function to be called; none where it takes requests, messages or anything.
fn record(function: &FunctionSpec, data: &[u8]) -> Result<Option<Record>> {
    let now = SystemTime::now();
    let body = || Bytes::copy_from_slice(if data.is_empty() { BODY } else { data });
    let (source, payload) = match &function.trigger {
        TriggerSpec::Object { bucket, on } => (bucket, object(bucket, *on, data)?),
        TriggerSpec::Schedule { .. } if !data.is_empty() => return Err(config("a schedule has no data")),
        TriggerSpec::Schedule { .. } => {
            (&function.name, Payload::Tick { name: Some(function.name.clone()), scheduled: now })
        }
        TriggerSpec::Change { table } => {
            let (kind, key) = (ChangeKind::Created, KEY.to_owned());
            (table, Payload::Change { kind, key, old: None, new: Some(body()) })
        }
        TriggerSpec::Topic { topic } => (topic, Payload::Topic { body: body(), attributes: Vec::new() }),
        TriggerSpec::Event => (&function.name, Payload::Event),
        _ => return Ok(None),
    };
    let mut event = CloudEvent {
        id: request_id(),
        source: format!("xcloud:example/{source}"),
        time: Some(rfc3339(now)),
        ..CloudEvent::default()
    };
    if payload == Payload::Event {
        event.ty = "dev.xcloud.example".to_owned();
        event.datacontenttype = Some("application/json".to_owned());
        event.data = body();
    }
    Ok(Some(Record::new(event, payload, source.clone())))
}

/// Nothing is put into the bucket: there is only the event.
fn object(bucket: &str, on: ObjectFilter, data: &[u8]) -> Result<Payload> {
    let key = std::str::from_utf8(data).map_err(|_| config("the object's key is not text"))?;
    let key = if key.is_empty() { KEY } else { key };
    let (action, size) = match on {
        ObjectFilter::Deleted => (ObjectAction::Deleted, None),
        ObjectFilter::Created | ObjectFilter::Any => (ObjectAction::Created, Some(0)),
    };
    let (bucket, key) = (bucket.to_owned(), key.to_owned());
    Ok(Payload::Object { bucket, key, action, size, etag: None, version: None })
}

fn config(message: &str) -> Error {
    Error::new(ErrorKind::Config, message)
}

/// The named function, or the first of the kind.
fn function<'a>(kind: Example, spec: &'a Spec, name: &str) -> Result<&'a FunctionSpec> {
    let fits = |f: &&FunctionSpec| f.trigger.kind() == kind.as_str() && (name.is_empty() || f.name == name);
    spec.functions.iter().find(fits).ok_or_else(|| {
        let has: Vec<_> =
            spec.functions.iter().map(|f| format!("{} ({})", f.name, f.trigger.kind())).collect();
        let of = if name.is_empty() { String::new() } else { format!(" named `{name}`") };
        let message = format!("the app has no {} function{of}; it has {}", kind.as_str(), has.join(", "));
        Error::new(ErrorKind::Config, message)
    })
}

/// A path that a pattern matches: every parameter is `1`.
fn path(pattern: &str) -> String {
    let segment = |segment: &str| if segment.starts_with('{') { "1".to_owned() } else { segment.to_owned() };
    pattern.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// The call as an event, as hosts take it.
///
/// # Errors
/// [`ErrorKind::Config`]: method, path or a header is none.
#[cfg(feature = "local")]
pub(super) fn event(call: &Invoke, spec: &Spec) -> Result<(String, Incoming)> {
    let trigger = spec.function(&call.function).map(|f| &f.trigger);
    let data = Bytes::from(call.data.clone());
    Ok(match trigger {
        Some(TriggerSpec::Queue { queue, .. }) => {
            let message = RawMessage {
                id: "1".to_owned(),
                body: data,
                attempt: Some(1),
                sent: Some(std::time::SystemTime::now()),
                attributes: Vec::new(),
            };
            (queue.clone(), Incoming::Queue(Batch { messages: vec![message] }))
        }
        Some(TriggerSpec::Http { .. }) => (String::new(), Incoming::Http(request(call, data)?)),
        Some(TriggerSpec::Raw) | None => (String::new(), Incoming::Raw(data)),
        Some(_) => {
            let record = xcloud_local::decode::record(&data)?;
            (record.source.clone(), Incoming::Record(Box::new(record)))
        }
    })
}

#[cfg(feature = "local")]
fn request(call: &Invoke, data: Bytes) -> Result<http::Request<Bytes>> {
    let otherwise = if data.is_empty() { "GET" } else { "POST" };
    let mut request = http::Request::builder()
        .method(call.method.as_deref().unwrap_or(otherwise))
        .uri(call.path.as_deref().unwrap_or("/"))
        .header("host", "app.example");
    let has_type = call.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if !data.is_empty() && !has_type {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    request.body(data).map_err(|e| Error::new(ErrorKind::Config, format!("this is no request: {e}")))
}

#[cfg(all(test, feature = "local"))]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec() -> Spec {
        let route = |method: &str, path: &str| json!({ "method": method, "path": path, "handler": "h" });
        let routes = [route("PUT", "/shops/{shop}/items/{*rest}"), route("GET", "/")];
        let spec = json!({
            "version": 1, "queues": ["placed"], "functions": [
                { "name": "http", "trigger": { "kind": "http", "routes": routes } },
                { "name": "fulfil", "trigger": { "kind": "queue", "queue": "placed" } },
                { "name": "see", "trigger": { "kind": "object", "bucket": "images", "on": "deleted" } },
                { "name": "sweep", "trigger": { "kind": "schedule", "schedule": "every 5 minutes" } },
                { "name": "audit", "trigger": { "kind": "change", "table": "ledger" } },
                { "name": "hear", "trigger": { "kind": "topic", "topic": "news" } },
                { "name": "notice", "trigger": { "kind": "event" } },
            ],
        });
        serde_json::from_value(spec).expect("the example spec parses")
    }

    #[test]
    fn the_first_route_is_called_with_its_parameters_filled_in() {
        let call = complete(Example::Http, &spec(), Invoke::default()).unwrap();
        assert_eq!((call.function.as_str(), call.method.as_deref()), ("http", Some("PUT")));
        assert_eq!((call.path.as_deref(), &call.data[..]), (Some("/shops/1/items/1"), BODY));
        let typed = Invoke { path: Some("/x".to_owned()), data: b"1".to_vec(), ..Invoke::default() };
        let call = complete(Example::Http, &spec(), typed).unwrap();
        assert_eq!((call.path.as_deref(), call.method, &call.data[..]), (Some("/x"), None, &b"1"[..]));
    }

    #[test]
    fn a_queue_example_is_a_message_of_its_queue() {
        let call = complete(Example::Queue, &spec(), Invoke::default()).unwrap();
        let (queue, event) = event(&call, &spec()).unwrap();
        let Incoming::Queue(batch) = event else { panic!("not a batch") };
        assert_eq!((queue.as_str(), &batch.messages[0].body[..]), ("placed", BODY));
    }

    /// What the made-up event of a kind is, once read as a function reads it.
    fn made_up(kind: Example, data: &[u8]) -> Result<Record> {
        let call = complete(kind, &spec(), Invoke { data: data.to_vec(), ..Invoke::default() })?;
        let Incoming::Record(record) = event(&call, &spec())?.1 else { panic!("{kind:?} is no record") };
        Ok(*record)
    }

    #[test]
    fn other_kinds_are_events_of_what_the_function_listens_on() {
        let see = made_up(Example::Object, b"folder/cat.png").unwrap();
        let Payload::Object { bucket, key, action, .. } = see.payload else { panic!("no object") };
        assert_eq!(
            (bucket.as_str(), key.as_str(), action),
            ("images", "folder/cat.png", ObjectAction::Deleted)
        );
        let Payload::Tick { name, scheduled } = made_up(Example::Schedule, b"").unwrap().payload else {
            panic!("no tick")
        };
        assert!(name.as_deref() == Some("sweep") && scheduled.elapsed().unwrap().as_secs() < 60);
        let audit = made_up(Example::Change, br#"{"id":1}"#).unwrap();
        let Payload::Change { kind, new, .. } = audit.payload else { panic!("no change") };
        assert_eq!((audit.source.as_str(), kind), ("ledger", ChangeKind::Created));
        assert_eq!(new.as_deref(), Some(&br#"{"id":1}"#[..]));
        let hear = made_up(Example::Topic, b"not JSON").unwrap();
        let Payload::Topic { body, .. } = hear.payload else { panic!("no message") };
        assert_eq!((hear.source.as_str(), &body[..]), ("news", &b"not JSON"[..]));
        let notice = made_up(Example::Event, b"").unwrap();
        assert_eq!((notice.payload, &notice.event.data[..]), (Payload::Event, BODY));
        assert!(made_up(Example::Schedule, b"now").unwrap_err().message().contains("no data"));
    }

    #[test]
    fn what_the_app_does_not_have_is_said() {
        let error = complete(Example::Raw, &spec(), Invoke::default()).unwrap_err();
        assert!(
            error.message().contains("no raw function; it has http (http), fulfil (queue), see (object)"),
            "{error}"
        );
        let named = Invoke { function: "fulfill".to_owned(), ..Invoke::default() };
        assert!(complete(Example::Queue, &spec(), named).unwrap_err().message().contains("`fulfill`"));
        let call = Invoke { function: "http".to_owned(), path: Some("a b".to_owned()), ..Invoke::default() };
        assert_eq!(event(&call, &spec()).unwrap_err().kind(), ErrorKind::Config);
    }
}
