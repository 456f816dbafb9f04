//! What a handler answers, and what becomes of the event.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::body::Body;
use crate::error::{Error, Result};

/// An HTTP response.
pub type Response = http::Response<Body>;

/// What came of one event, in neutral form; every room's `encode` writes it to the wire.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The answer to an HTTP request. Errors are answers too.
    Http(Response),
    /// What became of a batch.
    Batch(BatchOutcome),
    /// The event was handled; what the handler returned, as JSON.
    Done(Bytes),
    /// The event was not handled: it should come again, or be put aside.
    Failed(Error),
}

/// The kind of answer that an event takes: [`Reply`], [`Ack`], [`Done`] or [`Value`].
pub trait Output: Send + 'static {
    /// How an error is answered.
    fn fail(error: Error) -> Outcome;
}

/// HTTP: a response.
#[derive(Debug)]
pub struct Reply;
/// Queues: nothing, or a [`BatchOutcome`].
#[derive(Debug)]
pub struct Ack;
/// Objects, schedules, changes, topics, CloudEvents: nothing.
#[derive(Debug)]
pub struct Done;
/// Raw events: anything that serialises to JSON.
#[derive(Debug)]
pub struct Value;

impl Output for Reply {
    fn fail(error: Error) -> Outcome {
        Outcome::Http(error_response(&error))
    }
}

impl Output for Ack {
    fn fail(error: Error) -> Outcome {
        Outcome::Failed(error)
    }
}

impl Output for Done {
    fn fail(error: Error) -> Outcome {
        Outcome::Failed(error)
    }
}

impl Output for Value {
    fn fail(error: Error) -> Outcome {
        Outcome::Failed(error)
    }
}

/// The JSON answer to an HTTP request that failed: the kind's status and `{"error": …}`.
pub fn error_response(error: &Error) -> Response {
    let body = serde_json::json!({ "error": error.public_message() }).to_string();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = error.kind().status();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A failure in the words of Lambda, which Alibaba has taken over.
pub fn error_json(message: &str, error_type: &str) -> String {
    serde_json::json!({ "errorMessage": message, "errorType": error_type, "stackTrace": [] }).to_string()
}

/// A value that a handler of an event with output `O` may return.
#[diagnostic::on_unimplemented(
    message = "a handler of this event cannot return `{Self}`",
    label = "not a possible answer",
    note = "HTTP handlers return `Json<T>`, text, bytes, a status, `(StatusCode, R)`, a `Response` or nothing; queue handlers nothing or `BatchOutcome`, handlers of other events nothing; all of them in an `xcloud::Result` if they can fail"
)]
pub trait IntoOutcome<O: Output> {
    /// The outcome.
    fn into_outcome(self) -> Outcome;
}

/// A value that makes an HTTP response.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an HTTP answer",
    label = "not an HTTP answer",
    note = "answers are `Json<T>`, text, bytes, a status, `(StatusCode, R)`, a `Response` or nothing"
)]
pub trait IntoResponse {
    /// The response.
    fn into_response(self) -> Response;
}

/// A JSON body, with the content type that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => with_type(Body::from(bytes), "application/json"),
            Err(e) => error_response(&Error::handler(format!("the answer cannot be written as JSON: {e}"))),
        }
    }
}

fn with_type(body: Body, media: &'static str) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for Body {
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        *response.status_mut() = self;
        response
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        with_type(Body::from(self), "text/plain; charset=utf-8")
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        with_type(Body::from(self), "text/plain; charset=utf-8")
    }
}

impl IntoResponse for Bytes {
    fn into_response(self) -> Response {
        with_type(Body::from(self), "application/octet-stream")
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        with_type(Body::from(self), "application/octet-stream")
    }
}

impl<R: IntoResponse> IntoResponse for (StatusCode, R) {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        *response.status_mut() = self.0;
        response
    }
}

impl<R: IntoResponse, const N: usize> IntoResponse for ([(HeaderName, HeaderValue); N], R) {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        for (name, value) in self.0 {
            response.headers_mut().append(name, value);
        }
        response
    }
}

impl<R: IntoResponse> IntoOutcome<Reply> for R {
    fn into_outcome(self) -> Outcome {
        Outcome::Http(self.into_response())
    }
}

impl<O: Output, R: IntoOutcome<O>, E: Into<Error>> IntoOutcome<O> for Result<R, E> {
    fn into_outcome(self) -> Outcome {
        match self {
            Ok(value) => value.into_outcome(),
            Err(error) => Outcome::Failed(error.into()),
        }
    }
}

impl IntoOutcome<Ack> for () {
    fn into_outcome(self) -> Outcome {
        Outcome::Batch(BatchOutcome::new())
    }
}

impl IntoOutcome<Ack> for BatchOutcome {
    fn into_outcome(self) -> Outcome {
        Outcome::Batch(self)
    }
}

impl IntoOutcome<Done> for () {
    fn into_outcome(self) -> Outcome {
        Outcome::Done(Bytes::from_static(b"null"))
    }
}

impl IntoOutcome<Value> for () {
    fn into_outcome(self) -> Outcome {
        Outcome::Done(Bytes::from_static(b"null"))
    }
}

impl<T: Serialize> IntoOutcome<Value> for Json<T> {
    fn into_outcome(self) -> Outcome {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => Outcome::Done(bytes.into()),
            Err(e) => Outcome::Failed(Error::handler(format!("the answer cannot be written as JSON: {e}"))),
        }
    }
}

/// Which messages of a batch failed and should come again; all others are done.
///
/// Where a platform cannot retry single messages, one failure brings the whole batch back: handlers must bear
/// seeing a message twice.
#[derive(Debug, Default)]
pub struct BatchOutcome {
    failed: Vec<(String, Error)>,
}

impl BatchOutcome {
    /// Nothing failed so far.
    pub const fn new() -> Self {
        Self { failed: Vec::new() }
    }

    /// Says that the message with this id failed, and why.
    pub fn fail(&mut self, id: impl Into<String>, error: impl Into<Error>) {
        self.failed.push((id.into(), error.into()));
    }

    /// Ids and errors of the failed messages, in the order they were named.
    pub fn failed(&self) -> &[(String, Error)] {
        &self.failed
    }

    /// Whether every message is done.
    pub fn is_success(&self) -> bool {
        self.failed.is_empty()
    }

    pub(crate) fn extend(&mut self, more: Vec<(String, Error)>) {
        self.failed.extend(more);
    }
}
