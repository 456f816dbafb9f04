//! What one app keeps on disk: its queues' messages and its tables' rows, in a pair of files of its own.
//!
//! One thread writes. It takes every operation that is waiting, commits them together (one write for all, one sync for
//! all where durability asks for it), and only then answers: what is acknowledged is kept.

mod events;
mod journal;
mod keys;
mod queues;
mod rows;
mod tree;
mod trouble;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{oneshot, watch};
use xcloud_core::{Error, Result};

use self::keys::Kind;
use self::tree::{Batch, Snapshot, Tree};
use self::trouble::{Stored, Trouble};

use crate::config::Durability;

pub(crate) use self::events::{Feed, Note};
pub(crate) use self::queues::{Fate, Held};
pub(crate) use self::rows::{Expect, Row};

/// Operations in one commit.
const TOGETHER: usize = 1024;
/// Keys in one operation that goes over many.
const STEP: usize = 4096;
/// What the journal may grow to before a checkpoint.
const BEHIND: u64 = 8 * 1024 * 1024;
/// How long the journal may wait for a checkpoint: with [`Durability::Process`], the most that a power cut takes.
const QUIET: Duration = Duration::from_secs(5);

/// Something that is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Counted {
    Waiting(String),
    Dead(String),
    Rows(String),
}

type Counters = HashMap<Counted, u64>;

/// The store of an app. Cheap to clone; the files are opened on first use.
#[derive(Clone)]
pub(crate) struct Store {
    path: Arc<Path>,
    open: Arc<Mutex<Option<Open>>>,
    feeds: Arc<Mutex<BTreeMap<String, Feed>>>,
}

#[derive(Clone)]
struct Open {
    shared: Arc<Shared>,
    writer: mpsc::Sender<Asked>,
}

struct Shared {
    path: Arc<Path>,
    /// `None` after a failure, until it is opened again.
    tree: RwLock<Option<Tree>>,
    sync: AtomicBool,
    /// The last commit failed: nothing is handed out until one succeeds, or it would be handed out again and again.
    failing: AtomicBool,
    counters: Mutex<Counters>,
    taken: Mutex<queues::Taken>,
    /// By name of a queue or table: changes when it may have something new.
    changed: Mutex<HashMap<String, watch::Sender<()>>>,
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
        if self.exists() { self.opened().map(drop) } else { Ok(()) }
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
        let (done, answer) = oneshot::channel();
        let job = Box::new(Work { work: Some(work), value: None, done });
        let gone = || Error::unavailable(format!("the store {} did not answer", self.path.display()));
        self.opened()?.writer.send(Asked { job, name: name.to_owned() }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Runs `work` over the state now, on a thread where it may wait for the disk.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared, &Tree) -> Stored<T> + Send + 'static,
    ) -> Result<T> {
        let open = self.opened()?;
        if open.shared.failing.load(Ordering::SeqCst) {
            let now = now_ms().to_be_bytes();
            self.write("", move |batch| Ok(Ok(batch.put(&own("tried"), &now)?))).await?;
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

/// An operation that waits for the writer.
struct Asked {
    job: Box<dyn Job>,
    name: String,
}

trait Job: Send {
    fn run(&mut self, batch: &mut Batch<'_>) -> Stored<()>;
    /// Told what became of the commit.
    fn answer(self: Box<Self>, kept: Result<()>);
}

struct Work<W, T> {
    work: Option<W>,
    value: Option<Result<T>>,
    done: oneshot::Sender<Result<T>>,
}

impl<T: Send, W: FnOnce(&mut Batch<'_>) -> Stored<Result<T>> + Send> Job for Work<W, T> {
    fn run(&mut self, batch: &mut Batch<'_>) -> Stored<()> {
        self.value = self.work.take().map(|work| work(batch)).transpose()?;
        Ok(())
    }

    fn answer(self: Box<Self>, kept: Result<()>) {
        let Self { value, done, .. } = *self;
        let value = kept.and_then(|()| value.unwrap_or_else(|| Err(Error::unavailable("not done"))));
        // An asker that has gone away does not need its answer.
        drop(done.send(value));
    }
}

impl Open {
    fn new(path: &Arc<Path>) -> Stored<Self> {
        let shared = Arc::new(Shared {
            path: Arc::clone(path),
            tree: RwLock::default(),
            sync: AtomicBool::new(false),
            failing: AtomicBool::new(false),
            counters: Mutex::default(),
            taken: Mutex::default(),
            changed: Mutex::default(),
        });
        shared.open()?;
        let (writer, asked) = mpsc::channel();
        let for_thread = Arc::clone(&shared);
        std::thread::Builder::new().name("store".to_owned()).spawn(move || for_thread.serve(&asked))?;
        Ok(Self { shared, writer })
    }
}

/// A panic in redb over a damaged file is an error like another.
fn guarded<T>(work: impl FnOnce() -> Stored<T>) -> Stored<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Trouble::Panic))
}

