//! The HTTP/1.1 server of the rooms that listen on a port: hyper, with limits and a clean stop.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, UnixListener};
use xcloud_core::outcome::error_response;
use xcloud_core::{BoxFuture, Error, ErrorKind, Response, Result, env};

use crate::call::within;

/// A client that has not sent its request's head after this long is let go.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two pieces of a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of a refused body is read and thrown away, at most, before the connection is closed.
const LINGER_BYTES: usize = 64 * 1024 * 1024;
/// And for how long.
const LINGER: Duration = Duration::from_secs(5);

/// Where requests come in.
#[derive(Debug)]
pub enum Listener {
    /// A TCP port.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

impl Listener {
    /// Listens on a TCP address.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the address, for example when the port is in use.
    pub async fn tcp(host: &str, port: u16) -> Result<Self> {
        let failed = |e: io::Error| {
            Error::new(ErrorKind::Config, format!("cannot listen on {host}:{port}: {e}")).caused_by(e)
        };
        let address = socket_address(host, port).map_err(failed)?;
        Ok(Self::Tcp(TcpListener::bind(address).await.map_err(failed)?))
    }
}

/// An address and a port as the runtime takes them. Names other than `localhost` are not looked up: what a function
/// listens on and where its platform is are addresses everywhere, and a resolver is 300 KB of a static binary.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for any other name.
pub fn socket_address(host: &str, port: u16) -> io::Result<SocketAddr> {
    let host = if host == "localhost" { "127.0.0.1" } else { host.trim_matches(['[', ']']) };
    let address: IpAddr = host.parse().map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("`{host}` is not an IP address or `localhost`"))
    })?;
    Ok(SocketAddr::new(address, port))
}

/// A handler with its type erased: one copy of the HTTP stack in a program, whatever rooms it holds.
type Handler = Arc<dyn Fn(http::Request<Bytes>) -> BoxFuture<'static, Response> + Send + Sync>;

/// A server in the making: what it accepts and how it stops.
#[derive(Debug, Clone)]
pub struct Server {
    max_body: usize,
    drain: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// Bodies up to `XCLOUD_MAX_BODY`, ten seconds for requests in flight at the end.
    pub fn new() -> Self {
        let max_body = env::var(env::MAX_BODY).and_then(|v| v.parse().ok()).unwrap_or(env::MAX_BODY_DEFAULT);
        Self { max_body, drain: Duration::from_secs(10) }
    }

    /// Another limit of a request's body, in bytes.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// How long requests in flight may take once `stop` has resolved.
    #[must_use]
    pub fn drain(mut self, time: Duration) -> Self {
        self.drain = time;
        self
    }

    /// Accepts connections and answers requests until `stop` resolves, then finishes those in flight.
    /// A body over the limit is answered 413 without the handler being called.
    ///
    /// # Errors
    /// When the listener fails for good.
    pub async fn run<H, F>(
        &self,
        listener: Listener,
        handler: H,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<()>
    where
        H: Fn(http::Request<Bytes>) -> F + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        self.serve(listener, handler, pin!(stop)).await
    }

    /// Boxed, so that it is compiled in this crate and not again in every room.
    fn serve<'a>(
        &'a self,
        listener: Listener,
        handler: Handler,
        stop: Pin<&'a mut (dyn Future<Output = ()> + Send + 'a)>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.accept_all(listener, handler, stop))
    }

    async fn accept_all(
        &self,
        listener: Listener,
        handler: Handler,
        mut stop: Pin<&mut (dyn Future<Output = ()> + Send)>,
    ) -> Result<()> {
        let graceful = GracefulShutdown::new();
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).pipeline_flush(true);
        loop {
            let stream = tokio::select! {
                accepted = accept(&listener) => match accepted {
                    Ok(stream) => stream,
                    Err(error) if is_passing(&error) => {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                },
                () = &mut stop => break,
            };
            let (handler, max_body) = (Arc::clone(&handler), self.max_body);
            let service = service_fn(move |request| {
                let handler = Arc::clone(&handler);
                async move { Ok::<_, std::convert::Infallible>(answer(request, max_body, handler).await) }
            });
            let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
            // An error here is the client's: it went away or spoke no HTTP, which hyper has answered.
            tokio::spawn(async move { drop(connection.await) });
        }
        drop(listener);
        drop(tokio::time::timeout(self.drain, graceful.shutdown()).await);
        Ok(())
    }
}

