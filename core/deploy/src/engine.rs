//! Applies a plan: the same value that was printed.
//!
//! Steps run as soon as what they come after is done, a bounded number at once. A step that fails in a way that passes
//! is tried again; one that fails for good keeps what comes after it from beginning, and those on their way end. The
//! publish comes last, so that what served before still serves whatever happens.

mod retry;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use xcloud_core::{Error, ErrorKind, Result};

use self::retry::Backoff;
use crate::plan::{Change, Plan};
use crate::provider::{Desired, Progress, Provider, State, Step};

/// The pauses before looking again: the first, doubled each time, and the longest. What is on its way at another
/// deployment ends with its step.
const AGAIN: Duration = Duration::from_millis(500);
const AGAIN_MOST: Duration = Duration::from_secs(8);

/// How a plan is applied.
#[derive(Debug, Clone)]
pub struct Options {
    /// Steps at once.
    pub parallel: usize,
    /// The longest step, its retries counted.
    pub step: Duration,
    /// The longest run.
    pub whole: Duration,
    /// Turns true when no more steps are to begin: Ctrl-C. Those on their way end.
    pub stop: watch::Receiver<bool>,
}

impl Default for Options {
    fn default() -> Self {
        // Without a sender it stays false.
        let (_, stop) = watch::channel(false);
        let minutes = |n: u64| Duration::from_secs(n * 60);
        Self { parallel: 8, step: minutes(10), whole: minutes(30), stop }
    }
}

/// Carries out a plan and puts the result into service. An empty plan calls nothing.
///
/// # Errors
/// The first step that failed for good, with what was done and what was not begun; [`ErrorKind::Config`] for a plan
/// that goes round in a circle. What was serving before still serves; the next run goes on from there.
pub async fn apply(
    provider: &dyn Provider,
    plan: &Plan,
    desired: &Desired,
    options: &Options,
    progress: &dyn Progress,
) -> Result<()> {
    if plan.is_empty() {
        return Ok(());
    }
    let run = Run { provider, desired, options, progress, end: Instant::now() + options.whole };
    let mut graph = Graph::of(plan)?;
    let result = match graph.guarded(plan) {
        Some(first) => match run.steps(&mut graph, Some(&first)).await {
            Ok(()) => run.steps(&mut graph, None).await,
            failed => failed,
        },
        None => run.steps(&mut graph, None).await,
    };
    if let Err(error) = result {
        return Err(run.account(&graph, plan, error));
    }
    if *options.stop.borrow() {
        return Err(stopped());
    }
    run.publish().await
}

/// Applies a plan as [`apply`] does. Where another deployment was under way when this one took over from it, what that one
/// still had on its way may be met with; then this one looks again, plans again and goes on, a few times.
///
/// # Errors
/// Those of [`apply`]; [`ErrorKind::Conflict`] when another deployment has taken over, or does not come to its end.
pub async fn deploy(
    provider: &dyn Provider,
    plan: &Plan,
    desired: &Desired,
    options: &Options,
    progress: &dyn Progress,
) -> Result<()> {
    let end = Instant::now() + options.whole;
    let mut plan = Cow::Borrowed(plan);
    let mut pause = AGAIN;
    loop {
        let left = Options { whole: end.saturating_duration_since(Instant::now()), ..options.clone() };
        let error = match apply(provider, &plan, desired, &left, progress).await {
            Err(error) if error.kind() == ErrorKind::Conflict && pause <= AGAIN_MOST => error,
            result => return result,
        };
        if *options.stop.borrow() || !provider.holds(desired).await.unwrap_or(false) {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
        plan = Cow::Owned(provider.plan(desired, &provider.observe(desired).await?));
        progress.again(&error, &plan);
    }
}

fn stopped() -> Error {
    Error::new(ErrorKind::Cancelled, "stopped before the end; the same command goes on from here")
}

/// One apply.
struct Run<'a> {
    provider: &'a dyn Provider,
    desired: &'a Desired,
    options: &'a Options,
    progress: &'a dyn Progress,
    end: Instant,
}

