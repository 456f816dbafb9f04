//! The one thread that writes. It takes every operation that is waiting, commits them together (one write for all, one
//! sync for all where durability asks for it), and only then answers: what is acknowledged is kept.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use xcloud_core::{Error, Result};

use super::keys::{self, Kind};
use super::tree::{Batch, Snapshot, Tree};
use super::trouble::{Stored, Trouble};
use super::{Counted, SYNC, lock, now_ms, own, queues};

/// Operations in one commit.
const TOGETHER: usize = 1024;
/// What the journal may grow to before a checkpoint.
const BEHIND: u64 = 8 * 1024 * 1024;
/// How long the journal may wait for a checkpoint: with [`Durability::Process`], the most that a power cut takes.
const QUIET: Duration = Duration::from_secs(5);

type Counters = HashMap<Counted, u64>;

/// The open files, and the way to the thread that writes them.
#[derive(Clone)]
pub(super) struct Open {
    pub(super) shared: Arc<Shared>,
    writer: mpsc::Sender<Asked>,
}

/// What readers and the writer share.
pub(super) struct Shared {
    path: Arc<Path>,
    /// `None` after a failure, until it is opened again.
    pub(super) tree: RwLock<Option<Tree>>,
    pub(super) sync: AtomicBool,
    /// Why the last commit failed: nothing is handed out until one succeeds, or it would be handed out again and again.
    failure: Mutex<Option<String>>,
    pub(super) counters: Mutex<Counters>,
    pub(super) taken: Mutex<queues::Taken>,
    /// By name of a queue or table: changes when it may have something new.
    pub(super) changed: Mutex<HashMap<String, watch::Sender<()>>>,
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
    pub(super) fn new(path: &Arc<Path>) -> Stored<Self> {
        let shared = Arc::new(Shared {
            path: Arc::clone(path),
            tree: RwLock::default(),
            sync: AtomicBool::new(false),
            failure: Mutex::default(),
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

impl Open {
    /// Has the writer do `work`; the answer comes when that is kept.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&mut Batch<'_>) -> Stored<Result<T>> + Send + 'static,
    ) -> oneshot::Receiver<Result<T>> {
        let (done, answer) = oneshot::channel();
        let job = Box::new(Work { work: Some(work), value: None, done });
        // A writer that is gone drops the job, and the asker sees that.
        drop(self.writer.send(Asked { job, name: name.to_owned() }));
        answer
    }
}

/// Writes something, to see whether that is possible.
pub(super) fn probe(batch: &mut Batch<'_>) -> Stored<()> {
    batch.put(&own("tried"), &now_ms().to_be_bytes())
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
            if group.is_empty() && self.failure().is_some() {
                self.try_again();
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
            drop(self.failed(&trouble));
        }
    }

    /// Why nothing can be kept at the moment.
    pub(super) fn failure(&self) -> Option<String> {
        lock(&self.failure).clone()
    }

    /// Notes a failure, once for each time that it begins, and closes what must be opened again.
    fn failed(&self, trouble: &Trouble) -> Error {
        if trouble.closes() {
            drop(self.tree.write().unwrap_or_else(PoisonError::into_inner).take());
        }
        let error = trouble.explain(&self.path);
        if lock(&self.failure).replace(error.message().to_owned()).is_none() {
            super::super::log(error.message());
        }
        error
    }

    /// Nobody asks for anything, and the last time it failed: it may be possible again.
    fn try_again(&self) {
        match self.try_commit(probe) {
            Ok(()) => *lock(&self.failure) = None,
            Err(trouble) => drop(self.failed(&trouble)),
        }
    }

    fn commit(&self, group: &mut Vec<Asked>) {
        if group.is_empty() {
            return;
        }
        let result = self.try_commit(|batch| group.iter_mut().try_for_each(|asked| asked.job.run(batch)));
        let result = match result {
            Ok(()) => {
                *lock(&self.failure) = None;
                Ok(())
            }
            Err(trouble) => Err(self.failed(&trouble)),
        };
        let mut names = HashSet::new();
        for Asked { job, name } in group.drain(..) {
            job.answer(result.as_ref().map(drop).map_err(|e| Error::new(e.kind(), e.message())));
            names.insert(name);
        }
        for name in names {
            self.wake(&name);
        }
    }

    fn try_commit(&self, work: impl FnOnce(&mut Batch<'_>) -> Stored<()>) -> Stored<()> {
        let is_open = self.tree.read().unwrap_or_else(PoisonError::into_inner).is_some();
        if !is_open {
            self.open()?;
        }
        let tree = self.tree.read().unwrap_or_else(PoisonError::into_inner);
        let Some(tree) = &*tree else { return Err(Trouble::Closed) };
        let sync = self.sync.load(Ordering::SeqCst);
        let counted = guarded(|| tree.commit(sync, work))?;
        let mut counters = lock(&self.counters);
        for (counted, by) in counted {
            let count = counters.entry(counted).or_default();
            *count = count.saturating_add_signed(by);
        }
        Ok(())
    }

    pub(super) fn wake(&self, name: &str) {
        if let Some(changed) = lock(&self.changed).get(name) {
            changed.send_replace(());
        }
    }
}

fn count_all(state: &Snapshot) -> Stored<Counters> {
    let mut counters = Counters::new();
    for kind in [Kind::Due, Kind::Dead, Kind::Row] {
        state.keys(&[kind as u8], |key| {
            let (_, name, _) =
                keys::split(key).ok_or_else(|| Trouble::Damaged("a key has no name".to_owned()))?;
            let name = name.to_owned();
            let counted = match kind {
                Kind::Dead => Counted::Dead(name),
                Kind::Row => Counted::Rows(name),
                _ => Counted::Waiting(name),
            };
            *counters.entry(counted).or_default() += 1;
            Ok(true)
        })?;
    }
    Ok(counters)
}
