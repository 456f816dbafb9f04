//! Outcome to wire: a 2xx acknowledges, anything else brings the event back.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use xcloud_core::outcome::error_response;
use xcloud_core::{Body, Error, Outcome, Response};

/// The answer to one event. One message comes in one request, so a failed message is a failed request.
pub fn outcome(outcome: Outcome) -> Response {
    match outcome {
        Outcome::Http(response) => response,
        Outcome::Batch(batch) => match batch.failed().first() {
            None => status(StatusCode::NO_CONTENT),
            Some((_, error)) => failure(error),
        },
        Outcome::Done(json) => done(json),
        Outcome::Failed(error) => failure(&error),
        _ => status(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// The answer to an event that could not be handled.
pub fn failure(error: &Error) -> Response {
    error_response(error)
}

fn done(json: Bytes) -> Response {
    let mut response = Response::new(Body::from(json));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer without a body.
pub fn status(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use xcloud_core::BatchOutcome;

    #[test]
    fn a_failed_message_is_not_acknowledged() {
        let mut batch = BatchOutcome::new();
        assert_eq!(outcome(Outcome::Batch(BatchOutcome::new())).status(), 204);
        batch.fail("1", Error::unavailable("later"));
        assert_eq!(outcome(Outcome::Batch(batch)).status(), 503);
        assert_eq!(outcome(Outcome::Failed(Error::handler("x"))).status(), 500);
    }
}
