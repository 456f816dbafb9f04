//! The life of one instance: started, admitted, watched, ended.

use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Place, Pool, Ready, Trouble, Waiting, down, stopped};
use crate::host::asked_to;
use crate::host::child::{Child, Running};
use crate::host::metrics::Share;
use crate::host::usage::{self, Clock};

/// An instance that ran this long was well: its end counts as the first again.
const WELL: Duration = Duration::from_secs(10);
/// Above a call's timeout, what draining waits.
const DRAIN_MARGIN: Duration = Duration::from_secs(2);
/// How often an instance is looked at; an idle one every tenth time.
const LOOK: Duration = Duration::from_millis(100);
const IDLE_LOOKS: u32 = 10;

/// Counts an instance as long as its task runs.
#[derive(Debug)]
pub(super) struct Alive(Arc<Pool>);

impl Alive {
    pub(super) fn new(pool: &Arc<Pool>) -> Self {
        pool.alive.send_modify(|alive| *alive += 1);
        Self(Arc::clone(pool))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.send_modify(|alive| *alive = alive.saturating_sub(1));
    }
}

/// Looks at what an instance uses.
struct Look {
    clock: Clock,
    share: Share,
    busy: Duration,
    skipped: u32,
}

impl Look {
    fn new(child: &Child) -> Self {
        // What the start took is nobody's call.
        let mut clock = Clock::default();
        clock.advance(child.pid());
        Self { clock, share: Share::new(Instant::now()), busy: Duration::ZERO, skipped: 0 }
    }

    fn take(&mut self, pool: &Pool, child: &Child) {
        if child.in_flight() == 0 && child.busy() == self.busy && self.skipped < IDLE_LOOKS {
            self.skipped += 1;
            return;
        }
        self.skipped = 0;
        let Some(memory) = usage::memory(child.pid()) else { return };
        pool.hold_memory(child, memory.now);
        let Some(cpu) = self.clock.advance(child.pid()) else { return };
        let busy = child.busy();
        self.share.look(Instant::now(), cpu, busy.saturating_sub(self.busy));
        self.busy = busy;
        pool.plan.meter.used(child.number, cpu, memory.peak, &self.share);
    }
}

/// From the breaking off of a call to the end of its process.
const ENDING: Duration = Duration::from_millis(200);

/// Why an instance leaves.
enum End {
    /// By itself: a failure.
    Ended(std::io::Result<ExitStatus>),
    /// A call does not come back.
    Stuck,
    /// It has had nothing to do.
    Idle,
    /// All are to end.
    Stopped,
}

impl Pool {
    /// From start to end. `starting` was counted by who began this.
    pub(super) async fn supervise(self: Arc<Self>, first: Option<(Arc<Child>, Running)>, _alive: Alive) {
        let mut stop = self.stop.subscribe();
        let begun = Instant::now();
        let started = match first {
            Some(first) => Ok(first),
            None => tokio::select! {
                started = Child::start(&self.plan.blueprint) => started,
                () = asked_to(&mut stop) => return,
            },
        };
        let (child, mut running) = match started {
            Ok(started) => started,
            Err(error) => return self.not_started(error.message()),
        };
        self.plan.meter.started();
        self.admit(&child);
        let end = self.watch(&child, &mut running, &mut stop).await;
        if child.killed().is_some() {
            self.plan.meter.memory_killed();
        }
        self.dismiss(&child);
        let drain = self.timeout() + DRAIN_MARGIN;
        match end {
            End::Ended(status) => {
                running.close().await;
                self.failed(&ended(&child, status), begun.elapsed() > WELL);
            }
            End::Stuck => {
                let why = "a call was not answered: the process is replaced";
                self.failed(why, begun.elapsed() > WELL);
                // Calls on their way may still end well; another instance takes the next ones meanwhile.
                child.retire(&mut running, drain).await;
            }
            End::Idle | End::Stopped => {
                if begun.elapsed() > WELL {
                    self.lock().trouble = Trouble::default();
                }
                child.retire(&mut running, drain).await;
            }
        }
    }

