//! The one error of a function: what went wrong, and what the caller and the queue should do about it.
//!
//! One kind maps to one HTTP status ([`ErrorKind::status`]) and to one settlement ([`ErrorKind::settlement`]);
//! every room uses these two tables, so a handler's error means the same on every platform.

use std::error::Error as StdError;
use std::fmt;

use http::StatusCode;

/// A boxed error from outside.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// The result of a handler and of everything in xcloud.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request or message is not what the handler takes: not JSON, a missing field, a wrong type. HTTP 400.
    BadRequest,
    /// No or bad credentials. HTTP 401.
    Unauthorized,
    /// The caller may not do this. HTTP 403.
    Forbidden,
    /// No such route or thing. HTTP 404.
    NotFound,
    /// The route exists, not for this method. HTTP 405.
    MethodNotAllowed,
    /// The state of the thing forbids it. HTTP 409.
    Conflict,
    /// The body is larger than the limit. HTTP 413.
    PayloadTooLarge,
    /// The body is of another media type. HTTP 415.
    UnsupportedMediaType,
    /// Well formed, but it breaks a rule of the application. HTTP 422.
    Unprocessable,
    /// Too much at once. HTTP 429.
    RateLimited,
    /// The handler failed. HTTP 500; the message stays in the log.
    Handler,
    /// The handler panicked. HTTP 500; the message stays in the log.
    Panic,
    /// The platform handed us something that is not an event of its documented shape. HTTP 400.
    BadEvent,
    /// This deployment does not have what was asked for, such as a queue that is not bound. HTTP 503.
    Unsupported,
    /// Something it needs did not answer. HTTP 503.
    Unavailable,
    /// The deadline passed. HTTP 504.
    Timeout,
    /// The function's configuration is wrong. HTTP 500.
    Config,
    /// Whoever asked for it wants it no longer. HTTP 503.
    Cancelled,
}

/// What becomes of an event (other than an HTTP request) that ended in an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Settlement {
    /// Deliver it again later.
    Retry,
    /// It can never succeed: put it aside. Platforms without a way to say so retry until their limit.
    DeadLetter,
}

impl ErrorKind {
    /// The HTTP status that answers this kind.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::BadEvent => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Handler | Self::Panic | Self::Config => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unsupported | Self::Unavailable | Self::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// What becomes of a message or event that failed this way.
    pub const fn settlement(self) -> Settlement {
        match self {
            Self::BadRequest | Self::BadEvent | Self::Unprocessable | Self::PayloadTooLarge => {
                Settlement::DeadLetter
            }
            _ => Settlement::Retry,
        }
    }

    /// A stable CamelCase name, for platforms whose error reports carry a type (`Function.BadRequest`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::Conflict => "Conflict",
            Self::PayloadTooLarge => "PayloadTooLarge",
            Self::UnsupportedMediaType => "UnsupportedMediaType",
            Self::Unprocessable => "Unprocessable",
            Self::RateLimited => "RateLimited",
            Self::Handler => "Handler",
            Self::Panic => "Panic",
            Self::BadEvent => "BadEvent",
            Self::Unsupported => "Unsupported",
            Self::Unavailable => "Unavailable",
            Self::Timeout => "Timeout",
            Self::Config => "Config",
            Self::Cancelled => "Cancelled",
        }
    }

    /// Whether the message may be shown to the caller; if not, the caller reads a fixed sentence and the log the rest.
    pub const fn is_public(self) -> bool {
        !matches!(self, Self::Handler | Self::Panic | Self::Config)
    }
}

/// An error: kind, message, what was being done, facts about it, and its source.
///
/// Every `std::error::Error` converts into one of kind [`ErrorKind::Handler`] with `?`. It does not implement
/// `std::error::Error` itself, which is what makes that conversion possible.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    context: Vec<(&'static str, String)>,
    source: Option<BoxError>,
}

impl Error {
    /// An error of this kind; the message is a sentence for the person who reads the answer or the log.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { inner: Box::new(Inner { kind, message: message.into(), context: Vec::new(), source: None }) }
    }

    /// HTTP 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadRequest, message)
    }

    /// HTTP 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// HTTP 409.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// HTTP 422.
    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unprocessable, message)
    }

    /// HTTP 503.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// HTTP 500; the message goes to the log only.
    pub fn handler(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Handler, message)
    }

    /// Adds a fact that helps whoever reads the log; never shown to callers.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.inner.context.push((key, value.to_string()));
        self
    }

    /// A fact that [`Error::with`] has added, the last of this name.
    pub fn fact(&self, key: &str) -> Option<&str> {
        self.inner.context.iter().rfind(|(known, _)| *known == key).map(|(_, value)| value.as_str())
    }

    /// Takes a fact out, for whoever shows it in a place of its own.
    pub fn take(&mut self, key: &str) -> Option<String> {
        let value = self.fact(key).map(str::to_owned);
        self.inner.context.retain(|(known, _)| *known != key);
        value
    }

    /// Adds what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<BoxError>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The message alone, without context and sources.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The sentence a caller may read: the message where [`ErrorKind::is_public`] allows, else a fixed one.
    pub fn public_message(&self) -> &str {
        match self.inner.kind {
            ErrorKind::Panic => "the handler panicked",
            kind if kind.is_public() => &self.inner.message,
            _ => "internal error",
        }
    }

    /// What caused it, if known.
    pub fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|e| e as _)
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self::new(ErrorKind::Handler, error.to_string()).caused_by(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)?;
        for (i, (key, value)) in self.inner.context.iter().enumerate() {
            write!(f, "{}{key}: {value}", if i == 0 { " (" } else { ", " })?;
        }
        if !self.inner.context.is_empty() {
            f.write_str(")")?;
        }
        let mut source = self.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if text != self.inner.message {
                write!(f, ": {text}")?;
            }
            source = cause.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self}", self.inner.kind.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_error_becomes_a_handler_error_whose_message_stays_private() {
        let error: Error = "x".parse::<u32>().unwrap_err().into();
        assert_eq!(error.kind(), ErrorKind::Handler);
        assert_eq!(error.public_message(), "internal error");
        assert_eq!(error.to_string(), "invalid digit found in string");
    }

    #[test]
    fn context_and_source_are_shown_in_the_log_form() {
        let source = "x".parse::<u32>().unwrap_err();
        let error = Error::unavailable("stock did not answer").with("sku", "A-1").caused_by(source);
        assert_eq!(error.to_string(), "stock did not answer (sku: A-1): invalid digit found in string");
        assert_eq!(error.public_message(), "stock did not answer");
    }

    #[test]
    fn a_fact_is_read_and_taken_out() {
        let mut error = Error::conflict("no").with("step", "a").with("hint", "wait").with("step", "b");
        assert_eq!((error.fact("step"), error.fact("sku")), (Some("b"), None));
        assert_eq!(error.take("hint").as_deref(), Some("wait"));
        assert_eq!((error.take("hint"), error.to_string().as_str()), (None, "no (step: a, step: b)"));
    }
}
