//! Outcome to wire: a status, and the header that makes it count.
//!
//! Without `x-fc-status` the platform takes every answer to an event for success ("Event functions of custom
//! runtimes", 2025-09); with 404 it tries an asynchronous call again. Single messages of a batch cannot fail.

use http::{HeaderName, HeaderValue, StatusCode, header};
use xcloud_core::outcome::error_json;
use xcloud_core::{Body, Error, Outcome, Response};

use crate::binding::{HEADER_PREFIX, STATUS_HEADER};

/// The answer to an event.
pub fn outcome(outcome: Outcome) -> Response {
    match outcome {
        Outcome::Batch(batch) => match batch.failed().first() {
            None => success(Body::empty()),
            Some((_, error)) => failure(error),
        },
        Outcome::Done(json) => success(Body::from(json)),
        Outcome::Failed(error) => failure(&error),
        _ => failure(&Error::handler("an event function answered with an HTTP response")),
    }
}

/// The answer to an event that was not handled.
pub fn failure(error: &Error) -> Response {
    let body = error_json(error.public_message(), error.kind().name());
    answer(StatusCode::NOT_FOUND, "404", Body::from(body))
}

fn success(body: Body) -> Response {
    answer(StatusCode::OK, "200", body)
}

fn answer(status: StatusCode, mark: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(STATUS_HEADER, HeaderValue::from_static(mark));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The answer to a client's request, without headers that are the platform's.
pub fn http(mut response: Response) -> Response {
    let ours = |name: &&HeaderName| name.as_str().starts_with(HEADER_PREFIX);
    let names: Vec<_> = response.headers().keys().filter(ours).cloned().collect();
    for name in names {
        response.headers_mut().remove(name);
    }
    response
}

/// The answer to a hook.
pub fn hook() -> Response {
    Response::new(Body::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use xcloud_core::BatchOutcome;

    #[test]
    fn a_failure_says_so_twice() {
        let mut batch = BatchOutcome::new();
        let marks = |response: Response| {
            (response.status().as_u16(), response.headers()[STATUS_HEADER].to_str().unwrap().to_owned())
        };
        assert_eq!(marks(outcome(Outcome::Batch(BatchOutcome::new()))), (200, "200".to_owned()));
        batch.fail("1", Error::unavailable("later"));
        assert_eq!(marks(outcome(Outcome::Batch(batch))), (404, "404".to_owned()));
    }

    #[test]
    fn a_handler_cannot_speak_for_the_platform() {
        let mut response = hook();
        response.headers_mut().insert(STATUS_HEADER, HeaderValue::from_static("404"));
        assert!(http(response).headers().is_empty());
    }
}