async fn answer(request: http::Request<Incoming>, max_body: usize, handler: Handler) -> Response {
    let (parts, mut body) = request.into_parts();
    match read_body(&mut body, max_body).await {
        Ok(bytes) => handler(http::Request::from_parts(parts, bytes)).await,
        Err(error) => {
            if error.kind() == ErrorKind::PayloadTooLarge {
                drop(tokio::time::timeout(LINGER, discard(&mut body, LINGER_BYTES)).await);
            }
            // The rest of the body has not been read, so the connection cannot be used again.
            let mut response = error_response(&error);
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            if error.kind() == ErrorKind::Timeout {
                *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
            }
            response
        }
    }
}

/// Reads on, so that a client that writes its whole body first sees the answer and not a reset connection.
async fn discard(body: &mut Incoming, limit: usize) {
    let mut seen = 0;
    while seen < limit {
        match std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            Some(Ok(frame)) => seen += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) | None => return,
        }
    }
}

async fn read_body(body: &mut Incoming, max: usize) -> Result<Bytes> {
    let too_large = || {
        let message = format!("the body is larger than {max} bytes");
        Error::new(ErrorKind::PayloadTooLarge, message)
    };
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > max {
        return Err(too_large());
    }
    let mut first = Bytes::new();
    let mut all: Vec<u8> = Vec::new();
    let mut next = async || std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
    loop {
        let frame = match within(|| Instant::now() + BODY_TIMEOUT, next()).await {
            Some(frame) => frame,
            None => return Err(Error::new(ErrorKind::Timeout, "the body did not arrive in time")),
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|e| Error::bad_request(format!("the body could not be read: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + all.len() + data.len() > max {
            return Err(too_large());
        }
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            all.reserve_exact(announced.max(first.len() + data.len()));
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.into() })
}

/// Resolves when the platform asks the process to end (SIGTERM), or a person does (SIGINT).
///
/// # Errors
/// When the signal handlers cannot be installed.
pub fn terminated() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}

/// Errors of `accept` that pass: the connection was reset before it was taken, or descriptors ran out for now.
fn is_passing(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    ) || matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

async fn accept(listener: &Listener) -> io::Result<Stream> {
    match listener {
        Listener::Tcp(tcp) => {
            let (stream, _) = tcp.accept().await?;
            // Small answers should not wait for an ACK; a socket that refuses the option still works.
            drop(stream.set_nodelay(true));
            Ok(Stream::Tcp(stream))
        }
        Listener::Unix(unix) => Ok(Stream::Unix(unix.accept().await?.0)),
    }
}

/// A connection of any kind.
pub(crate) enum Stream {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
    /// What somebody else has made, such as TLS.
    Dialled(Box<dyn crate::client::Duplex>),
}

macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Stream::Unix($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Stream::Dialled($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
        }
    };
}

impl tokio::io::AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        each!(self, s => s.poll_read(cx, buf))
    }
}

impl tokio::io::AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        each!(self, s => s.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        each!(self, s => s.poll_flush(cx))
    }

    fn poll_shutdown(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        each!(self, s => s.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> std::task::Poll<io::Result<usize>> {
        each!(self, s => s.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(s) => s.is_write_vectored(),
            Self::Unix(s) => s.is_write_vectored(),
            Self::Dialled(s) => s.is_write_vectored(),
        }
    }
}
