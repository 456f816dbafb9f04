//! One process of a function: started, watched, drained, ended.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{ChildStdin, Command};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use xcloud_core::{Error, Result};
use xcloud_local::binding;
use xcloud_local::host::Wire;

use super::logs::{Log, lines};

/// What a process may take from start to the end of its init.
pub(crate) const STARTUP: Duration = Duration::from_secs(30);
/// From SIGTERM to SIGKILL.
const TERM: Duration = Duration::from_secs(10);
/// How many of its last lines are kept to explain a failed start.
const TAIL: usize = 20;
/// What pipes may take to end after the process has.
const PIPES: Duration = Duration::from_millis(500);

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct Blueprint {
    pub(crate) program: PathBuf,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) log: Arc<Log>,
    /// The longest call.
    pub(crate) timeout: Duration,
    pub(crate) run: PathBuf,
}

/// A process that is ready for calls.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) wire: Wire,
    pid: Pid,
    _files: Files,
    in_flight: AtomicUsize,
    retired: AtomicBool,
    idle: Notify,
    stuck: Notify,
}

/// The running process beside [`Child`], for the one who waits for its end.
#[derive(Debug)]
pub(crate) struct Running {
    process: tokio::process::Child,
    /// Dropped with the host, however it ends: the process sees its standard input close.
    _lifeline: Option<ChildStdin>,
    pipes: Vec<JoinHandle<()>>,
}

/// Socket and pid file, removed with the value.
#[derive(Debug)]
struct Files {
    socket: PathBuf,
    pid: PathBuf,
}

impl Files {
    fn new(run: &Path) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { socket: run.join(format!("{number}.sock")), pid: run.join(format!("{number}.pid")) }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // What cannot be removed is removed by the next host.
        drop(std::fs::remove_file(&self.socket));
        drop(std::fs::remove_file(&self.pid));
    }
}

/// A call on its way: the process is not ended before it is over.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Child>);

impl std::ops::Deref for Lease {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl Lease {
    /// The process itself.
    pub(crate) fn child(&self) -> Arc<Child> {
        Arc::clone(&self.0)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 && self.0.retired.load(Ordering::SeqCst) {
            self.0.idle.notify_one();
        }
    }
}

impl Child {
    /// Starts the process and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be started, ends, or is not ready in time: with its last lines.
    pub(crate) async fn start(blueprint: &Blueprint) -> Result<(Arc<Self>, Running)> {
        let files = Files::new(&blueprint.run);
        let wire = Wire::new(files.socket.clone())?;
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let mut running = spawn(blueprint, &wire, &tail)?;
        let pid = running.process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let pid = pid.ok_or_else(|| Error::unavailable("the function's process ended at once"))?;
        std::fs::write(&files.pid, super::leftovers::describe(pid))
            .map_err(crate::error::io(format!("cannot write {}", files.pid.display())))?;
        let why = match ready(&wire, &mut running).await {
            Ok(()) => {
                let child = Self {
                    wire,
                    pid,
                    _files: files,
                    in_flight: AtomicUsize::new(0),
                    retired: AtomicBool::new(false),
                    idle: Notify::new(),
                    stuck: Notify::new(),
                };
                return Ok((Arc::new(child), running));
            }
            Err(why) => why,
        };
        kill(pid);
        drop(running.wait().await);
        let lines = tail.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect::<Vec<_>>();
        let wrote = if lines.is_empty() { "nothing".to_owned() } else { lines.join("\n") };
        Err(Error::handler(format!("{why}; it wrote: {wrote}")))
    }

    /// Begins a call, unless the process is to be ended.
    pub(crate) fn lease(self: &Arc<Self>) -> Option<Lease> {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        // Counted first, asked then: `retire` does it the other way round, so one of the two sees the other.
        let lease = Lease(Arc::clone(self));
        (!self.retired.load(Ordering::SeqCst)).then_some(lease)
    }

