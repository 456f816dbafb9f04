//! The host's end of the wire, and a host of one process around it for tests.
//!
//! [`Wire`] is the platform itself: the host that `xcloud deploy` starts drives its processes with it. [`start`] adds
//! what a test needs, without queues on disk, restarts or routing.

mod connection;

use std::io::{Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use xcloud_core::cloudevents;
use xcloud_core::event::{Batch, RawMessage, Record, neutral};
use xcloud_core::text::base64_encode;
use xcloud_core::{Body, BoxFuture, Error, Result, env};
use xcloud_serve::host::{Delivery, Host, Launch, Process, until};
use xcloud_serve::parts::request_id;

use self::connection::{Broken, Connection, Idle, Received, Reply, Streamed};
use crate::binding::{self, WireBatch, WireError, WireFailure, WireFailures, WireMessage, WireSettlement};

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
    idle: Idle,
}

/// A request that did not get an answer.
#[derive(Debug)]
pub struct Lost {
    /// What happened.
    pub error: Error,
    /// Whether the process may have begun to handle it. If not, it can be sent to another one.
    pub begun: bool,
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
        Ok(Self { socket, token, idle: Idle::default() })
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
        match Connection::open(&self.socket).await {
            Ok(connection) => {
                self.idle.give(connection);
                true
            }
            Err(_) => false,
        }
    }

    /// Passes a client's request on as the front does: headers of the host's and of one hop come off, the call's facts
    /// go on. A small answer is all there when this returns; of another one the body streams.
    ///
    /// # Errors
    /// When the process cannot be reached or breaks off.
    pub async fn http(&self, request: &Request<Bytes>, call: Call<'_>) -> Result<Response<Body>, Lost> {
        let head = |out: &mut Vec<u8>| {
            let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
            put(out, &[request.method().as_str(), " ", target, " HTTP/1.1\r\n"]);
            put_headers(out, request.headers());
            facts(out, call, request.body().len());
        };
        let bodiless = request.method() == Method::HEAD;
        let reply = self.send(head, request.body(), bodiless).await?;
        let mut response = Response::new(match reply.body {
            Received::Whole(bytes) => Body::from(bytes),
            Received::Stream(body) => Body::from_http_body(body),
        });
        *response.status_mut() = reply.status;
        *response.headers_mut() = reply.headers;
        Ok(response)
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

    /// Delivers an object, schedule, change, message of a topic or other event: a structured CloudEvent in the neutral
    /// form.
    ///
    /// # Errors
    /// [`xcloud_core::ErrorKind::Unavailable`] when the process cannot be reached or breaks off.
    pub async fn record(&self, function: &str, event: Bytes, call: Call<'_>) -> Result<Answer<Bytes>> {
        self.event("record", function, event, call).await
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
        let head = |out: &mut Vec<u8>| {
            put(out, &["POST / HTTP/1.1\r\nhost: localhost\r\n"]);
            put(out, &[binding::TOKEN_HEADER, ": ", &self.token, "\r\n"]);
            put(out, &[binding::EVENT_HEADER, ": ", kind, "\r\n"]);
            put(out, &[binding::FUNCTION_HEADER, ": ", function, "\r\n"]);
            facts(out, call, body.len());
        };
        let reply = self.send(head, &body, false).await.map_err(|lost| lost.error)?;
        let status = reply.status;
        let bytes = match reply.body {
            Received::Whole(bytes) => bytes,
            Received::Stream(body) => collect(body).await?,
        };
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
    async fn send(&self, head: impl Fn(&mut Vec<u8>), body: &Bytes, bodiless: bool) -> Result<Reply, Lost> {
        while let Some(mut connection) = self.idle.take() {
            head(connection.head());
            match connection.exchange(body, bodiless, &self.idle).await {
                Ok(reply) => return Ok(reply),
                Err(Broken { begun: false, .. }) => {}
                Err(Broken { error, .. }) => return Err(Lost { error: away(error), begun: true }),
            }
        }
        let mut connection = Connection::open(&self.socket)
            .await
            .map_err(|error| Lost { error: away(error), begun: false })?;
        head(connection.head());
        let reply = connection.exchange(body, bodiless, &self.idle).await;
        reply.map_err(|broken| Lost { error: away(broken.error), begun: broken.begun })
    }
}

fn put(out: &mut Vec<u8>, parts: &[&str]) {
    parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
}

/// A client's headers, without the host's own and those of one hop; the length is the host's to say.
fn put_headers(out: &mut Vec<u8>, headers: &HeaderMap) {
    if !headers.contains_key(header::HOST) {
        put(out, &["host: localhost\r\n"]);
    }
    for (name, value) in headers {
        let hop = matches!(
            name.as_str(),
            "connection"
                | "content-length"
                | "keep-alive"
                | "proxy-connection"
                | "te"
                | "trailer"
                | "transfer-encoding"
                | "upgrade"
        );
        if !hop && !name.as_str().starts_with(binding::HEADER_PREFIX) {
            put(out, &[name.as_str(), ": "]);
            out.extend_from_slice(value.as_bytes());
            put(out, &["\r\n"]);
        }
    }
}

/// What the process is told of the call, and the end of the head.
fn facts(out: &mut Vec<u8>, call: Call<'_>, length: usize) {
    put(out, &[binding::ID_HEADER, ": ", call.id, "\r\n"]);
    let (name, ms) = (binding::REMAINING_HEADER, call.remaining.as_millis());
    // A Vec takes everything.
    drop(write!(out, "{name}: {ms}\r\ncontent-length: {length}\r\n\r\n"));
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

async fn collect(mut body: Streamed) -> Result<Bytes> {
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

/// A response whose body keeps something until it has ended or is dropped. A body that is all there keeps nothing.
pub fn guarded(response: Response<Body>, guard: impl Send + Unpin + 'static) -> Response<Body> {
    if !response.body().is_stream() {
        return response;
    }
    response.map(|body| Body::from_http_body(Guarded { body, _guard: guard }))
}

struct Guarded<G> {
    body: Body,
    _guard: G,
}

impl<G: Unpin> HttpBody for Guarded<G> {
    type Data = Bytes;
    type Error = xcloud_core::BoxError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, xcloud_core::BoxError>>> {
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
        Box::pin(async move { self.wire.http(&request, self.call(id)).await.map_err(|lost| lost.error) })
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

    fn record_as<'a>(
        &'a self,
        id: &'a str,
        function: &'a str,
        record: Record,
    ) -> BoxFuture<'a, Result<Delivery>> {
        Box::pin(async move {
            let event = cloudevents::to_json(&neutral::to_cloud_event(&record)).to_string();
            Ok(match self.wire.record(function, event.into(), self.call(id)).await? {
                Answer::Done(_) => Delivery::Done,
                Answer::Failed(error) => Delivery::RetryAll(error.error),
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
