//! The host's end of the wire, and a host of one process around it for tests.
//!
//! [`Wire`] is the platform itself: the host that `xcloud deploy` starts drives its processes with it. [`start`] adds
//! what a test needs, without queues on disk, restarts or routing.

use std::io::Read as _;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Version, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use xcloud_core::event::{Batch, RawMessage};
use xcloud_core::text::base64_encode;
use xcloud_core::{Body, BoxFuture, Error, Result, env};
use xcloud_serve::host::{Delivery, Host, Launch, Process, strip_hop, until};
use xcloud_serve::parts::request_id;

use crate::binding::{self, WireBatch, WireError, WireFailure, WireFailures, WireMessage, WireSettlement};
use crate::decode;

/// Connections kept for the next call.
const IDLE: usize = 128;
/// The process lets go of a connection that is idle for 30 s; one that it may be closing is not used.
const FRESH: Duration = Duration::from_secs(15);
/// An answer to an event holds ids and errors, or what a raw handler returned.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// What a test's process may take to get ready.
const STARTUP: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(10);

/// The facts of a call that the process is told.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Its id.
    pub id: &'a str,
    /// The time until the host gives up.
    pub remaining: Duration,
}

/// What came of an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// It was handled.
    Done(T),
    /// It failed as a whole.
    Failed(WireError),
}

/// The wire to one process: its socket, its token, connections to it.
pub struct Wire {
    socket: PathBuf,
    token: String,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: SendRequest<Body>,
    since: Instant,
}

impl Wire {
    /// A wire to a process that is to listen on this socket, with a new token.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new(socket: PathBuf) -> Result<Self> {
        let mut secret = [0; 32];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut secret)?;
        let token = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { socket, token, idle: Mutex::default() })
    }

    /// The environment that tells the process of it.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            (env::PLATFORM, "local".to_owned()),
            (binding::SOCKET, self.socket.display().to_string()),
            (binding::TOKEN, self.token.clone()),
        ]
    }

    /// Where the process listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether the process takes connections: it does once its init is done.
    pub async fn is_ready(&self) -> bool {
        match self.connect().await {
            Ok(connection) => {
                self.give(connection);
                true
            }
            Err(_) => false,
        }
    }

    /// Passes a client's request on as the front does: headers of the host's and of one hop come off, the call's facts
    /// go on. The guard is held until the answer's body has ended.
    ///
    /// # Errors
    /// [`xcloud_core::ErrorKind::Unavailable`] when the process cannot be reached or breaks off.
    pub async fn http(
        &self,
        request: Request<Body>,
        call: Call<'_>,
        guard: impl Send + Unpin + 'static,
    ) -> Result<Response<Body>> {
        let (mut parts, body) = request.into_parts();
        decode::strip(&mut parts.headers);
        strip_hop(&mut parts.headers);
        parts.headers.entry(header::HOST).or_insert(HeaderValue::from_static("localhost"));
        parts.version = Version::HTTP_11;
        // Origin form, as on the wire: the path and query alone.
        if parts.uri.authority().is_some()
            && let Some(target) = parts.uri.path_and_query().and_then(|p| p.as_str().parse().ok())
        {
            parts.uri = target;
        }
        stamp(&mut parts.headers, call)?;
        let mut response = self.send(Request::from_parts(parts, body)).await?;
        strip_hop(response.headers_mut());
        Ok(response.map(|body| Body::from_http_body(Guarded { body, _guard: guard })))
    }

    /// Delivers a batch to the function and reads which messages failed.
    ///
    /// # Errors
    /// [`xcloud_core::ErrorKind::Unavailable`] when the process cannot be reached, breaks off, or answers nonsense.
    pub async fn queue(
        &self,
        function: &str,
        messages: &[RawMessage],
        call: Call<'_>,
    ) -> Result<Answer<Vec<WireFailure>>> {
        let wire = WireBatch { messages: messages.iter().map(wire_message).collect() };
        let body = serde_json::to_vec(&wire)?;
        let bytes = match self.event("queue", function, body.into(), call).await? {
            Answer::Done(bytes) => bytes,
            Answer::Failed(error) => return Ok(Answer::Failed(error)),
        };
        let answer: WireFailures = serde_json::from_slice(&bytes).map_err(|e| nonsense(&e))?;
        match answer.failed.iter().find(|f| !messages.iter().any(|m| m.id == f.id)) {
            Some(stranger) => Err(nonsense(&format!("message `{}` is not in the batch", stranger.id))),
            None => Ok(Answer::Done(answer.failed)),
        }
    }

    /// Delivers an event to a raw function and reads its answer.
    ///
    /// # Errors
    /// [`xcloud_core::ErrorKind::Unavailable`] when the process cannot be reached or breaks off.
    pub async fn raw(&self, function: &str, event: Bytes, call: Call<'_>) -> Result<Answer<Bytes>> {
        self.event("raw", function, event, call).await
    }

    async fn event(
        &self,
        kind: &'static str,
        function: &str,
        body: Bytes,
        call: Call<'_>,
    ) -> Result<Answer<Bytes>> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri("/")
            .header(header::HOST, "localhost")
            .header(binding::TOKEN_HEADER, &self.token)
            .header(binding::EVENT_HEADER, kind)
            .header(binding::FUNCTION_HEADER, function)
            .body(Body::from(body))?;
        stamp(request.headers_mut(), call)?;
        let response = self.send(request).await?;
        let status = response.status();
        let bytes = collect(response.into_body()).await?;
        if status.is_success() {
            return Ok(Answer::Done(bytes));
        }
        let error = serde_json::from_slice(&bytes).unwrap_or_else(|_| WireError {
            error: format!("{status}: {}", String::from_utf8_lossy(&bytes)),
            settlement: WireSettlement::Retry,
        });
        Ok(Answer::Failed(error))
    }

    /// On a kept connection if one takes it, else on a new one. What a process may have begun to handle is not sent
    /// twice.
    async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>> {
        while let Some(mut connection) = self.take() {
            match connection.try_send_request(request).await {
                Ok(response) => {
                    self.give(connection);
                    return Ok(response);
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(away(error.into_error())),
                },
            }
        }
        let mut connection = self.connect().await?;
        let response = connection.send_request(request).await.map_err(away)?;
        self.give(connection);
        Ok(response)
    }

    async fn connect(&self) -> Result<SendRequest<Body>> {
        let stream = UnixStream::connect(&self.socket).await.map_err(away)?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(away)?;
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    fn take(&self) -> Option<SendRequest<Body>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // One whose last answer is still being read is not ready.
        while let Some(at) = idle.iter().rposition(|i| i.connection.is_ready()) {
            let found = idle.swap_remove(at);
            if found.since.elapsed() < FRESH {
                return Some(found.connection);
            }
        }
        None
    }

    fn give(&self, connection: SendRequest<Body>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= IDLE {
            idle.retain(|i| !i.connection.is_closed());
        }
        if idle.len() < IDLE {
            idle.push(Idle { connection, since: Instant::now() });
        }
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wire({})", self.socket.display())
    }
}

