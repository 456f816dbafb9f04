//! The platform's side of a wire, as tests, `xcloud dev --as` and emulators use it: one trait that every room's
//! `host.rs` implements, and the child process that all of them drive.

use std::future::Future;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use xcloud_core::event::{Batch, Record};
use xcloud_core::{BoxFuture, Error, ErrorKind, Result};

/// How a host starts the function's process.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The function's binary.
    pub program: std::path::PathBuf,
    /// Environment beside what the platform sets. The parent's environment is not inherited.
    pub env: Vec<(String, String)>,
    /// What `XCLOUD_FUNCTION` is set to, as a deployer would; `None` leaves it unset.
    pub function: Option<String>,
    /// The longest call.
    pub timeout: Duration,
}

/// What came of a batch, as the platform understands the function's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// All messages are done.
    Done,
    /// These messages come again, the others are done.
    Retry(Vec<String>),
    /// The whole batch comes again: the answer said so, or was none.
    RetryAll(String),
}

/// A platform's side of the wire with one function process behind it.
pub trait Host: Send + Sync {
    /// Sends a request as the platform's HTTP front would, and returns what its client would see.
    fn http(&self, request: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<Bytes>>>;

    /// Delivers messages of a queue to the function with this cloud name.
    fn queue<'a>(
        &'a self,
        function: &'a str,
        queue: &'a str,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Delivery>>;

    /// Delivers one event that is neither a request nor a queue's batch to the function with this cloud name, as the
    /// platform writes it.
    fn record<'a>(&'a self, function: &'a str, record: Record) -> BoxFuture<'a, Result<Delivery>> {
        let kind = record.kind().as_str();
        let message = format!("this platform's host sends no {kind} event to `{function}`");
        Box::pin(std::future::ready(Err(Error::new(ErrorKind::Unsupported, message))))
    }

    /// What the process has written so far, stdout and stderr interleaved by line.
    fn output(&self) -> String;

    /// Ends the process the way the platform does.
    fn stop(&self) -> BoxFuture<'_, Result<ExitStatus>>;
}

/// A running child whose output is kept.
#[derive(Debug)]
pub struct Process {
    child: tokio::sync::Mutex<Child>,
    output: Arc<Mutex<String>>,
}

impl Process {
    /// Starts the program with `env` added to what [`Launch`] asks for.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(launch: &Launch, env: &[(&str, String)]) -> Result<Self> {
        let mut command = Command::new(&launch.program);
        command.env_clear().envs(env.iter().map(|(k, v)| (k, v)));
        command.envs(launch.env.iter().map(|(k, v)| (k, v)));
        if let Some(function) = &launch.function {
            command.env(xcloud_core::env::FUNCTION, function);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|e| {
            Error::unavailable(format!("cannot start {}: {e}", launch.program.display())).caused_by(e)
        })?;
        let output = Arc::new(Mutex::new(String::new()));
        keep(child.stdout.take(), &output);
        keep(child.stderr.take(), &output);
        Ok(Self { child: tokio::sync::Mutex::new(child), output })
    }

