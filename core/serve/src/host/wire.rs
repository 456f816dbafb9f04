//! Requests on their way to a process that listens.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use tokio::io::AsyncRead;
use xcloud_core::{Body, Error, Result};

/// Where a function's process listens.
#[derive(Debug, Clone)]
pub enum Address {
    /// A loopback port.
    Port(u16),
    /// A unix socket.
    Socket(std::path::PathBuf),
}

/// Headers of one hop (RFC 9110 §7.6.1): a front takes them off on both sides.
const HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

/// Takes the headers of one hop off.
pub fn strip_hop(headers: &mut HeaderMap) {
    for name in HOP {
        headers.remove(name);
    }
}

/// Sends one request to the process as a front does, with `content-length`, and reads the whole answer.
///
/// # Errors
/// When the process cannot be reached, or breaks off before its answer ended.
pub async fn forward(address: &Address, request: Request<Bytes>) -> Result<Response<Bytes>> {
    collect(stream(address, request).await?).await
}

/// [`forward`], with the answer's body as it comes.
///
/// # Errors
/// When the process cannot be reached, or breaks off before its answer.
pub async fn stream(address: &Address, request: Request<Bytes>) -> Result<Response<Body>> {
    match address {
        Address::Port(port) => {
            exchange(tokio::net::TcpStream::connect(("127.0.0.1", *port)).await, request).await
        }
        Address::Socket(path) => exchange(tokio::net::UnixStream::connect(path).await, request).await,
    }
}

/// Reads the whole body of an answer.
///
/// # Errors
/// When it breaks off.
pub async fn collect(response: Response<Body>) -> Result<Response<Bytes>> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|e| away(&e))?;
    Ok(Response::from_parts(parts, body))
}

fn away(error: &dyn fmt::Display) -> Error {
    Error::unavailable(format!("the function's process did not answer: {error}"))
}

async fn exchange<S>(stream: std::io::Result<S>, request: Request<Bytes>) -> Result<Response<Body>>
where
    S: AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let stream = stream.map_err(|e| away(&e))?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(|e| away(&e))?;
    let connection = Connection(tokio::spawn(async move { drop(connection.await) }));
    let (mut parts, body) = request.into_parts();
    strip_hop(&mut parts.headers);
    if !parts.headers.contains_key(http::header::HOST) {
        parts.headers.insert(http::header::HOST, http::HeaderValue::from_static("app.example"));
    }
    // Origin form, as on the wire: fronts send the path and query alone.
    if let Some(target) = parts.uri.path_and_query().and_then(|p| p.as_str().parse().ok()) {
        parts.uri = target;
    }
    let request = Request::from_parts(parts, Body::from(body));
    let mut response = sender.send_request(request).await.map_err(|e| away(&e))?;
    strip_hop(response.headers_mut());
    Ok(response.map(|body| Body::from_http_body(Coming { body, _connection: connection })))
}

/// The task that moves a connection's bytes; ended with the value.
struct Connection(tokio::task::JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A body on its way, with its connection.
struct Coming {
    body: hyper::body::Incoming,
    _connection: Connection,
}

impl http_body::Body for Coming {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
