//! Errors on their way over the control socket.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use xcloud_core::{Body, Error, ErrorKind, Response};

/// The body of a control answer that is not 2xx.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) kind: String,
    pub(crate) error: String,
}

/// The kinds that cross the socket as themselves; every other one arrives as [`ErrorKind::Unavailable`].
const KINDS: [ErrorKind; 6] = [
    ErrorKind::BadRequest,
    ErrorKind::NotFound,
    ErrorKind::Conflict,
    ErrorKind::Config,
    ErrorKind::Handler,
    ErrorKind::PayloadTooLarge,
];

/// The host's answer for an error. The caller is the host's owner and gets the whole message.
pub(crate) fn response(error: &Error) -> Response {
    let failure = Failure { kind: error.kind().name().to_owned(), error: error.to_string() };
    json(error.kind().status(), &failure)
}

/// The error in an answer of the host.
pub(crate) fn from_reply(status: u16, body: &[u8]) -> Error {
    match serde_json::from_slice::<Failure>(body) {
        Ok(failure) => {
            let kind = KINDS.into_iter().find(|kind| kind.name() == failure.kind);
            Error::new(kind.unwrap_or(ErrorKind::Unavailable), failure.error)
        }
        Err(_) => {
            let text = String::from_utf8_lossy(body);
            Error::unavailable(format!("the local host answered {status}: {text}"))
        }
    }
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let bytes = match serde_json::to_vec(value) {
        Ok(bytes) => bytes,
        Err(error) => return response(&Error::handler(format!("cannot write the answer: {error}"))),
    };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let media = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, media);
    response
}

/// An I/O or store error with what was being done.
pub(crate) fn io(what: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Error {
    move |e| Error::unavailable(format!("{what}: {e}")).caused_by(e)
}