fn away(error: impl Into<xcloud_core::BoxError>) -> Error {
    let error = error.into();
    Error::unavailable(format!("the function's process did not answer: {error}")).caused_by(error)
}

fn nonsense(what: &dyn std::fmt::Display) -> Error {
    Error::unavailable(format!("the function's process answered a batch with something else: {what}"))
}

fn stamp(headers: &mut http::HeaderMap, call: Call<'_>) -> Result<()> {
    headers.insert(binding::ID_HEADER, HeaderValue::from_str(call.id)?);
    let ms = u64::try_from(call.remaining.as_millis()).unwrap_or(u64::MAX);
    headers.insert(binding::REMAINING_HEADER, ms.into());
    Ok(())
}

fn wire_message(message: &RawMessage) -> WireMessage<'_> {
    let since = |time: std::time::SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    WireMessage {
        id: message.id.as_str().into(),
        attempt: message.attempt,
        sent_ms: message.sent.and_then(|time| u64::try_from(since(time)).ok()),
        attributes: message.attributes.clone(),
        body: base64_encode(&message.body).into(),
    }
}

async fn collect(mut body: Incoming) -> Result<Bytes> {
    let mut all = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame.map_err(away)?.into_data() else { continue };
        if all.len() + data.len() > MAX_ANSWER {
            return Err(nonsense(&format!("more than {MAX_ANSWER} bytes")));
        }
        all.extend_from_slice(&data);
    }
    Ok(all.into())
}

/// A body that keeps something until it has ended or is dropped.
struct Guarded<G> {
    body: Incoming,
    _guard: G,
}

impl<G: Unpin> HttpBody for Guarded<G> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A directory that only its owner can enter, gone with its value.
struct Private(PathBuf);

impl Private {
    fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let count = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("xcloud-{}-{}-{count}", std::process::id(), request_id()));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // What is left over lies in the temporary directory, where the system clears it away.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

struct One {
    process: Process,
    wire: Wire,
    timeout: Duration,
    _private: Private,
}

/// Starts the process under a host of its own and waits until it listens.
///
/// # Errors
/// When it ends, or does not listen in time, with what it wrote.
pub async fn start(launch: Launch) -> Result<Box<dyn Host>> {
    let private = Private::new()?;
    let wire = Wire::new(private.0.join("socket"))?;
    let mut environment = wire.env();
    environment.push((env::TIMEOUT, launch.timeout.as_secs_f64().to_string()));
    let process = Process::spawn(&launch, &environment)?;
    until(STARTUP, &process, || wire.is_ready()).await?;
    Ok(Box::new(One { process, wire, timeout: launch.timeout, _private: private }))
}

impl One {
    fn call<'a>(&self, id: &'a str) -> Call<'a> {
        Call { id, remaining: self.timeout }
    }
}

impl Host for One {
    fn http_as<'a>(&'a self, id: &'a str, request: Request<Bytes>) -> BoxFuture<'a, Result<Response<Body>>> {
        Box::pin(async move { self.wire.http(request.map(Body::from), self.call(id), ()).await })
    }

    /// [`Delivery`] does not tell messages that are put aside from those that come again.
    fn queue_as<'a>(
        &'a self,
        id: &'a str,
        function: &'a str,
        _queue: &'a str,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Delivery>> {
        Box::pin(async move {
            Ok(match self.wire.queue(function, &batch.messages, self.call(id)).await? {
                Answer::Done(failed) if failed.is_empty() => Delivery::Done,
                Answer::Done(failed) => Delivery::Retry(failed.into_iter().map(|f| f.id).collect()),
                Answer::Failed(error) => Delivery::RetryAll(error.error),
            })
        })
    }

    fn raw_as<'a>(
        &'a self,
        id: &'a str,
        function: &'a str,
        event: Bytes,
    ) -> BoxFuture<'a, Result<Result<Bytes, String>>> {
        Box::pin(async move {
            Ok(match self.wire.raw(function, event, self.call(id)).await? {
                Answer::Done(bytes) => Ok(bytes),
                Answer::Failed(error) => Err(error.error),
            })
        })
    }

    fn process(&self) -> &Process {
        &self.process
    }

    fn stop(&self) -> BoxFuture<'_, Result<ExitStatus>> {
        Box::pin(async move { Ok(self.process.terminate(STOP).await) })
    }
}
