//! One process of a function: started, watched, drained, ended.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{ChildStdin, Command};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use xcloud_core::{Error, Result};
use xcloud_local::binding;
use xcloud_local::host::Wire;

use super::cgroup::{Group, Groups};
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
#[derive(Clone)]
pub(crate) struct Blueprint {
    pub(crate) program: PathBuf,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) log: Arc<Log>,
    pub(crate) run: PathBuf,
    /// The memory that an instance may use, where the kernel sees to it.
    pub(crate) memory: Option<(Arc<Groups>, u64)>,
}

/// Without the environment: secrets are in it.
impl std::fmt::Debug for Blueprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blueprint({})", self.program.display())
    }
}

/// A process that is ready for calls.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) wire: Wire,
    /// Unique in this host.
    pub(crate) number: u64,
    pid: Pid,
    _files: Files,
    group: Option<Group>,
    in_flight: AtomicUsize,
    /// When it got ready; times of calls are counted from here.
    since: Instant,
    /// Microseconds: the ends of calls less their beginnings. With those on their way it is the time of all calls.
    area: AtomicI64,
    cold: AtomicBool,
    idle: Notify,
    stuck: Notify,
    /// Why the host killed it: what callers are told.
    killed: OnceLock<String>,
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
    number: u64,
    socket: PathBuf,
    pid: PathBuf,
}

impl Files {
    fn new(run: &Path) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { number, socket: run.join(format!("{number}.sock")), pid: run.join(format!("{number}.pid")) }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // What cannot be removed is removed by the next host.
        drop(std::fs::remove_file(&self.socket));
        drop(std::fs::remove_file(&self.pid));
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
        let group = group(blueprint, files.number, pid);
        let why = match ready(&wire, &mut running).await {
            Ok(()) => {
                return Ok((Arc::new(Self::new(wire, pid, files, group)), running));
            }
            Err(why) => group.as_ref().and_then(Group::exceeded).unwrap_or(why),
        };
        kill(pid);
        drop(running.exited().await);
        running.close().await;
        let lines = tail.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect::<Vec<_>>();
        let wrote = if lines.is_empty() { "nothing".to_owned() } else { lines.join("\n") };
        Err(Error::handler(format!("{why}; it wrote: {wrote}")))
    }

    fn new(wire: Wire, pid: Pid, files: Files, group: Option<Group>) -> Self {
        Self {
            wire,
            number: files.number,
            pid,
            _files: files,
            group,
            in_flight: AtomicUsize::new(0),
            since: Instant::now(),
            area: AtomicI64::new(0),
            cold: AtomicBool::new(true),
            idle: Notify::new(),
            stuck: Notify::new(),
            killed: OnceLock::new(),
        }
    }

    /// The process's id.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Calls that it has been given and has not ended. The pool's lock is held by who changes it.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    fn micros(&self) -> i64 {
        i64::try_from(self.since.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    /// The time of all calls so far, those on their way counted until now.
    pub(crate) fn busy(&self) -> Duration {
        let on_their_way = i64::try_from(self.in_flight()).unwrap_or(0).saturating_mul(self.micros());
        let sum = self.area.load(Ordering::SeqCst).saturating_add(on_their_way);
        Duration::from_micros(u64::try_from(sum).unwrap_or(0))
    }

    /// Begins a call.
    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        self.area.fetch_sub(self.micros(), Ordering::SeqCst);
    }

    /// True once: for the first call.
    pub(crate) fn take_cold(&self) -> bool {
        self.cold.load(Ordering::Relaxed) && self.cold.swap(false, Ordering::Relaxed)
    }

    /// Ends a call; true when it was the last one on its way.
    pub(crate) fn end(&self) -> bool {
        self.area.fetch_add(self.micros(), Ordering::SeqCst);
        let last = self.in_flight.fetch_sub(1, Ordering::SeqCst) == 1;
        if last {
            self.idle.notify_one();
        }
        last
    }

    /// Says that a call did not come back although its deadline has passed.
    pub(crate) fn report_stuck(&self) {
        self.stuck.notify_one();
    }

    /// Resolves when the process was reported stuck.
    pub(crate) async fn stuck(&self) {
        self.stuck.notified().await;
    }

    /// Why the host or, for its memory, the kernel has killed it, if one of them has.
    pub(crate) fn killed(&self) -> Option<&str> {
        if self.killed.get().is_none()
            && let Some(why) = self.group.as_ref().and_then(Group::exceeded)
        {
            // Whoever asks at the same time has found the same.
            drop(self.killed.set(why));
        }
        self.killed.get().map(String::as_str)
    }

    /// Whether the kernel holds its memory limit.
    pub(crate) fn is_held(&self) -> bool {
        self.group.is_some()
    }

    /// Kills the process and what it started; callers are told why.
    pub(crate) fn kill(&self, why: String) {
        drop(self.killed.set(why));
        kill(self.pid);
    }

    /// Lets calls on their way end (at most `limit`), then ends the process: SIGTERM, SIGKILL. It must be given no
    /// more calls.
    pub(crate) async fn retire(&self, running: &mut Running, limit: Duration) {
        let drained = async {
            while self.in_flight() > 0 {
                self.idle.notified().await;
            }
        };
        tokio::select! {
            _ = tokio::time::timeout(limit, drained) => {}
            _ = running.exited() => return running.close().await,
        }
        // It may have ended by itself meanwhile.
        let _ = kill_process(self.pid, Signal::TERM);
        if tokio::time::timeout(TERM, running.exited()).await.is_err() {
            kill(self.pid);
            drop(running.exited().await);
        }
        running.close().await;
    }
}

impl Running {
    /// Waits for the process to end.
    pub(crate) async fn exited(&mut self) -> std::io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// After its end: waits for its last lines to be logged.
    pub(crate) async fn close(&mut self) {
        for pipe in &mut self.pipes {
            // A process that it has left behind may hold the pipe open.
            if tokio::time::timeout(PIPES, &mut *pipe).await.is_err() {
                pipe.abort();
            }
        }
        self.pipes.clear();
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

/// The instance's group, with its process in it. Without one its memory is looked at, as where there are none.
fn group(blueprint: &Blueprint, number: u64, pid: Pid) -> Option<Group> {
    let (groups, limit) = blueprint.memory.as_ref()?;
    let entered = groups.instance(number, *limit).and_then(|group| {
        group.admit(pid.as_raw_nonzero().get())?;
        Ok(group)
    });
    let note = |e| blueprint.log.write("platform", &format!("its memory is only looked at: no cgroup: {e}"));
    entered.map_err(note).ok()
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
