//! Outcome to wire: the JSON that the host takes as an invocation's result.
//!
//! Success is a 2xx with `Content-Type: application/json` (text/plain is refused by the host, issue #6462); anything else
//! fails the invocation, and the queue delivers its message again. There is no way to fail single messages.

use http::{HeaderValue, StatusCode, header};
use serde_json::Value;
use xcloud_core::text::parse_json;
use xcloud_core::{Body, Error, Outcome, Response};

/// The answer to an event.
pub fn outcome(outcome: Outcome) -> Response {
    match outcome {
        Outcome::Batch(batch) => match batch.failed() {
            [] => success(Value::Null),
            failed => failure(&failed[0].1, failed.len()),
        },
        Outcome::Done(json) => success(parse_json(&json).unwrap_or(Value::Null)),
        Outcome::Failed(error) => failure(&error, 1),
        _ => failure(&Error::handler("an event function answered with an HTTP response"), 1),
    }
}

fn success(value: Value) -> Response {
    // The host decodes every output string that happens to be base64; JSON text of an object or null never is.
    let value = if value.is_string() { format!(r#"{{"value":{value}}}"#) } else { value.to_string() };
    answer(StatusCode::OK, format!(r#"{{"Outputs":{{}},"Logs":[],"ReturnValue":{value}}}"#))
}

/// The invocation failed; the status must not be 2xx, and what is in the body goes to the host's log.
pub fn failure(error: &Error, count: usize) -> Response {
    let log = Value::from(format!("{count} failed: {}", error.public_message()));
    let body = format!(r#"{{"Outputs":{{}},"Logs":[{log}],"ReturnValue":null}}"#);
    answer(StatusCode::INTERNAL_SERVER_ERROR, body)
}

fn answer(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The answer to a ping: the host only wants to know that somebody listens.
pub fn pong() -> Response {
    Response::new(Body::empty())
}
