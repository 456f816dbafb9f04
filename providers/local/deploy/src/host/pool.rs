//! The instances of one function in one version: as many as its load needs, within its limits, none without load.
//!
//! A call takes a free place in an instance, or waits in line; the line's length says how many instances are started.
//! Places are given under one short lock that is never held across an await.

mod lease;
mod supervise;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use xcloud_core::{Error, Result};

pub(crate) use self::lease::Lease;
use self::lease::Place;
use super::child::{Blueprint, Child, Running};
use super::limits::Limits;
use super::metrics::Meter;

/// Calls that wait in one line; more are refused at once.
const LINE: usize = 10_000;
/// The longest pause between two starts.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What a pool is made from.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) function: String,
    pub(crate) version: u64,
    pub(crate) blueprint: Blueprint,
    pub(crate) limits: Limits,
    pub(crate) meter: Arc<Meter>,
}

/// The instances of a function in a version.
#[derive(Debug)]
pub(crate) struct Pool {
    plan: Plan,
    inner: Mutex<Inner>,
    stop: watch::Sender<bool>,
    /// Instances whose task has not ended: starting, serving, draining.
    alive: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Instances that take calls, the oldest first: calls are packed there, so that the others can go.
    ready: Vec<Ready>,
    line: VecDeque<Waiting>,
    starting: usize,
    trouble: Trouble,
    stopped: bool,
}

#[derive(Debug)]
struct Ready {
    child: Arc<Child>,
    idle_since: Instant,
}

#[derive(Debug)]
struct Waiting {
    place: oneshot::Sender<Result<Place>>,
}

/// Failures in a row: of starts, and of instances that ended soon after.
#[derive(Debug, Default)]
struct Trouble {
    failures: u32,
    why: String,
    until: Option<Instant>,
}

/// How a pool is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) state: String,
    pub(crate) healthy: bool,
    pub(crate) instances: usize,
}

impl Pool {
    fn new(plan: Plan) -> Arc<Self> {
        Arc::new(Self {
            plan,
            inner: Mutex::default(),
            stop: watch::Sender::new(false),
            alive: watch::Sender::new(0),
        })
    }

    /// A pool whose first instance is ready when this returns.
    ///
    /// # Errors
    /// What kept the instance from getting ready.
    pub(crate) async fn start(plan: Plan) -> Result<Arc<Self>> {
        let first = Child::start(&plan.blueprint).await?;
        let pool = Self::new(plan);
        pool.lock().starting = 1;
        pool.run(Some(first));
        Ok(pool)
    }

    /// A pool without an instance yet; with `warm` one is being started.
    pub(crate) fn restore(plan: Plan, warm: bool) -> Arc<Self> {
        let pool = Self::new(plan);
        let mut inner = pool.lock();
        if warm || pool.plan.limits.min > 0 {
            pool.launch(&mut inner);
        }
        drop(inner);
        pool
    }

    /// The version whose instances these are.
    pub(crate) fn version(&self) -> u64 {
        self.plan.version
    }

    /// The longest call.
    pub(crate) fn timeout(&self) -> Duration {
        self.plan.limits.timeout
    }

    /// Writes a line of the platform to the function's log.
    pub(crate) fn note(&self, line: &str) {
        self.plan.blueprint.log.write("platform", line);
    }

    /// How it is.
    pub(crate) fn condition(&self) -> Condition {
        let inner = self.lock();
        let (ready, starting) = (inner.ready.len(), inner.starting);
        let failed = inner.trouble.failures > 1 && ready == 0;
        let state = match (ready, starting) {
            _ if inner.stopped => "stopped".to_owned(),
            _ if failed => format!("failed: {}", inner.trouble.why),
            (0, 0) => "idle".to_owned(),
            (0, _) => "starting".to_owned(),
            (1, _) => "running".to_owned(),
            (n, _) => format!("running, {n} instances"),
        };
        let healthy = !inner.stopped && !failed && (ready > 0 || starting == 0);
        Condition { state, healthy, instances: ready }
    }

    /// Gives a call a place in an instance, after at most `limit`; first come, first served.
    ///
    /// # Errors
    /// [`xcloud_core::ErrorKind::Unavailable`]: no place became free, or no instance starts;
    /// [`xcloud_core::ErrorKind::Conflict`]: the pool was stopped, another version serves.
    pub(crate) async fn lease(self: &Arc<Self>, limit: Duration) -> Result<Lease> {
        let asked = Instant::now();
        let place = {
            let mut inner = self.lock();
            if inner.stopped {
                return Err(stopped());
            }
            if let Some(child) = inner.free(self.plan.limits.concurrency) {
                return Ok(Lease::new(Place::take(self, child), asked));
            }
            match self.stand_in_line(&mut inner) {
                Ok(place) => place,
                Err(error) => {
                    drop(inner);
                    self.plan.meter.refuse(Duration::ZERO);
                    return Err(error);
                }
            }
        };
        let error = match tokio::time::timeout(limit, place).await {
            Ok(Ok(Ok(place))) => return Ok(Lease::new(place, asked)),
            Ok(Ok(Err(error))) => error,
            Ok(Err(_)) => return Err(stopped()),
            Err(_) => self.late(limit),
        };
        self.plan.meter.refuse(asked.elapsed());
        Err(error)
    }

