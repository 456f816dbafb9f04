//! Calls that are made up: from what the app says of itself, and what was typed.

#[cfg(feature = "local")]
use bytes::Bytes;
#[cfg(feature = "local")]
use xcloud_core::event::{Batch, Incoming, RawMessage};
use xcloud_core::spec::{FunctionSpec, Spec, TriggerSpec};
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::Invoke;

use crate::args::Example;

/// What is sent where nothing else is said and something must be.
const BODY: &[u8] = b"{}";

/// Completes a call: the function, and for HTTP its method and path.
///
/// # Errors
/// [`ErrorKind::Config`]: the app has no such function.
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
    } else if call.data.is_empty() {
        call.data = BODY.to_vec();
    }
    Ok(call)
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
        _ => (String::new(), Incoming::Raw(data)),
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

    #[test]
    fn what_the_app_does_not_have_is_said() {
        let error = complete(Example::Raw, &spec(), Invoke::default()).unwrap_err();
        assert!(error.message().contains("no raw function; it has http (http), fulfil (queue)"), "{error}");
        let named = Invoke { function: "fulfill".to_owned(), ..Invoke::default() };
        assert!(complete(Example::Queue, &spec(), named).unwrap_err().message().contains("`fulfill`"));
        let call = Invoke { function: "http".to_owned(), path: Some("a b".to_owned()), ..Invoke::default() };
        assert_eq!(event(&call, &spec()).unwrap_err().kind(), ErrorKind::Config);
    }
}
