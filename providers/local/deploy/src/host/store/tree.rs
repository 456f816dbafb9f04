//! The tree: one ordered map of bytes in redb, and the journal in front of it.
//!
//! Commits to the tree stay in memory until a checkpoint writes them to disk, syncs, and begins the journal anew. The
//! file is therefore always that of the last checkpoint, whatever ends the process or the machine; what came after
//! is done again from the journal when it is opened.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{Builder, Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::Counted;
use super::journal::{self, Journal};
use super::trouble::{Stored, Trouble};

const TREE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("tree");
/// Of this file alone: the number of the last checkpoint.
const GENERATION: TableDefinition<'_, (), u64> = TableDefinition::new("generation");

/// Bytes of values that a scan gives at once, and one value more at most.
pub(super) const PAGE: usize = 8 * 1024 * 1024;
/// Memory for pages.
const CACHE: usize = 32 * 1024 * 1024;

/// What a reader sees: the state after the last commit.
pub(super) struct Snapshot(redb::ReadOnlyTable<&'static [u8], &'static [u8]>);

/// A commit in the making.
pub(super) struct Batch<'t> {
    table: redb::Table<'t, &'static [u8], &'static [u8]>,
    effects: Vec<u8>,
    /// What counters change by, once it is committed.
    pub(super) counted: Vec<(Counted, i64)>,
}

/// The open files.
#[derive(Debug)]
pub(super) struct Tree {
    database: Database,
    /// Of the one who writes; readers do without it.
    journal: Mutex<Journal>,
}

/// The files of a store that is called so.
pub(super) fn files(path: &Path) -> (PathBuf, PathBuf) {
    (path.with_extension("redb"), path.with_extension("journal"))
}