    fn stand_in_line(self: &Arc<Self>, inner: &mut Inner) -> Result<oneshot::Receiver<Result<Place>>> {
        if inner.ready.is_empty()
            && inner.starting == 0
            && let Some(why) = inner.trouble.holds()
        {
            return Err(down(why));
        }
        if inner.line.len() >= LINE {
            // Some of them may have gone away.
            inner.line.retain(|waiting| !waiting.place.is_closed());
            if inner.line.len() >= LINE {
                return Err(Error::unavailable(format!("{LINE} calls wait for this function already")));
            }
        }
        let (sender, place) = oneshot::channel();
        inner.line.push_back(Waiting { place: sender });
        self.grow(inner);
        Ok(place)
    }

    /// Starts instances for those in line, beside the ones that are starting already.
    fn grow(self: &Arc<Self>, inner: &mut Inner) {
        let limits = &self.plan.limits;
        let wanted = inner.line.len().div_ceil(limits.concurrency);
        // After a failure one at a time: a program that does not start is not started ten times.
        let wanted = if inner.trouble.failures > 0 { wanted.min(1) } else { wanted };
        let floor = limits.min.saturating_sub(inner.ready.len());
        while !inner.stopped
            && inner.starting < wanted.max(floor)
            && inner.ready.len() + inner.starting < limits.max
            && inner.trouble.holds().is_none()
        {
            self.launch(inner);
        }
    }

    fn launch(self: &Arc<Self>, inner: &mut Inner) {
        inner.starting += 1;
        self.run(None);
    }

    fn run(self: &Arc<Self>, first: Option<(Arc<Child>, Running)>) {
        let alive = supervise::Alive::new(self);
        tokio::spawn(Arc::clone(self).supervise(first, alive));
    }

    fn late(&self, limit: Duration) -> Error {
        let inner = self.lock();
        let limits = &self.plan.limits;
        Error::unavailable(if inner.ready.is_empty() {
            "the function is starting and was not ready in time".to_owned()
        } else {
            format!(
                "all {} instances were busy for {limit:?}, {} calls in each: `max_instances` and `concurrency` \
                 allow more",
                inner.ready.len(),
                limits.concurrency
            )
        })
    }

    /// Takes no more calls, lets those on their way end, then ends the instances. Returns when they have ended.
    pub(crate) async fn stop(&self) {
        let line = {
            let mut inner = self.lock();
            inner.stopped = true;
            inner.ready.clear();
            std::mem::take(&mut inner.line)
        };
        // Whoever waits asks the version that serves now.
        drop(line);
        self.stop.send_replace(true);
        drop(self.alive.subscribe().wait_for(|alive| *alive == 0).await);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The oldest instance that has a free place, unless others wait for it.
    fn free(&self, concurrency: usize) -> Option<Arc<Child>> {
        if !self.line.is_empty() {
            return None;
        }
        let mut ready = self.ready.iter();
        ready.find(|ready| ready.child.in_flight() < concurrency).map(|ready| Arc::clone(&ready.child))
    }

    fn is_ready(&self, child: &Arc<Child>) -> bool {
        self.ready.iter().any(|ready| Arc::ptr_eq(&ready.child, child))
    }
}

impl Trouble {
    /// Why no instance may be started now.
    fn holds(&self) -> Option<&str> {
        self.until.filter(|until| *until > Instant::now()).map(|_| self.why.as_str())
    }

    fn add(&mut self, why: &str, well: bool) {
        self.failures = if well { 1 } else { self.failures.saturating_add(1) };
        why.clone_into(&mut self.why);
        let pause = pause(self.failures);
        self.until = (!pause.is_zero()).then(|| Instant::now() + pause);
    }
}

fn stopped() -> Error {
    Error::conflict("this version of the function was stopped")
}

fn down(why: &str) -> Error {
    Error::unavailable(format!("the function is down: {why}"))
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

    #[test]
    fn one_end_alone_is_an_accident() {
        let mut trouble = Trouble::default();
        trouble.add("first", false);
        assert_eq!(trouble.holds(), None);
        trouble.add("second", false);
        assert_eq!(trouble.holds(), Some("second"));
        trouble.add("after a long time", true);
        assert_eq!((trouble.failures, trouble.holds()), (1, None));
    }
}
