//! The body of a response: bytes at hand, or a stream of them.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::error::BoxError;

/// A request's or response's body. Requests are always buffered; responses may stream.
pub struct Body(Inner);

enum Inner {
    Full(Bytes),
    Stream(Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError> + Send>>),
}

impl Body {
    /// No bytes.
    pub const fn empty() -> Self {
        Self(Inner::Full(Bytes::new()))
    }

    /// A body that is sent piece by piece as the stream yields. An `Err` ends it: the client sees a broken
    /// body, on Lambda an error trailer.
    pub fn from_stream<S, B, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<B, E>> + Send + 'static,
        B: Into<Bytes>,
        E: Into<BoxError>,
    {
        Self(Inner::Stream(Box::pin(StreamBody(Box::pin(stream)))))
    }

    /// Any other body, such as the one of an axum response.
    pub fn from_http_body<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Inner::Stream(Box::pin(MapError(Box::pin(body)))))
    }

    /// The bytes, when they are all here; `None` for a stream.
    pub fn bytes(&self) -> Option<&Bytes> {
        match &self.0 {
            Inner::Full(bytes) => Some(bytes),
            Inner::Stream(_) => None,
        }
    }

    /// Whether the body comes piece by piece.
    pub fn is_stream(&self) -> bool {
        matches!(self.0, Inner::Stream(_))
    }

    /// Reads the whole body.
    ///
    /// # Errors
    /// What the stream failed with.
    pub async fn collect(self) -> Result<Bytes, BoxError> {
        let mut stream = match self.0 {
            Inner::Full(bytes) => return Ok(bytes),
            Inner::Stream(stream) => stream,
        };
        let mut first = Bytes::new();
        let mut all: Vec<u8> = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| stream.as_mut().poll_frame(cx)).await {
            let Ok(data) = frame?.into_data() else { continue };
            if first.is_empty() && all.is_empty() {
                first = data;
            } else {
                if all.is_empty() {
                    all.extend_from_slice(&first);
                }
                all.extend_from_slice(&data);
            }
        }
        Ok(if all.is_empty() { first } else { all.into() })
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Inner::Full(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Inner::Stream(_) => f.write_str("Body(stream)"),
        }
    }
}

macro_rules! from_bytes {
    ($($ty:ty),*) => {$(
        impl From<$ty> for Body {
            fn from(value: $ty) -> Self {
                Self(Inner::Full(value.into()))
            }
        }
    )*};
}
from_bytes!(Bytes, Vec<u8>, String, &'static str, &'static [u8]);

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Inner::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Inner::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Inner::Stream(stream) => stream.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Full(bytes) => bytes.is_empty(),
            Inner::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Stream(stream) => stream.size_hint(),
        }
    }
}

struct StreamBody<S>(Pin<Box<S>>);

impl<S, B, E> HttpBody for StreamBody<S>
where
    S: Stream<Item = Result<B, E>>,
    B: Into<Bytes>,
    E: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let item = std::task::ready!(self.0.as_mut().poll_next(cx));
        Poll::Ready(item.map(|piece| piece.map(|b| Frame::data(b.into())).map_err(Into::into)))
    }
}

struct MapError<B>(Pin<Box<B>>);

impl<B> HttpBody for MapError<B>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = std::task::ready!(self.0.as_mut().poll_frame(cx));
        Poll::Ready(frame.map(|f| f.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
