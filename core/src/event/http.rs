//! `Http<T>`: one HTTP request, its body typed.

use std::ops::Deref;
use std::str::FromStr;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri, header, request};
use serde::de::DeserializeOwned;

use super::{Decoded, Event, Incoming, Params, Query, TriggerKind, from_json, is_unit, wrong_kind};
use crate::error::{Error, ErrorKind, Result};
use crate::outcome::Reply;

/// An HTTP request with a JSON body of type `T`; it dereferences to the body.
///
/// `Http` (that is, `Http<()>`) does not look at the body: read it with [`Http::bytes`]. `Http<Option<T>>` takes a
/// request without one. A body that is not `T` answers 400, one with a media type other than JSON 415, before the
/// handler runs.
#[derive(Debug)]
pub struct Http<T = ()> {
    parts: request::Parts,
    raw: Bytes,
    body: T,
}

impl<T> Http<T> {
    /// A `POST /` with this body, for unit tests; [`Http::with_request`] gives the rest.
    pub fn new(body: T) -> Self {
        let request = http::Request::post("/").body(()).unwrap_or_else(|_| http::Request::new(()));
        Self::with_request(request, body)
    }

    /// A request made by hand, for unit tests.
    pub fn with_request(request: http::Request<()>, body: T) -> Self {
        Self { parts: request.into_parts().0, raw: Bytes::new(), body }
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The target as received.
    pub fn uri(&self) -> &Uri {
        &self.parts.uri
    }

    /// The path as received, still percent-encoded.
    pub fn path(&self) -> &str {
        self.parts.uri.path()
    }

    /// The query string.
    pub fn query(&self) -> Query<'_> {
        Query(self.parts.uri.query().unwrap_or(""))
    }

    /// All headers, repeated ones kept.
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The first value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// The value of `{name}` in the route, parsed into `V` (`String` always works).
    ///
    /// # Errors
    /// HTTP 404 when the value is not a `V`; HTTP 500 when the route has no such parameter.
    pub fn param<V: FromStr>(&self, name: &str) -> Result<V> {
        let value = self.params().and_then(|p| p.get(name)).ok_or_else(|| {
            Error::new(ErrorKind::Config, format!("the route has no parameter `{{{name}}}`"))
        })?;
        value.parse().map_err(|_| Error::not_found(format!("path parameter `{name}` is not valid")))
    }

    /// All path parameters; `None` when the route has none.
    pub fn params(&self) -> Option<&Params> {
        self.parts.extensions.get()
    }

    /// The body as received.
    pub fn bytes(&self) -> &Bytes {
        &self.raw
    }

    /// The decoded body; `*request` and `request.field` reach it too.
    pub fn body(&self) -> &T {
        &self.body
    }

    /// Takes the decoded body out.
    pub fn into_body(self) -> T {
        self.body
    }
}

impl<T> Deref for Http<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.body
    }
}

impl<T: DeserializeOwned + Send + 'static> Event for Http<T> {
    const KIND: TriggerKind = TriggerKind::Http;
    type Output = Reply;

    fn from_incoming(incoming: Incoming) -> Result<Decoded<Self>> {
        let Incoming::Http(request) = incoming else {
            return Err(wrong_kind(TriggerKind::Http, incoming.kind()));
        };
        let (parts, raw) = request.into_parts();
        if !is_unit::<T>() && !raw.is_empty() {
            expect_json(&parts.headers)?;
        }
        let body = from_json(&raw).map_err(|error| {
            let what = if raw.is_empty() {
                "the request has no body"
            } else {
                "the body is not what this route takes"
            };
            Error::bad_request(format!("{what}: {error}"))
        })?;
        Ok(Decoded::whole(Self { parts, raw, body }))
    }
}

/// No content type is taken as JSON (many clients and queues send none); another one is refused.
fn expect_json(headers: &HeaderMap) -> Result<()> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().unwrap_or("");
    let media = text.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if media == "application/json" || media.ends_with("+json") || media == "text/json" {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::UnsupportedMediaType,
        format!("this route takes application/json, not `{}`", text.escape_default()),
    ))
}
