//! The data socket: where functions send messages and keep rows. They are given this socket and not the control socket.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use xcloud_core::text::{base64_decode, percent_decode};
use xcloud_core::{Error, ErrorKind, Response, Result};
use xcloud_local::binding::MAX_MESSAGE;
use xcloud_local::sender::{Sent, Stored};

use super::rows;
use super::state::Host;
use crate::error::{json, response as refuse};

/// Answers one request. A 2xx means that it is kept.
pub(crate) async fn answer(host: Arc<Host>, request: Request<Bytes>) -> Response {
    route(&host, &request).await.unwrap_or_else(|error| refuse(&error))
}

async fn route(host: &Host, request: &Request<Bytes>) -> Result<Response> {
    let target = target(request.uri().path()).ok_or_else(unknown)?;
    let app = host.app(&target.app)?;
    match (&*target.kind, &target.key) {
        ("queues", None) if request.method() == Method::POST => {
            let known = app.record().queues.contains(&target.name);
            if !known {
                let message = format!("app {} has no queue `{}`", app.place().key, target.name);
                return Err(Error::not_found(message));
            }
            let ids = app.place().store.send(&target.name, messages(request.body())?).await?;
            Ok(json(StatusCode::OK, &Stored { ids }))
        }
        ("tables", key) => rows::answer(&app, &target.name, key.as_deref(), request).await,
        _ => Err(unknown()),
    }
}

fn unknown() -> Error {
    Error::not_found("this socket takes POST /v1/queues/<app>/<queue> and /v1/tables/<app>/<table>[/<key>]")
}

/// What a path is about: `/v1/queues/<app>/<name>`, `/v1/tables/<app>/<name>[/<key>]`.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    kind: String,
    app: String,
    name: String,
    key: Option<String>,
}

fn target(path: &str) -> Option<Target> {
    let mut parts = path.strip_prefix("/v1/")?.split('/');
    let mut next = || parts.next().map(|part| String::from_utf8(percent_decode(part).into_owned()));
    let target = Target {
        kind: next()?.ok()?,
        app: next()?.ok()?,
        name: next()?.ok()?,
        key: next().transpose().ok()?,
    };
    parts.next().is_none().then_some(target)
}

/// The messages of a send.
fn messages(body: &[u8]) -> Result<Vec<Bytes>> {
    let sent: Sent =
        serde_json::from_slice(body).map_err(|e| Error::bad_request(format!("not a send: {e}")))?;
    let message = |(at, text): (usize, &String)| {
        let bytes = base64_decode(text.as_bytes())
            .ok_or_else(|| Error::bad_request(format!("message {at} is not base64")))?;
        if bytes.len() > MAX_MESSAGE {
            let message = format!("message {at} has {} bytes; a queue takes {MAX_MESSAGE}", bytes.len());
            return Err(Error::new(ErrorKind::PayloadTooLarge, message));
        }
        Ok(Bytes::from(bytes))
    };
    sent.messages.iter().enumerate().map(message).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_send_is_checked_before_anything_is_stored() {
        assert_eq!(messages(br#"{"messages":["e30=",""]}"#).unwrap(), ["{}", ""]);
        assert!(messages(br#"{"messages":["e30=","?"]}"#).unwrap_err().message().contains("message 1"));
        assert!(messages(b"[]").is_err());
        let of = |path: &str| target(path).map(|t| (t.kind, t.app, t.name, t.key));
        let found = |kind: &str, key: Option<&str>| {
            Some((kind.to_owned(), "a.b".to_owned(), "q".to_owned(), key.map(str::to_owned)))
        };
        assert_eq!(of("/v1/queues/a.b/q"), found("queues", None));
        assert_eq!(of("/v1/tables/a.b/q/k%2F1"), found("tables", Some("k/1")));
        for bad in ["/v1/queues/a.b", "/v2/queues/a.b/q", "/v1/tables/a.b/q/k/more", "/v1/tables/%ff/q", "/"]
        {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_send_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..300), text in ".*") {
            drop(messages(&body));
            drop(target(&text));
            drop(target(&format!("/v1/tables/{text}")));
            drop(messages(serde_json::json!({ "messages": [text] }).to_string().as_bytes()));
        }
    }
}
