//! A function of a deployed version: keeps one process of it running.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use xcloud_core::{Error, Result};

use super::asked_to;
use super::child::{Blueprint, Child, Lease, Running};

/// A process that ran this long was well: its end counts as the first again.
const WELL: Duration = Duration::from_secs(10);
/// The longest pause between two starts.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Above a call's timeout, what draining waits.
const DRAIN_MARGIN: Duration = Duration::from_secs(2);

/// How a function is.
#[derive(Debug, Clone)]
pub(crate) enum State {
    Starting,
    Ready(Arc<Child>),
    /// It ended or did not start, and is started again after a pause.
    Failed(String),
    Stopped,
}

/// Keeps one process of a function running until it is stopped.
#[derive(Debug)]
pub(crate) struct Runner {
    blueprint: Blueprint,
    state: watch::Sender<State>,
    stop: watch::Sender<bool>,
    task: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Runner {
    /// Starts the function; its first process is ready when this returns.
    ///
    /// # Errors
    /// What kept the process from getting ready.
    pub(crate) async fn start(blueprint: Blueprint) -> Result<Arc<Self>> {
        let first = Child::start(&blueprint).await?;
        Ok(Self::run(blueprint, Some(first)))
    }

    /// Starts the function, however long that takes: after a restart of the host.
    pub(crate) fn restore(blueprint: Blueprint) -> Arc<Self> {
        Self::run(blueprint, None)
    }

    fn run(blueprint: Blueprint, first: Option<(Arc<Child>, Running)>) -> Arc<Self> {
        let state = match &first {
            Some((child, _)) => State::Ready(Arc::clone(child)),
            None => State::Starting,
        };
        let runner = Arc::new(Self {
            blueprint,
            state: watch::Sender::new(state),
            stop: watch::Sender::new(false),
            task: std::sync::Mutex::default(),
        });
        let task = tokio::spawn(Arc::clone(&runner).supervise(first));
        *runner.task.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(task);
        runner
    }

    /// How it is.
    pub(crate) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// The longest call.
    pub(crate) fn timeout(&self) -> Duration {
        self.blueprint.timeout
    }

    /// Writes a line of the platform to the function's log.
    pub(crate) fn note(&self, line: &str) {
        self.blueprint.log.write("platform", line);
    }

    /// Begins a call. While the process starts, waits for it, at most `limit`.
    ///
    /// # Errors
    /// [`xcloud_core::ErrorKind::Unavailable`]: it does not start; [`xcloud_core::ErrorKind::Conflict`]: it was stopped,
    /// another version serves.
    pub(crate) async fn lease(&self, limit: Duration) -> Result<Lease> {
        if let State::Ready(child) = &*self.state.borrow()
            && let Some(lease) = child.lease()
        {
            return Ok(lease);
        }
        tokio::time::timeout(limit, self.next_lease())
            .await
            .unwrap_or_else(|_| Err(Error::unavailable("the function is starting and was not ready in time")))
    }

    async fn next_lease(&self) -> Result<Lease> {
        let mut changes = self.state.subscribe();
        loop {
            let state = changes.borrow_and_update().clone();
            match state {
                State::Ready(child) => match child.lease() {
                    Some(lease) => return Ok(lease),
                    None if *self.stop.borrow() => return Err(stopped()),
                    None => {}
                },
                State::Starting => {}
                State::Failed(why) => return Err(Error::unavailable(format!("the function is down: {why}"))),
                State::Stopped => return Err(stopped()),
            }
            if changes.changed().await.is_err() {
                return Err(stopped());
            }
        }
    }

    /// Lets calls on their way end, then ends the process. Returns when it has ended.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        let task = self.task.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(task) = task {
            // A panic in the task has ended the process with it: kill_on_drop.
            drop(task.await);
        }
    }

    async fn supervise(self: Arc<Self>, mut first: Option<(Arc<Child>, Running)>) {
        let mut stop = self.stop.subscribe();
        let mut failures = 0;
        loop {
            let started = Instant::now();
            let attempt = match first.take() {
                Some(ready) => Ok(ready),
                None => tokio::select! {
                    started = Child::start(&self.blueprint) => started,
                    () = asked_to(&mut stop) => break,
                },
            };
            let why = match attempt {
                Ok((child, running)) => match self.watch(&child, running, &mut stop).await {
                    Some(why) => why,
                    None => break,
                },
                Err(error) => error.message().to_owned(),
            };
            failures = if started.elapsed() > WELL { 1 } else { failures + 1 };
            self.note(&why);
            // One end alone is an accident: callers wait for the next start instead of being refused.
            let state = if failures == 1 { State::Starting } else { State::Failed(why) };
            self.state.send_replace(state);
            let pause = tokio::time::sleep(pause(failures));
            tokio::select! { () = pause => {}, () = asked_to(&mut stop) => break }
        }
        self.state.send_replace(State::Stopped);
    }

    /// Until the process ends: why. `None` when it was to be stopped, and is.
    async fn watch(
        &self,
        child: &Arc<Child>,
        mut running: Running,
        stop: &mut watch::Receiver<bool>,
    ) -> Option<String> {
        self.state.send_replace(State::Ready(Arc::clone(child)));
        let limit = self.blueprint.timeout + DRAIN_MARGIN;
        tokio::select! {
            status = running.wait() => Some(match status {
                Ok(status) => format!("the function's process ended: {status}"),
                Err(e) => format!("the function's process cannot be watched: {e}"),
            }),
            () = child.stuck() => {
                // Calls on their way may still end well; a new process takes the next ones meanwhile.
                let child = Arc::clone(child);
                tokio::spawn(async move { child.retire(&mut running, limit).await });
                Some("a call did not end by its deadline: the process is replaced".to_owned())
            }
            () = asked_to(stop) => {
                child.retire(&mut running, limit).await;
                None
            }
        }
    }
}

fn stopped() -> Error {
    Error::conflict("this version of the function was stopped")
}

/// None before the first restart, then 100 ms, doubled each time.
fn pause(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        n => Duration::from_millis(100).saturating_mul(1 << (n - 2).min(10)).min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_bounded() {
        let pauses: Vec<_> = (1..=4).map(|n| pause(n).as_millis()).collect();
        assert_eq!(pauses, [0, 100, 200, 400]);
        assert_eq!(pause(1000), LONGEST_PAUSE);
    }
}
