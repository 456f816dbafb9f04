//! What one app keeps on disk: its queues' messages and its tables' rows, in a pair of files of its own.
//!
//! Operations are closures over a commit in the making ([`Batch`]) or over the state now ([`Tree`]); [`writer`] carries the
//! first out, and answers when they are kept.

mod events;
mod journal;
mod keys;
mod queues;
mod rows;
mod tree;
mod trouble;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use xcloud_core::{Error, Result};

use self::keys::Kind;
use self::tree::{Batch, Tree};
use self::trouble::{Stored, Trouble};
use self::writer::{Open, Shared};

use crate::config::Durability;

pub(crate) use self::events::{Feed, Note};
pub(crate) use self::queues::{Claim, Fate, Held};
pub(crate) use self::rows::{Expect, Row};

/// Keys in one operation that goes over many.
const STEP: usize = 4096;

/// Something that is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Counted {
    Waiting(String),
    Dead(String),
    Rows(String),
}

/// The store of an app. Cheap to clone; the files are opened on first use.
#[derive(Clone)]
pub(crate) struct Store {
    path: Arc<Path>,
    open: Arc<Mutex<Option<Open>>>,
    feeds: Arc<Mutex<BTreeMap<String, Feed>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn now_ms() -> u64 {
    ms(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The key of a fact about the store itself.
fn own(name: &str) -> Vec<u8> {
    keys::prefix(Kind::Own, name)
}

const SYNC: &str = "sync";

impl Store {
    /// A store in the files `<path>.redb` and `<path>.journal`; nothing is opened yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path: path.into(), open: Arc::default(), feeds: Arc::default() }
    }

    fn exists(&self) -> bool {
        tree::files(&self.path).0.exists()
    }

    /// Fails when the files cannot be used.
    ///
    /// # Errors
    /// [`xcloud_core::ErrorKind::Unavailable`]: which file, why, and what to do.
    pub(crate) fn check(&self) -> Result<()> {
        if !self.exists() {
            return Ok(());
        }
        match self.opened()?.shared.failure() {
            None => Ok(()),
            Some(why) => Err(Error::unavailable(why)),
        }
    }

    fn opened(&self) -> Result<Open> {
        let mut open = lock(&self.open);
        if let Some(open) = &*open {
            return Ok(open.clone());
        }
        let fresh = Open::new(&self.path).map_err(|trouble| trouble.explain(&self.path))?;
        Ok(open.insert(fresh).clone())
    }

    /// What acknowledgements are to survive from now on.
    pub(crate) async fn set_durability(&self, durability: Durability) -> Result<()> {
        if self.durability()? == durability {
            return Ok(());
        }
        let sync = durability == Durability::Fsync;
        self.write("", move |batch| Ok(Ok(batch.put(&own(SYNC), &[u8::from(sync)])?))).await?;
        self.opened()?.shared.sync.store(sync, Ordering::SeqCst);
        Ok(())
    }

    /// What acknowledgements survive.
    pub(crate) fn durability(&self) -> Result<Durability> {
        if !self.exists() {
            return Ok(Durability::default());
        }
        let sync = self.opened()?.shared.sync.load(Ordering::SeqCst);
        Ok(if sync { Durability::Fsync } else { Durability::Process })
    }

    /// Tells when the queue or table of this name may have something new.
    pub(crate) fn changes(&self, name: &str) -> Result<watch::Receiver<()>> {
        let open = self.opened()?;
        let mut changed = lock(&open.shared.changed);
        Ok(changed.entry(name.to_owned()).or_insert_with(|| watch::Sender::new(())).subscribe())
    }

    fn count(&self, counted: &Counted) -> u64 {
        let open = if self.exists() { self.opened().ok() } else { None };
        open.and_then(|open| lock(&open.shared.counters).get(counted).copied()).unwrap_or_default()
    }

    /// Runs `work` on the writer's thread and gives its result once that is kept; then whoever waits for `name` is
    /// told. An inner error refuses this operation alone, which must not have changed anything.
    async fn write<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&mut Batch<'_>) -> Stored<Result<T>> + Send + 'static,
    ) -> Result<T> {
        let answer = self.opened()?.ask(name, work);
        let gone = |_| Error::unavailable(format!("the store {} did not answer", self.path.display()));
        answer.await.map_err(gone)?
    }

    /// Runs `work` over the state now, on a thread where it may wait for the disk.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared, &Tree) -> Stored<T> + Send + 'static,
    ) -> Result<T> {
        let open = self.opened()?;
        if open.shared.failure().is_some() {
            self.write("", |batch| Ok(Ok(writer::probe(batch)?))).await?;
        }
        let reading = tokio::task::spawn_blocking(move || {
            let tree = open.shared.tree.read().unwrap_or_else(PoisonError::into_inner);
            let Some(tree) = &*tree else { return Err(Trouble::Closed) };
            // Locked by some of the work before the snapshot is made: see `queues::claim`.
            work(&open.shared, tree)
        });
        let result = reading.await.unwrap_or(Err(Trouble::Panic));
        result.map_err(|trouble| trouble.explain(&self.path))
    }
}

/// The next sequence number, and with it `many` more; never given again.
fn next(batch: &mut Batch<'_>, many: u64) -> Stored<u64> {
    let key = own("next");
    let first = match batch.get(&key)? {
        Some(bytes) => {
            keys::number(&bytes).ok_or_else(|| Trouble::Damaged("the counter is no number".to_owned()))?
        }
        None => 1,
    };
    batch.put(&key, &(first + many).to_be_bytes())?;
    Ok(first)
}

#[cfg(test)]
mod tests;
