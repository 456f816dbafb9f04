//! The data socket: where functions send messages. They are given this socket and not the control socket.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use xcloud_core::text::{base64_decode, percent_decode};
use xcloud_core::{Error, ErrorKind, Response, Result};
use xcloud_local::binding::MAX_MESSAGE;
use xcloud_local::sender::{Sent, Stored};

use super::state::Host;
use crate::error::{json, response as refuse};

/// Answers one request. 200 means that all its messages are on disk.
pub(crate) async fn answer(host: Arc<Host>, request: Request<Bytes>) -> Response {
    match send(&host, &request).await {
        Ok(ids) => json(StatusCode::OK, &Stored { ids }),
        Err(error) => refuse(&error),
    }
}

async fn send(host: &Host, request: &Request<Bytes>) -> Result<Vec<String>> {
    let (app, queue) = target(request)?;
    let app = host.app(&app)?;
    let known = app.record().queues.contains(&queue);
    if !known {
        return Err(Error::not_found(format!("app {} has no queue `{queue}`", app.place().key)));
    }
    app.place().store.send(&queue, messages(request.body())?).await
}

/// App and queue of `POST /v1/queues/<app>/<queue>`.
fn target(request: &Request<Bytes>) -> Result<(String, String)> {
    let text = |part: &str| String::from_utf8(percent_decode(part).into_owned()).ok();
    let path = request.uri().path().strip_prefix("/v1/queues/").and_then(|rest| rest.split_once('/'));
    match path.and_then(|(app, queue)| Some((text(app)?, text(queue)?))) {
        Some(target) if request.method() == Method::POST => Ok(target),
        _ => Err(Error::not_found("this socket takes POST /v1/queues/<app>/<queue>")),
    }
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
        let request = |method: &str, path: &str| {
            target(&Request::builder().method(method).uri(path).body(Bytes::new()).unwrap())
        };
        assert_eq!(request("POST", "/v1/queues/a.b/q").unwrap(), ("a.b".to_owned(), "q".to_owned()));
        assert!(request("GET", "/v1/queues/a.b/q").is_err() && request("POST", "/v1/host/stop").is_err());
    }

    proptest! {
        #[test]
        fn no_send_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..300), text in ".*") {
            drop(messages(&body));
            drop(messages(serde_json::json!({ "messages": [text] }).to_string().as_bytes()));
        }
    }
}
