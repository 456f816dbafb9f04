//! Outcome to wire.

use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use xcloud_core::{Body, Error, Outcome, Response};

use crate::binding::{WireError, WireFailure, WireFailures};

/// The answer to a call. An HTTP response goes out as it is; an event is 200 unless it failed as a whole.
pub fn outcome(outcome: Outcome) -> Response {
    match outcome {
        Outcome::Http(response) => response,
        Outcome::Batch(batch) => {
            let failure = |(id, error): &(String, Error)| WireFailure {
                id: id.clone(),
                settlement: error.kind().settlement().into(),
                error: error.message().to_owned(),
            };
            json(StatusCode::OK, &WireFailures { failed: batch.failed().iter().map(failure).collect() })
        }
        Outcome::Done(bytes) => typed(StatusCode::OK, Body::from(bytes)),
        Outcome::Failed(error) => failure(&error),
        _ => failure(&Error::handler("an outcome that this room does not know")),
    }
}

/// The answer to an event that failed as a whole. The host is the app owner's own: it gets the full message.
pub fn failure(error: &Error) -> Response {
    let settlement = error.kind().settlement().into();
    json(StatusCode::INTERNAL_SERVER_ERROR, &WireError { error: error.message().to_owned(), settlement })
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    // These types have string keys and no maps of another kind: writing them cannot fail.
    typed(status, Body::from(serde_json::to_vec(value).unwrap_or_default()))
}

fn typed(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::WireSettlement;
    use xcloud_core::BatchOutcome;

    fn body(response: &Response) -> &[u8] {
        response.body().bytes().unwrap()
    }

    #[test]
    fn failed_messages_are_named_with_what_becomes_of_them() {
        let mut batch = BatchOutcome::new();
        batch.fail("a", Error::unavailable("later"));
        batch.fail("b", Error::unprocessable("never"));
        let response = outcome(Outcome::Batch(batch));
        assert_eq!(response.status(), 200);
        let read: WireFailures = serde_json::from_slice(body(&response)).unwrap();
        assert_eq!(read.failed[0].settlement, WireSettlement::Retry);
        assert_eq!(read.failed[1].settlement, WireSettlement::DeadLetter);
        assert_eq!((read.failed[1].id.as_str(), read.failed[1].error.as_str()), ("b", "never"));
    }

    #[test]
    fn a_failed_event_is_not_200() {
        let response = outcome(Outcome::Failed(Error::handler("broken")));
        assert_eq!(response.status(), 500);
        assert_eq!(body(&response), br#"{"error":"broken","settlement":"retry"}"#);
        let done = outcome(Outcome::Done("7".into()));
        assert_eq!((done.status().as_u16(), body(&done)), (200, &b"7"[..]));
    }
}