    /// Says that a call did not come back although its deadline has passed.
    pub(crate) fn report_stuck(&self) {
        self.stuck.notify_one();
    }

    /// Resolves when the process was reported stuck.
    pub(crate) async fn stuck(&self) {
        self.stuck.notified().await;
    }

    /// Takes no more calls, lets those on their way end (at most `limit`), then ends the process: SIGTERM, SIGKILL.
    pub(crate) async fn retire(&self, running: &mut Running, limit: Duration) {
        self.retired.store(true, Ordering::SeqCst);
        let drained = async {
            while self.in_flight.load(Ordering::SeqCst) > 0 {
                self.idle.notified().await;
            }
        };
        tokio::select! {
            _ = tokio::time::timeout(limit, drained) => {}
            _ = running.wait() => return,
        }
        // It may have ended by itself meanwhile.
        let _ = kill_process(self.pid, Signal::TERM);
        if tokio::time::timeout(TERM, running.wait()).await.is_err() {
            kill(self.pid);
            drop(running.wait().await);
        }
    }
}

impl Running {
    /// Waits for the process to end and its last lines to be logged.
    pub(crate) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.process.wait().await?;
        for pipe in &mut self.pipes {
            // A process that it has left behind may hold the pipe open.
            if tokio::time::timeout(PIPES, &mut *pipe).await.is_err() {
                pipe.abort();
            }
        }
        self.pipes.clear();
        Ok(status)
    }
}

fn spawn(blueprint: &Blueprint, wire: &Wire, tail: &Arc<Mutex<VecDeque<String>>>) -> Result<Running> {
    let mut command = Command::new(&blueprint.program);
    command.env_clear();
    command.envs(
        ["PATH", "HOME", "TZ", "LANG", "TMPDIR"].iter().filter_map(|n| Some((n, std::env::var_os(n)?))),
    );
    command.envs(blueprint.env.iter().map(|(k, v)| (k, v)));
    command.envs(wire.env()).env(binding::LIFELINE, "stdin");
    if let Some(directory) = blueprint.program.parent() {
        command.current_dir(directory);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own: signals of a terminal do not reach it, and what it starts is ended with it.
    command.process_group(0).kill_on_drop(true);
    let mut process = command.spawn().map_err(|e| {
        Error::handler(format!("cannot start {}: {e}", blueprint.program.display())).caused_by(e)
    })?;
    let mut pipes = Vec::new();
    if let Some(pipe) = process.stdout.take() {
        let (log, tail) = (Arc::clone(&blueprint.log), Arc::clone(tail));
        pipes.push(tokio::spawn(async move { lines(pipe, |line| keep(&log, &tail, "stdout", line)).await }));
    }
    if let Some(pipe) = process.stderr.take() {
        let (log, tail) = (Arc::clone(&blueprint.log), Arc::clone(tail));
        pipes.push(tokio::spawn(async move { lines(pipe, |line| keep(&log, &tail, "stderr", line)).await }));
    }
    let lifeline = process.stdin.take();
    Ok(Running { process, _lifeline: lifeline, pipes })
}

fn keep(log: &Log, tail: &Mutex<VecDeque<String>>, stream: &str, line: &str) {
    log.write(stream, line);
    let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
    if tail.len() == TAIL {
        tail.pop_front();
    }
    tail.push_back(line.to_owned());
}

async fn ready(wire: &Wire, running: &mut Running) -> Result<(), String> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if wire.socket().exists() && wire.is_ready().await {
            return Ok(());
        }
        match running.process.try_wait() {
            Ok(Some(status)) => {
                return Err(format!("the function's process ended before it was ready: {status}"));
            }
            Ok(None) if started.elapsed() > STARTUP => {
                return Err(format!("the function's process was not ready within {STARTUP:?}"));
            }
            Ok(None) => {}
            Err(e) => return Err(format!("the function's process cannot be watched: {e}")),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// SIGKILL for the process and what it started.
fn kill(pid: Pid) {
    let _ = kill_process_group(pid, Signal::KILL);
}
