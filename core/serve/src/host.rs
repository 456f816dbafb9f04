//! The platform's side of a wire, as tests, `xcloud dev --as` and emulators use it: one trait that every room's
//! `host.rs` implements, and the child process that all of them drive.

mod process;
mod tap;
mod wire;

use std::future::Future;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::process::Command;
use xcloud_core::event::{Batch, Record};
use xcloud_core::{Body, BoxFuture, Error, Result};

pub use self::process::Process;
pub use self::tap::{Tap, Way, body_text, request_text, response_text};
pub use self::wire::{Address, collect, forward, stream, strip_hop};
use crate::parts::request_id;

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
    /// Where its output goes.
    pub output: Output,
    /// Who sees what goes over the wire.
    pub tap: Tap,
}

/// Where a process's output goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Output {
    /// It is kept: [`Host::output`] has it.
    #[default]
    Kept,
    /// To this process's own.
    Passed,
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

/// A platform's side of the wire with one function process behind it. Calls may be made at the same time; a platform that
/// gives an instance one call at a time lets the others wait.
pub trait Host: Send + Sync {
    /// Sends a request as the platform's HTTP front would, and returns what its client would see. Where the platform
    /// tells the function the call's id, it is this one. The body comes as it is sent, where the platform passes it on so.
    fn http_as<'a>(
        &'a self,
        id: &'a str,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'a, Result<http::Response<Body>>>;

    /// Delivers messages of a queue to the function with this cloud name.
    fn queue_as<'a>(
        &'a self,
        id: &'a str,
        function: &'a str,
        queue: &'a str,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Delivery>>;

    /// Hands an event of no kind to the function with this cloud name, and returns what it answered; inside, why it
    /// failed.
    ///
    /// # Errors
    /// [`xcloud_core::ErrorKind::Unsupported`] where the platform has no such events.
    fn raw_as<'a>(
        &'a self,
        id: &'a str,
        function: &'a str,
        event: Bytes,
    ) -> BoxFuture<'a, Result<Result<Bytes, String>>>;

    /// Delivers one event that is neither a request nor a queue's batch to the function with this cloud name, as the
    /// platform writes it.
    ///
    /// # Errors
    /// [`xcloud_core::ErrorKind::Unsupported`] where the platform has no such events.
    fn record_as<'a>(
        &'a self,
        id: &'a str,
        function: &'a str,
        record: Record,
    ) -> BoxFuture<'a, Result<Delivery>>;

    /// Whether each message of a queue is a call of its own.
    fn one_by_one(&self) -> bool {
        false
    }

    /// The function's process.
    fn process(&self) -> &Process;

    /// Ends the process the way the platform does.
    fn stop(&self) -> BoxFuture<'_, Result<ExitStatus>>;

    /// [`Host::http_as`] with a new id, and the whole body.
    fn http(&self, request: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<Bytes>>> {
        Box::pin(async move { collect(self.http_as(&request_id(), request).await?).await })
    }

    /// [`Host::queue_as`] with a new id.
    fn queue<'a>(
        &'a self,
        function: &'a str,
        queue: &'a str,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Delivery>> {
        Box::pin(async move { self.queue_as(&request_id(), function, queue, batch).await })
    }

    /// [`Host::record_as`] with a new id.
    fn record<'a>(&'a self, function: &'a str, record: Record) -> BoxFuture<'a, Result<Delivery>> {
        Box::pin(async move { self.record_as(&request_id(), function, record).await })
    }

    /// What the process has written so far, stdout and stderr interleaved by line.
    fn output(&self) -> String {
        self.process().output()
    }
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
        let ended = process.status();
        if ended.is_some() || Instant::now() > end {
            let what =
                ended.map_or_else(|| format!("not ready within {limit:?}"), |s| format!("it ended: {s}"));
            // It may have written to where this process writes.
            let wrote = Some(process.output()).filter(|output| !output.is_empty());
            let wrote = wrote.map(|output| format!("; it wrote: {output}")).unwrap_or_default();
            return Err(Error::unavailable(format!("the function's process: {what}{wrote}")));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Asks a program for its Spec, as the CLI does: `XCLOUD_DESCRIBE` in an otherwise clean environment.
///
/// # Errors
/// When it cannot be run, does not end in five seconds, or writes something else.
pub async fn describe(program: &std::path::Path) -> Result<xcloud_core::spec::Spec> {
    let file = std::env::temp_dir().join(format!("xcloud-describe-{}.json", request_id()));
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