impl Run<'_> {
    /// Carries out every step, or those of a part of the graph.
    async fn steps(&self, graph: &mut Graph<'_>, only: Option<&HashSet<&str>>) -> Result<()> {
        let mut running = FuturesUnordered::new();
        let mut failed: Option<Error> = None;
        loop {
            while failed.is_none() && running.len() < self.options.parallel.max(1) {
                if *self.options.stop.borrow() {
                    failed = Some(stopped());
                    break;
                }
                let Some(change) = graph.next(only) else { break };
                running.push(async move { (change, self.step(change).await) });
            }
            let Some((change, result)) = running.next().await else { break };
            match result {
                Ok(()) => graph.done(change),
                Err(error) => {
                    failed.get_or_insert_with(|| error.with("step", &change.resource));
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn step(&self, change: &Change) -> Result<()> {
        let started = Instant::now();
        let tell = |state: State<'_>| self.progress.step(change, state, started.elapsed());
        let limit = self.end.min(started + self.options.step);
        self.tried(started, limit, &tell, |attempt| async move {
            self.provider.apply(&Step { change, desired: self.desired, attempt }).await
        })
        .await
    }

    async fn publish(&self) -> Result<()> {
        let started = Instant::now();
        let tell = |state: State<'_>| self.progress.publish(state, started.elapsed());
        self.tried(started, self.end, &tell, |_| self.provider.publish(self.desired)).await
    }

    /// Tries until it is done, fails for good or has no time left, and tells of it. The tries count from 1.
    async fn tried<F, Fut>(
        &self,
        started: Instant,
        limit: Instant,
        tell: &(impl Fn(State<'_>) + Sync),
        mut once: F,
    ) -> Result<()>
    where
        F: FnMut(u32) -> Fut,
        Fut: Future<Output = Result<()>>,
    {
        tell(State::Running);
        let mut backoff = Backoff::default();
        let mut attempt = 0;
        let result = loop {
            attempt += 1;
            let error = match timeout_at(limit, once(attempt)).await {
                Ok(Ok(())) => break Ok(()),
                Ok(Err(error)) => error,
                Err(_) => break Err(self.late(started)),
            };
            let Some(pause) = self.provider.retries(&error).and_then(|worth| backoff.pause(worth)) else {
                break Err(error);
            };
            if Instant::now() + pause >= limit || *self.options.stop.borrow() {
                break Err(error);
            }
            tell(State::Warning(&error));
            tokio::time::sleep(pause).await;
        };
        match &result {
            Ok(()) => tell(State::Done),
            Err(error) => tell(State::Failed(error)),
        }
        result
    }

    fn late(&self, started: Instant) -> Error {
        let message = format!("it was not done after {:?}", started.elapsed());
        Error::new(ErrorKind::Timeout, message)
    }

    /// The error, with how far the run came; tells the progress what was not begun.
    fn account(&self, graph: &Graph<'_>, plan: &Plan, error: Error) -> Error {
        let left: Vec<_> = plan.steps().filter(|change| !graph.begun(change)).collect();
        for change in &left {
            self.progress.step(change, State::Skipped, Duration::ZERO);
        }
        let done = plan.steps().filter(|change| graph.is_done(change)).count();
        error.with("done", done).with("not_begun", left.len())
    }
}

/// What is left to do of a plan.
struct Graph<'p> {
    waiting: Vec<&'p Change>,
    begun: HashSet<&'p str>,
    done: HashSet<&'p str>,
    after: HashMap<&'p str, Vec<&'p str>>,
}

impl<'p> Graph<'p> {
    fn of(plan: &'p Plan) -> Result<Self> {
        let steps: HashSet<&str> = plan.steps().map(|change| change.resource.as_str()).collect();
        let edges = |change: &'p Change| {
            change.after.iter().map(String::as_str).filter(|id| steps.contains(id)).collect::<Vec<_>>()
        };
        let after = plan.steps().map(|change| (change.resource.as_str(), edges(change))).collect();
        let waiting = plan.steps().collect();
        let graph = Self { waiting, begun: HashSet::new(), done: HashSet::new(), after };
        graph.check()?;
        Ok(graph)
    }

    /// Every step can come: takes away what can be done until nothing is left.
    fn check(&self) -> Result<()> {
        let mut done: HashSet<&str> = HashSet::new();
        loop {
            let ready =
                |id: &&&str| !done.contains(**id) && self.after[**id].iter().all(|a| done.contains(a));
            let next: Vec<&str> = self.after.keys().filter(ready).copied().collect();
            if next.is_empty() {
                break;
            }
            done.extend(next);
        }
        let mut stuck: Vec<_> = self.after.keys().filter(|id| !done.contains(**id)).copied().collect();
        if stuck.is_empty() {
            return Ok(());
        }
        stuck.sort_unstable();
        Err(Error::new(ErrorKind::Config, format!("the plan goes round in a circle: {}", stuck.join(", "))))
    }

    /// The guarded step and what leads to it.
    fn guarded(&self, plan: &'p Plan) -> Option<HashSet<&'p str>> {
        let guard = plan.guard.as_deref().filter(|guard| self.after.contains_key(guard))?;
        let mut part = HashSet::new();
        let mut open = vec![guard];
        while let Some(id) = open.pop() {
            if part.insert(id) {
                open.extend(self.after[id].iter().copied());
            }
        }
        Some(part)
    }

    /// A step that may begin.
    fn next(&mut self, only: Option<&HashSet<&str>>) -> Option<&'p Change> {
        let at = self.waiting.iter().position(|change| {
            let id = change.resource.as_str();
            only.is_none_or(|only| only.contains(id)) && self.after[id].iter().all(|a| self.done.contains(a))
        })?;
        let change = self.waiting.remove(at);
        self.begun.insert(&change.resource);
        Some(change)
    }

    fn done(&mut self, change: &'p Change) {
        self.done.insert(&change.resource);
    }

    fn begun(&self, change: &Change) -> bool {
        self.begun.contains(change.resource.as_str())
    }

    fn is_done(&self, change: &Change) -> bool {
        self.done.contains(change.resource.as_str())
    }
}

#[cfg(test)]
mod tests;