    /// What it has written so far.
    pub fn output(&self) -> String {
        self.output.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Its process id, while it runs.
    pub async fn id(&self) -> Option<u32> {
        self.child.lock().await.id()
    }

    /// Whether it has ended by itself.
    ///
    /// # Errors
    /// When the system does not tell.
    pub async fn try_wait(&self) -> Result<Option<ExitStatus>> {
        Ok(self.child.lock().await.try_wait()?)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub async fn wait(&self, limit: Duration) -> Result<ExitStatus> {
        let mut child = self.child.lock().await;
        match tokio::time::timeout(limit, child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => Err(Error::unavailable(format!("the process did not end within {limit:?}"))),
        }
    }

    /// SIGKILL, as platforms without a graceful stop do.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(&self) -> Result<ExitStatus> {
        let mut child = self.child.lock().await;
        child.start_kill()?;
        Ok(child.wait().await?)
    }
}

fn keep(pipe: Option<impl AsyncRead + Unpin + Send + 'static>, output: &Arc<Mutex<String>>) {
    let Some(pipe) = pipe else { return };
    let output = Arc::clone(output);
    tokio::spawn(async move {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).await.is_ok_and(|n| n > 0) {
            let mut output = output.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            output.push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
}

/// A loopback port that was free a moment ago. Each call gives another one, from below the range that systems give to
/// outgoing connections: two trials at once never get the same, and no client takes it before the process listens.
///
/// # Errors
/// When none is free.
pub fn free_port() -> Result<u16> {
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 20_000;
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    // Another process begins elsewhere.
    let start = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let next = start.wrapping_add(NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) % COUNT;
        let Ok(port) = u16::try_from(FIRST + next) else { continue };
        // Asked by connecting, not by binding: a listener of ours could live on for a moment in a child that another
        // trial is just starting, between its fork and its exec, and then the port that was free is taken.
        let refused = |e: &std::io::Error| e.kind() == std::io::ErrorKind::ConnectionRefused;
        if std::net::TcpStream::connect(("127.0.0.1", port)).as_ref().is_err_and(refused) {
            return Ok(port);
        }
    }
    Err(Error::unavailable("no port is free"))
}

/// Tries `probe` every few milliseconds until it is true.
///
/// # Errors
/// When it is not within `limit`, with what the process wrote.
pub async fn until<F, P>(limit: Duration, process: &Process, mut probe: P) -> Result<()>
where
    P: FnMut() -> F,
    F: Future<Output = bool>,
{
    let end = Instant::now() + limit;
    while !probe().await {
        let ended = process.try_wait().await?;
        if ended.is_some() || Instant::now() > end {
            let what =
                ended.map_or_else(|| format!("not ready within {limit:?}"), |s| format!("it ended: {s}"));
            return Err(Error::unavailable(format!(
                "the function's process: {what}; it wrote: {}",
                process.output()
            )));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

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
pub fn strip_hop(headers: &mut http::HeaderMap) {
    for name in HOP {
        headers.remove(name);
    }
}

/// Sends one request to the process as a front does, with `content-length`, and reads the whole answer.
///
/// # Errors
/// When the process cannot be reached, or breaks off before its answer ended.
pub async fn forward(address: &Address, request: http::Request<Bytes>) -> Result<http::Response<Bytes>> {
    match address {
        Address::Port(port) => {
            exchange(tokio::net::TcpStream::connect(("127.0.0.1", *port)).await, request).await
        }
        Address::Socket(path) => exchange(tokio::net::UnixStream::connect(path).await, request).await,
    }
}

async fn exchange<S>(
    stream: std::io::Result<S>,
    request: http::Request<Bytes>,
) -> Result<http::Response<Bytes>>
where
    S: AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let away =
        |e: &dyn std::fmt::Display| Error::unavailable(format!("the function's process did not answer: {e}"));
    let stream = stream.map_err(|e| away(&e))?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(|e| away(&e))?;
    let connection = tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    strip_hop(&mut parts.headers);
    if !parts.headers.contains_key(http::header::HOST) {
        parts.headers.insert(http::header::HOST, http::HeaderValue::from_static("app.example"));
    }
    // Origin form, as on the wire: fronts send the path and query alone.
    if let Some(target) = parts.uri.path_and_query().and_then(|p| p.as_str().parse().ok()) {
        parts.uri = target;
    }
    let request = http::Request::from_parts(parts, xcloud_core::Body::from(body));
    let response = sender.send_request(request).await.map_err(|e| away(&e))?;
    let (mut parts, body) = response.into_parts();
    let body = xcloud_core::Body::from_http_body(body).collect().await.map_err(|e| away(&e))?;
    connection.abort();
    strip_hop(&mut parts.headers);
    Ok(http::Response::from_parts(parts, body))
}

/// SIGTERM, then up to `grace` for the process to end, then SIGKILL.
///
/// # Errors
/// When the system refuses.
pub async fn terminate(process: &Process, grace: Duration) -> Result<ExitStatus> {
    if let Some(id) = process.id().await {
        // The standard library has no SIGTERM and this crate no unsafe code; every system that runs tests has kill.
        drop(Command::new("kill").arg("-TERM").arg(id.to_string()).status().await);
    }
    match process.wait(grace).await {
        Ok(status) => Ok(status),
        Err(_) => process.kill().await,
    }
}

/// Asks a program for its Spec, as the CLI does: `XCLOUD_DESCRIBE` in an otherwise clean environment.
///
/// # Errors
/// When it cannot be run, does not end in five seconds, or writes something else.
pub async fn describe(program: &std::path::Path) -> Result<xcloud_core::spec::Spec> {
    let file = std::env::temp_dir().join(format!("xcloud-describe-{}.json", crate::parts::request_id()));
    let mut command = Command::new(program);
    command.env_clear().env(xcloud_core::env::DESCRIBE, &file).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(5), command.output()).await;
    let json = std::fs::read(&file);
    drop(std::fs::remove_file(&file));
    match (output, json) {
        (Ok(Ok(output)), Ok(json)) if output.status.success() => {
            serde_json::from_slice(&json).map_err(Into::into)
        }
        (output, _) => {
            Err(Error::unavailable(format!("{} does not describe itself: {output:?}", program.display())))
        }
    }
}