    async fn watch(
        self: &Arc<Self>,
        child: &Arc<Child>,
        running: &mut Running,
        stop: &mut tokio::sync::watch::Receiver<bool>,
    ) -> End {
        let mut look = Look::new(child);
        loop {
            tokio::select! {
                status = running.exited() => return End::Ended(status),
                () = child.stuck() => {
                    // A call that was broken off: is that because the process ends?
                    return match tokio::time::timeout(ENDING, running.exited()).await {
                        Ok(status) => End::Ended(status),
                        Err(_) => End::Stuck,
                    };
                }
                () = asked_to(stop) => return End::Stopped,
                () = tokio::time::sleep(LOOK) => {
                    look.take(self, child);
                    if self.let_go(child) {
                        return End::Idle;
                    }
                }
            }
        }
    }

    /// Kills an instance that uses more memory than it may. What is on its way in it is lost, and told why.
    fn hold_memory(&self, child: &Child, now: u64) {
        let over = |limit: &u64| now > *limit && !child.is_held();
        let Some(limit) = self.plan.limits.memory.filter(over) else { return };
        let mb = |bytes: u64| bytes.div_ceil(1024 * 1024);
        child.kill(format!(
            "memory_exceeded: the instance used {} MB of {} MB and was ended; `memory` allows more",
            mb(now),
            mb(limit)
        ));
    }

    /// The instance is ready: those in line get its places.
    fn admit(self: &Arc<Self>, child: &Arc<Child>) {
        let mut inner = self.lock();
        inner.starting = inner.starting.saturating_sub(1);
        if inner.stopped {
            return;
        }
        inner.ready.push(Ready { child: Arc::clone(child), idle_since: Instant::now() });
        let mut next: Vec<Waiting> = Vec::new();
        while next.len() < self.plan.limits.concurrency
            && let Some(waiting) = inner.line.pop_front()
        {
            if !waiting.place.is_closed() {
                next.push(waiting);
            }
        }
        let places: Vec<_> = next.iter().map(|_| Place::take(self, Arc::clone(child))).collect();
        self.grow(&mut inner);
        drop(inner);
        // One whose receiver is gone gives its place back.
        next.into_iter().zip(places).for_each(|(waiting, place)| drop(waiting.place.send(Ok(place))));
    }

    /// The instance takes no more calls.
    pub(super) fn dismiss(&self, child: &Arc<Child>) {
        self.lock().ready.retain(|ready| !Arc::ptr_eq(&ready.child, child));
    }

    /// Whether the instance has been idle for too long and is not one of those that are kept; it then takes no more
    /// calls.
    fn let_go(&self, child: &Arc<Child>) -> bool {
        let mut inner = self.lock();
        let idle = |ready: &Ready| {
            Arc::ptr_eq(&ready.child, child)
                && child.in_flight() == 0
                && ready.idle_since.elapsed() >= self.plan.limits.idle
        };
        let Some(at) = inner.ready.iter().position(idle) else { return false };
        let spare = inner.ready.len() > self.plan.limits.min;
        if spare {
            inner.ready.remove(at);
        }
        spare
    }

    fn not_started(self: &Arc<Self>, why: &str) {
        let mut inner = self.lock();
        inner.starting = inner.starting.saturating_sub(1);
        drop(inner);
        self.failed(why, false);
    }

    /// Counts a failure. One alone is an accident: those in line wait for the next start; more of them are told.
    fn failed(self: &Arc<Self>, why: &str, well: bool) {
        self.note(why);
        let mut inner = self.lock();
        inner.trouble.add(why, well);
        let pause = inner.trouble.holds().is_some();
        let line = if pause && inner.ready.is_empty() && inner.starting == 0 {
            std::mem::take(&mut inner.line)
        } else {
            self.grow(&mut inner);
            Default::default()
        };
        let (min, until) = (self.plan.limits.min, inner.trouble.until);
        let stopped_now = inner.stopped;
        drop(inner);
        for waiting in line {
            drop(waiting.place.send(Err(if stopped_now { stopped() } else { down(why) })));
        }
        if let Some(until) = until.filter(|_| min > 0 && !stopped_now) {
            self.grow_at(until);
        }
    }

    /// Instances that are kept warm are started again although nobody asks.
    fn grow_at(self: &Arc<Self>, until: Instant) {
        let pool = Arc::clone(self);
        let mut stop = self.stop.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => pool.grow(&mut pool.lock()),
                () = asked_to(&mut stop) => {}
            }
        });
    }
}

fn ended(child: &Child, status: std::io::Result<ExitStatus>) -> String {
    match (child.killed(), status) {
        (Some(why), _) => why.to_owned(),
        (None, Ok(status)) => format!("the function's process ended: {status}"),
        (None, Err(e)) => format!("the function's process cannot be watched: {e}"),
    }
}
