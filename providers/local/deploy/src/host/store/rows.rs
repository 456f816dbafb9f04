//! Tables: rows by key, each with a version.

use bytes::Bytes;
use xcloud_core::{Error, Result};

use super::events::changed;
use super::keys::{self, Kind};
use super::tree::{Batch, PAGE};
use super::trouble::{Stored, Trouble};
use super::{Counted, STEP, Store, next};

/// What must be there for a write to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Whatever is there.
    Anything,
    /// No such row.
    Nothing,
    /// The row in this version.
    Version(u64),
}

/// A row as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) key: String,
    pub(crate) version: u64,
    pub(crate) value: Bytes,
}

impl Store {
    /// Reads a row.
    pub(crate) async fn get(&self, table: &str, key: &str) -> Result<Option<Row>> {
        let (at, key) = (keys::row(table, key), key.to_owned());
        let found = self.read(move |_, tree| tree.read()?.get(&at)).await?;
        found.map(|value| row(key, &value)).transpose().map_err(|trouble| trouble.explain(&self.path))
    }

    /// Writes a row and gives its version, a number that grows with each write to the store.
    pub(crate) async fn put(&self, table: &str, key: &str, value: Bytes, expect: Expect) -> Result<u64> {
        let (name, key, feed) = (table.to_owned(), key.to_owned(), self.feed_of(table));
        let queues = feed.as_ref().map(|feed| feed.queues.clone()).unwrap_or_default();
        let version = self.write(table, move |batch| {
            let at = keys::row(&name, &key);
            let old = batch.get(&at)?;
            if let Err(refused) = check(&key, old.as_deref(), expect)? {
                return Ok(Err(refused));
            }
            if let Some(feed) = &feed {
                changed(batch, feed, (&name, &key), (old.as_deref().map(value_of), Some(&value)))?;
            }
            let version = next(batch, 1)?;
            let mut row = version.to_be_bytes().to_vec();
            row.extend_from_slice(&value);
            batch.put(&at, &row)?;
            batch.counted.push((Counted::Rows(name), i64::from(old.is_none())));
            Ok(Ok(version))
        });
        let version = version.await?;
        self.wake(&queues)?;
        Ok(version)
    }

    /// Removes a row. False when there was none.
    pub(crate) async fn delete(&self, table: &str, key: &str, expect: Expect) -> Result<bool> {
        let (name, key, feed) = (table.to_owned(), key.to_owned(), self.feed_of(table));
        let queues = feed.as_ref().map(|feed| feed.queues.clone()).unwrap_or_default();
        let there = self.write(table, move |batch| {
            let at = keys::row(&name, &key);
            let old = batch.get(&at)?;
            if let Err(refused) = check(&key, old.as_deref(), expect)? {
                return Ok(Err(refused));
            }
            if let (Some(feed), Some(old)) = (&feed, &old) {
                changed(batch, feed, (&name, &key), (Some(value_of(old)), None))?;
            }
            let there = batch.remove(&at)?.is_some();
            batch.counted.push((Counted::Rows(name), -i64::from(there)));
            Ok(Ok(there))
        });
        let there = there.await?;
        self.wake(&queues)?;
        Ok(there)
    }

    /// Rows whose key begins with `prefix` and comes after `after`, in the order of their bytes, and whether there may
    /// be more: what is given at once is bounded in bytes too.
    pub(crate) async fn scan(
        &self,
        table: &str,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<(Vec<Row>, bool)> {
        let (from, table) = (keys::row(table, prefix), keys::prefix(Kind::Row, table));
        let mut first = table.clone();
        first.extend_from_slice(after.as_bytes());
        // The first key that comes after another one is that one and a NUL.
        if !after.is_empty() {
            first.push(0);
        }
        let first = first.max(from.clone());
        let found = self.read(move |_, tree| tree.read()?.scan(&first, &from, limit)).await?;
        let rows = found.iter().map(|(key, value)| {
            let key = std::str::from_utf8(&key[table.len()..]).map_err(|_| damaged())?;
            row(key.to_owned(), value)
        });
        let bytes: usize = found.iter().map(|(_, value)| value.len()).sum();
        let more = found.len() == limit || bytes >= PAGE;
        let rows = rows.collect::<Stored<_>>().map_err(|trouble| trouble.explain(&self.path))?;
        Ok((rows, more))
    }

    /// How many rows a table has.
    pub(crate) fn rows(&self, table: &str) -> u64 {
        self.count(&Counted::Rows(table.to_owned()))
    }

    /// Removes all rows of a table.
    pub(crate) async fn empty(&self, table: &str) -> Result<()> {
        self.in_steps(table, empty).await.map(drop)
    }
}

/// A stored row without its version.
fn value_of(row: &[u8]) -> &[u8] {
    row.get(8..).unwrap_or_default()
}

fn damaged() -> Trouble {
    Trouble::Damaged("a row is not in its form".to_owned())
}

fn row(key: String, value: &[u8]) -> Stored<Row> {
    let (version, value) = value.split_first_chunk::<8>().ok_or_else(damaged)?;
    Ok(Row { key, version: u64::from_be_bytes(*version), value: Bytes::copy_from_slice(value) })
}

fn check(key: &str, old: Option<&[u8]>, expect: Expect) -> Stored<Result<()>> {
    let version = old.map(|old| old.first_chunk::<8>().map(|v| u64::from_be_bytes(*v)).ok_or_else(damaged));
    let refused = match (expect, version.transpose()?) {
        (Expect::Anything, _) | (Expect::Nothing, None) => return Ok(Ok(())),
        (Expect::Version(wanted), Some(version)) if wanted == version => return Ok(Ok(())),
        (Expect::Nothing, Some(_)) => format!("row `{key}` is there already"),
        (Expect::Version(_), Some(_)) => format!("row `{key}` was changed meanwhile"),
        (Expect::Version(_), None) => format!("row `{key}` was deleted meanwhile"),
    };
    Ok(Err(Error::conflict(refused)))
}

fn empty(batch: &mut Batch<'_>, table: &str) -> Stored<u64> {
    let prefix = keys::prefix(Kind::Row, table);
    let found = batch.scan(&prefix, &prefix, STEP)?;
    for (key, _) in &found {
        batch.remove(key)?;
    }
    batch.counted.push((Counted::Rows(table.to_owned()), -(found.len() as i64)));
    Ok(found.len() as u64)
}