impl Tree {
    /// Opens or makes the files and brings back everything that was acknowledged.
    pub(super) fn open(path: &Path) -> Stored<Self> {
        let (tree, journal) = files(path);
        let database = open(&tree)?;
        let generation = generation(&database)?;
        let (journal, frames) = Journal::open(&journal, generation)?;
        // A name that is not on disk yet is lost with the machine's power, and what is in the file with it.
        if let Some(directory) = path.parent() {
            std::fs::File::open(directory)?.sync_all()?;
        }
        let this = Self { database, journal: Mutex::new(journal) };
        if !frames.is_empty() {
            this.replay(&frames, generation)?;
            this.checkpoint()?;
        }
        Ok(this)
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replay(&self, frames: &[u8], generation: u64) -> Stored<()> {
        let mut write = self.database.begin_write()?;
        write.set_durability(Durability::None)?;
        let read = {
            let mut table = write.open_table(TREE)?;
            journal::replay(frames, generation, |(key, value)| -> Stored<()> {
                match value {
                    Some(value) => table.insert(key, value).map(drop)?,
                    None => table.remove(key).map(drop)?,
                }
                Ok(())
            })?
        };
        if read.is_none() {
            return Err(Trouble::Damaged("its journal holds what is no effect".to_owned()));
        }
        Ok(write.commit()?)
    }

    /// Runs `work`, and makes all it did durable, or nothing of it. Gives what counters change by.
    pub(super) fn commit(
        &self,
        sync: bool,
        work: impl FnOnce(&mut Batch<'_>) -> Stored<()>,
    ) -> Stored<Vec<(Counted, i64)>> {
        let mut write = self.database.begin_write()?;
        write.set_durability(Durability::None)?;
        let (effects, counted) = {
            let table = write.open_table(TREE)?;
            let mut batch = Batch { table, effects: Vec::new(), counted: Vec::new() };
            work(&mut batch)?;
            (batch.effects, batch.counted)
        };
        if effects.is_empty() {
            write.abort()?;
            return Ok(counted);
        }
        self.journal().append(&effects, sync)?;
        write.commit()?;
        Ok(counted)
    }

    /// Bytes in the journal.
    pub(super) fn behind(&self) -> u64 {
        self.journal().length()
    }

    /// Puts everything into the tree's file, on disk, and begins the journal anew.
    pub(super) fn checkpoint(&self) -> Stored<()> {
        let mut journal = self.journal();
        let mut write = self.database.begin_write()?;
        // The allocator's state goes along, so that opening after a kill takes no scan of the file.
        write.set_quick_repair(true);
        let next = journal.generation() + 1;
        write.open_table(GENERATION)?.insert((), next)?;
        write.commit()?;
        Ok(journal.begin(next)?)
    }

    /// The state now.
    pub(super) fn read(&self) -> Stored<Snapshot> {
        Ok(Snapshot(self.database.begin_read()?.open_table(TREE)?))
    }
}

fn open(path: &Path) -> Stored<Database> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::File::options();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    Ok(Builder::new().set_cache_size(CACHE).create_with_backend(FileBackend::new(file)?)?)
}

/// Makes the tables, and reads the number of the last checkpoint: 1 for a new file.
fn generation(database: &Database) -> Stored<u64> {
    let found = match database.begin_read()?.open_table(GENERATION) {
        Ok(table) => table.get(())?.map(|value| value.value()),
        Err(redb::TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(found) = found {
        return Ok(found);
    }
    let write = database.begin_write()?;
    write.open_table(GENERATION)?.insert((), 1)?;
    drop(write.open_table(TREE)?);
    write.commit()?;
    Ok(1)
}

impl Batch<'_> {
    pub(super) fn get(&self, key: &[u8]) -> Stored<Option<Vec<u8>>> {
        Ok(self.table.get(key)?.map(|value| value.value().to_vec()))
    }

    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) -> Stored<()> {
        journal::note(&mut self.effects, key, Some(value));
        Ok(self.table.insert(key, value).map(drop)?)
    }

    /// Removes a key and gives its value, if it was there.
    pub(super) fn remove(&mut self, key: &[u8]) -> Stored<Option<Vec<u8>>> {
        let Some(old) = self.table.remove(key)?.map(|value| value.value().to_vec()) else { return Ok(None) };
        journal::note(&mut self.effects, key, None);
        Ok(Some(old))
    }

    /// Keys and values from `first` on that begin with `prefix`, at most `limit` and [`PAGE`].
    pub(super) fn scan(&self, first: &[u8], prefix: &[u8], limit: usize) -> Stored<Vec<(Vec<u8>, Vec<u8>)>> {
        collect(self.table.range(first..)?, prefix, limit)
    }
}

impl Snapshot {
    pub(super) fn get(&self, key: &[u8]) -> Stored<Option<Vec<u8>>> {
        Ok(self.0.get(key)?.map(|value| value.value().to_vec()))
    }

    /// As [`Batch::scan`].
    pub(super) fn scan(&self, first: &[u8], prefix: &[u8], limit: usize) -> Stored<Vec<(Vec<u8>, Vec<u8>)>> {
        collect(self.0.range(first..)?, prefix, limit)
    }

    /// Every key that begins with `prefix`, in order, while `more` says so.
    pub(super) fn keys(&self, prefix: &[u8], mut more: impl FnMut(&[u8]) -> Stored<bool>) -> Stored<()> {
        for entry in self.0.range(prefix..)? {
            let (key, _) = entry?;
            if !key.value().starts_with(prefix) || !more(key.value())? {
                break;
            }
        }
        Ok(())
    }
}

fn collect(
    range: redb::Range<'_, &'static [u8], &'static [u8]>,
    prefix: &[u8],
    limit: usize,
) -> Stored<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut found = Vec::new();
    let mut bytes = 0;
    for entry in range {
        let (key, value) = entry?;
        if found.len() == limit || bytes >= PAGE || !key.value().starts_with(prefix) {
            break;
        }
        bytes += value.value().len();
        found.push((key.value().to_vec(), value.value().to_vec()));
    }
    Ok(found)
}