impl Shared {
    /// Opens the files, again if they were open: a store that failed once takes nothing more.
    fn open(&self) -> Stored<()> {
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        drop(tree.take());
        let (fresh, sync, counters) = guarded(|| {
            let fresh = Tree::open(&self.path)?;
            let state = fresh.read()?;
            let sync = state.get(&own(SYNC))?.is_some_and(|value| value == [1]);
            let counters = count_all(&state)?;
            drop(state);
            Ok((fresh, sync, counters))
        })?;
        self.sync.store(sync, Ordering::SeqCst);
        *lock(&self.counters) = counters;
        *tree = Some(fresh);
        Ok(())
    }

    /// The writer's thread: ends when the last [`Store`] is gone.
    fn serve(&self, asked: &mpsc::Receiver<Asked>) {
        let mut group = Vec::new();
        let mut checked = Instant::now();
        loop {
            match asked.recv_timeout(QUIET) {
                Ok(first) => group.push(first),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            while group.len() < TOGETHER
                && let Ok(more) = asked.try_recv()
            {
                group.push(more);
            }
            self.commit(&mut group);
            if checked.elapsed() >= QUIET || self.behind() > BEHIND {
                self.checkpoint();
                checked = Instant::now();
            }
        }
        self.checkpoint();
    }

    fn behind(&self) -> u64 {
        let tree = self.tree.read().unwrap_or_else(PoisonError::into_inner);
        tree.as_ref().map_or(0, Tree::behind)
    }

    fn checkpoint(&self) {
        let tree = self.tree.read().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = tree.as_ref().filter(|tree| tree.behind() > 0) else { return };
        if let Err(trouble) = guarded(|| open.checkpoint()) {
            drop(tree);
            // Nothing is lost: the journal has it.
            super::log(&format!("checkpoint: {}", trouble.explain(&self.path)));
            self.close();
        }
    }

    fn close(&self) {
        drop(self.tree.write().unwrap_or_else(PoisonError::into_inner).take());
        self.failing.store(true, Ordering::SeqCst);
    }

    fn commit(&self, group: &mut Vec<Asked>) {
        if group.is_empty() {
            return;
        }
        let result = self.try_commit(group);
        self.failing.store(result.is_err(), Ordering::SeqCst);
        let result = result.map_err(|trouble| {
            if trouble.closes() {
                self.close();
            }
            trouble.explain(&self.path)
        });
        let mut names = HashSet::new();
        for Asked { job, name } in group.drain(..) {
            job.answer(result.as_ref().map(drop).map_err(|e| Error::new(e.kind(), e.message())));
            names.insert(name);
        }
        for name in names {
            self.wake(&name);
        }
    }

    fn try_commit(&self, group: &mut [Asked]) -> Stored<()> {
        let is_open = self.tree.read().unwrap_or_else(PoisonError::into_inner).is_some();
        if !is_open {
            self.open()?;
        }
        let tree = self.tree.read().unwrap_or_else(PoisonError::into_inner);
        let Some(tree) = &*tree else { return Err(Trouble::Closed) };
        let sync = self.sync.load(Ordering::SeqCst);
        let counted = guarded(|| {
            tree.commit(sync, |batch| group.iter_mut().try_for_each(|asked| asked.job.run(batch)))
        })?;
        let mut counters = lock(&self.counters);
        for (counted, by) in counted {
            let count = counters.entry(counted).or_default();
            *count = count.saturating_add_signed(by);
        }
        Ok(())
    }

    fn wake(&self, name: &str) {
        if let Some(changed) = lock(&self.changed).get(name) {
            changed.send_replace(());
        }
    }
}

fn count_all(state: &Snapshot) -> Stored<Counters> {
    let mut counters = Counters::new();
    let kinds: [(Kind, fn(String) -> Counted); 3] =
        [(Kind::Due, Counted::Waiting), (Kind::Dead, Counted::Dead), (Kind::Row, Counted::Rows)];
    for (kind, counted) in kinds {
        state.keys(&[kind as u8], |key| {
            let (_, name, _) =
                keys::split(key).ok_or_else(|| Trouble::Damaged("a key has no name".to_owned()))?;
            *counters.entry(counted(name.to_owned())).or_default() += 1;
            Ok(true)
        })?;
    }
    Ok(counters)
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
