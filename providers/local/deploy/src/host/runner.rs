//! A function of an app, whatever versions of it serve: each call goes to one of them, by their shares.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use xcloud_core::{Error, ErrorKind, Result};
use xcloud_local::binding::DEFAULT_TIMEOUT_SECONDS;

use super::logs::Log;
use super::pool::{Lease, Pool};
use super::weights::Turns;

/// A function of an app.
#[derive(Debug)]
pub(crate) struct Runner {
    log: Arc<Log>,
    targets: Mutex<Targets>,
}

#[derive(Debug)]
struct Targets {
    pools: Vec<(Arc<Pool>, u32)>,
    turns: Turns,
}

impl Runner {
    /// A function that nothing serves yet.
    pub(crate) fn new(log: Arc<Log>) -> Arc<Self> {
        let targets = Targets { pools: Vec::new(), turns: Turns::new([]) };
        Arc::new(Self { log, targets: Mutex::new(targets) })
    }

    /// From now on these serve, each with its share in percent.
    pub(crate) fn serve(&self, pools: Vec<(Arc<Pool>, u32)>) {
        let turns = Turns::new(pools.iter().map(|(_, percent)| *percent));
        *self.lock() = Targets { pools, turns };
    }

    /// The pools that serve, and their shares in percent.
    pub(crate) fn pools(&self) -> Vec<(Arc<Pool>, u32)> {
        self.lock().pools.clone()
    }

    /// The longest call of the versions that serve.
    pub(crate) fn timeout(&self) -> Duration {
        let longest = self.lock().pools.iter().map(|(pool, _)| pool.timeout()).max();
        longest.unwrap_or(Duration::from_secs(DEFAULT_TIMEOUT_SECONDS.into()))
    }

    /// Writes a line of the platform to the function's log.
    pub(crate) fn note(&self, line: &str) {
        self.log.write("platform", line);
    }

    fn next(&self) -> Option<Arc<Pool>> {
        let mut targets = self.lock();
        let at = targets.turns.next()?;
        targets.pools.get(at).map(|(pool, _)| Arc::clone(pool))
    }

    /// Begins a call in the version whose turn it is. Waits for a place in one of its instances, at most `limit`.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`]: no place became free in time, or no instance starts; [`ErrorKind::Conflict`]: nothing
    /// serves this function any more.
    pub(crate) async fn lease(&self, limit: Duration) -> Result<Lease> {
        let asked = Instant::now();
        loop {
            let pool = self.next().ok_or_else(|| Error::conflict("this function was stopped"))?;
            match pool.lease(limit.saturating_sub(asked.elapsed())).await {
                // Another version serves by now. The one who stopped this one has said so before.
                Err(error) if error.kind() == ErrorKind::Conflict => tokio::task::yield_now().await,
                lease => return lease,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Targets> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
