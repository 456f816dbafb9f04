//! A call's place in an instance.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Pool;
use crate::host::child::Child;
use crate::host::metrics::{Call, Outcome};

/// A place in an instance. When it is given back, the next in line gets it.
#[derive(Debug)]
pub(super) struct Place {
    pool: Arc<Pool>,
    child: Arc<Child>,
    /// False once it was passed on.
    held: bool,
}

/// A call on its way: the instance is not ended before it is over. Dropped, it is counted.
#[derive(Debug)]
pub(crate) struct Lease {
    place: Place,
    id: String,
    outcome: Outcome,
    begun: Instant,
    queued: Duration,
    cold: bool,
}

impl Place {
    /// A new call. The pool's lock is held.
    pub(super) fn take(pool: &Arc<Pool>, child: Arc<Child>) -> Self {
        child.begin();
        Self { pool: Arc::clone(pool), child, held: true }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::mem::take(&mut self.held) {
            self.pool.give_back(&self.child);
        }
    }
}

impl Pool {
    /// A call has ended: its place goes to the next in line.
    fn give_back(self: &Arc<Self>, child: &Arc<Child>) {
        loop {
            let waiting = {
                let mut inner = self.lock();
                let next = if inner.is_ready(child) { inner.line.pop_front() } else { None };
                let Some(waiting) = next else {
                    if child.end()
                        && let Some(ready) = inner.ready.iter_mut().find(|r| Arc::ptr_eq(&r.child, child))
                    {
                        ready.idle_since = Instant::now();
                    }
                    return;
                };
                waiting
            };
            // The call that is counted in the instance is the next one's from here on.
            let place = Place { pool: Arc::clone(self), child: Arc::clone(child), held: true };
            match waiting.place.send(Ok(place)) {
                Ok(()) | Err(Err(_)) => return,
                // It has gone away meanwhile.
                Err(Ok(mut place)) => place.held = false,
            }
        }
    }
}

impl Lease {
    pub(super) fn new(place: Place, asked: Instant) -> Self {
        let begun = Instant::now();
        let queued = begun.saturating_duration_since(asked);
        let cold = place.child.take_cold();
        Self { place, id: String::new(), outcome: Outcome::Abandoned, begun, queued, cold }
    }

    /// The call's id, by which it is found among the others.
    pub(crate) fn name(&mut self, id: &str) {
        id.clone_into(&mut self.id);
    }

    /// How the call ended; without it, the client has gone away.
    pub(crate) fn end(&mut self, outcome: Outcome) {
        let killed = || self.place.child.killed().is_some();
        self.outcome = if outcome == Outcome::Broken && killed() { Outcome::MemoryExceeded } else { outcome };
    }

    /// The process broke the call off: it is most likely ending. It takes no more calls from here on; the host may see
    /// its end only later.
    pub(crate) fn broke(&mut self) {
        self.end(Outcome::Broken);
        self.report_stuck();
    }

    /// The call did not come back although its deadline has passed. The instance takes no more calls.
    pub(crate) fn report_stuck(&self) {
        self.place.pool.dismiss(&self.place.child);
        self.place.child.report_stuck();
    }

    /// What the call may take in all.
    pub(crate) fn timeout(&self) -> Duration {
        self.place.pool.timeout()
    }

    /// What went wrong, as the caller is told: when the host has killed the instance, why.
    pub(crate) fn explain(&self, error: &str) -> String {
        self.place.child.killed().unwrap_or(error).to_owned()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.place.pool.plan.meter.record(Call {
            id: std::mem::take(&mut self.id),
            outcome: self.outcome,
            begun: self.begun,
            queued: self.queued,
            cold: self.cold,
            instance: self.place.child.number,
        });
    }
}

impl std::ops::Deref for Lease {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.place.child
    }
}
