//! A table: values by key, on whatever the room has for it. `Table<T>` and the transports behind it.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::Bindings;
use crate::error::{Error, ErrorKind, Result};
use crate::queue::BoxFuture;

/// The longest key in bytes: what every cloud's table service takes (DynamoDB's sort keys and Azure's row keys, 1 KiB,
/// with room for what a binding puts before them).
pub const MAX_KEY: usize = 512;

/// A row's version: changes with each write. Opaque, because each service has its own: a number, an etag, a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version(String);

impl Version {
    /// A version as the service writes it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As the service writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What must be there for a write to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect<'a> {
    /// Whatever is there.
    Anything,
    /// No such row.
    Nothing,
    /// The row in this version.
    Version(&'a Version),
}

/// Which rows to read.
#[derive(Debug, Clone, Copy)]
pub struct Scan<'a> {
    /// What their keys begin with.
    pub prefix: &'a str,
    /// Only keys after this one; empty for all.
    pub after: &'a str,
    /// At most so many; a transport may give fewer only when there are no more.
    pub limit: usize,
}

/// A row as a service has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    /// Its key.
    pub key: String,
    /// Its version.
    pub version: Version,
    /// Its value, JSON.
    pub value: Bytes,
}

/// One way of keeping rows: a cloud's table service, or the local host. Keys have been checked.
pub trait TableTransport: Send + Sync {
    /// Reads a row.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<StoredRow>>>;
    /// Writes a row; [`ErrorKind::Conflict`] when what is there is not what was expected. `Ok` means that it is stored.
    fn put<'a>(&'a self, key: &'a str, value: Bytes, expect: Expect<'a>) -> BoxFuture<'a, Result<Version>>;
    /// Removes a row, if it is there.
    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>>;
    /// Reads rows in the order of their keys' bytes.
    fn scan<'a>(&'a self, scan: Scan<'a>) -> BoxFuture<'a, Result<Vec<StoredRow>>>;
}

/// Opens the part after `<scheme>:` of a binding. Must not do I/O: connections are made on first use.
pub type OpenTable = fn(&str) -> Result<Arc<dyn TableTransport>>;

/// A row: key, version, value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row<T> {
    /// Its key.
    pub key: String,
    /// Its version, for [`Table::replace`].
    pub version: Version,
    /// Its value.
    pub value: T,
}

/// Values of type `T`, as JSON, by key, in the table that the attribute names: `#[handler(…, tables = "insights")]`.
///
/// Several tables take the names in order: `tables = ["a", "b"]` gives `a` to the first `Table` argument.
/// A write that returned is seen by every read after it. Opening never fails; using a table that is not bound is
/// [`ErrorKind::Unsupported`] (HTTP 503). Keys are text of 1 to [`MAX_KEY`] bytes without control characters; values
/// are up to 256 KiB of JSON.
pub struct Table<T> {
    name: &'static str,
    transport: Result<Arc<dyn TableTransport>, String>,
    value: PhantomData<fn(T) -> T>,
}

impl<T> Table<T> {
    pub(crate) fn open(name: &'static str, bindings: &Bindings) -> Self {
        let transport = bindings.table(name).map_err(|e| e.to_string());
        Self { name, transport, value: PhantomData }
    }

    /// An empty table in memory, for unit tests; its clones share the rows.
    pub fn for_test() -> Self {
        Self { name: "test", transport: Ok(Arc::new(Memory::default())), value: PhantomData }
    }

    /// The table's name in the app.
    pub fn name(&self) -> &'static str {
        self.name
    }

    fn transport(&self) -> Result<&dyn TableTransport> {
        match &self.transport {
            Ok(transport) => Ok(&**transport),
            Err(why) => Err(Error::new(ErrorKind::Unsupported, why.clone())),
        }
    }

    fn of(&self) -> impl Fn(Error) -> Error {
        let name = self.name;
        move |error| error.with("table", name)
    }

    /// Removes a row. One that is not there is no error.
    ///
    /// # Errors
    /// As [`Table::get`].
    pub async fn delete(&self, key: &str) -> Result<()> {
        check(key)?;
        self.transport()?.delete(key).await.map_err(self.of())
    }
}

impl<T: DeserializeOwned> Table<T> {
    /// Reads a value.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`]: such a key cannot be; [`ErrorKind::Unsupported`]: the table is not bound;
    /// [`ErrorKind::Unavailable`]: it does not answer; [`ErrorKind::Handler`]: what is there is no `T`.
    pub async fn get(&self, key: &str) -> Result<Option<T>> {
        Ok(self.row(key).await?.map(|row| row.value))
    }

    /// Reads a value with its version.
    ///
    /// # Errors
    /// As [`Table::get`].
    pub async fn row(&self, key: &str) -> Result<Option<Row<T>>> {
        check(key)?;
        let row = self.transport()?.get(key).await.map_err(self.of())?;
        row.map(|row| self.decode(row)).transpose()
    }

    /// Reads the first `limit` rows whose key begins with `prefix`, in the order of the keys' bytes.
    ///
    /// # Errors
    /// As [`Table::get`].
    pub async fn scan(&self, prefix: &str, limit: usize) -> Result<Vec<Row<T>>> {
        self.scan_after(prefix, "", limit).await
    }

    /// As [`Table::scan`], beginning after a key: the last one of the page before.
    ///
    /// # Errors
    /// As [`Table::get`].
    pub async fn scan_after(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<Row<T>>> {
        let rows = self.transport()?.scan(Scan { prefix, after, limit }).await.map_err(self.of())?;
        rows.into_iter().map(|row| self.decode(row)).collect()
    }

    fn decode(&self, row: StoredRow) -> Result<Row<T>> {
        let value = serde_json::from_slice(&row.value).map_err(|e| {
            Error::handler(format!("row `{}` is not what the handler reads: {e}", row.key))
                .with("table", self.name)
        })?;
        Ok(Row { key: row.key, version: row.version, value })
    }
}

impl<T: Serialize + Sync> Table<T> {
    /// Writes a value, whatever was there, and returns the row's version.
    ///
    /// # Errors
    /// As [`Table::get`], and [`ErrorKind::PayloadTooLarge`].
    pub async fn put(&self, key: &str, value: &T) -> Result<Version> {
        self.write(key, value, Expect::Anything).await
    }

    /// Writes a value where there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the row is there already, and as [`Table::put`].
    pub async fn insert(&self, key: &str, value: &T) -> Result<Version> {
        self.write(key, value, Expect::Nothing).await
    }

    /// Writes a value over the version that was read before.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when someone else has changed the row since, and as [`Table::put`].
    pub async fn replace(&self, key: &str, value: &T, version: &Version) -> Result<Version> {
        self.write(key, value, Expect::Version(version)).await
    }

    async fn write(&self, key: &str, value: &T, expect: Expect<'_>) -> Result<Version> {
        check(key)?;
        let json = serde_json::to_vec(value)
            .map_err(|e| Error::handler(format!("the value cannot be written as JSON: {e}")))?;
        self.transport()?.put(key, json.into(), expect).await.map_err(self.of())
    }
}

/// Fails when this cannot be a key of every cloud's tables.
///
/// # Errors
/// [`ErrorKind::BadRequest`].
pub fn check(key: &str) -> Result<()> {
    if (1..=MAX_KEY).contains(&key.len()) && !key.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::bad_request(format!(
        "{key:?} cannot be a row's key: 1 to {MAX_KEY} bytes, no control characters"
    )))
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self { name: self.name, transport: self.transport.clone(), value: PhantomData }
    }
}

impl<T> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({})", self.name)
    }
}

/// A table for unit tests.
#[derive(Default)]
struct Memory(Mutex<(u64, BTreeMap<String, StoredRow>)>);

impl Memory {
    fn locked<T>(&self, work: impl FnOnce(&mut u64, &mut BTreeMap<String, StoredRow>) -> T) -> T {
        let (writes, rows) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work(writes, rows)
    }
}

impl TableTransport for Memory {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<StoredRow>>> {
        let found = self.locked(|_, rows| rows.get(key).cloned());
        Box::pin(std::future::ready(Ok(found)))
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, expect: Expect<'a>) -> BoxFuture<'a, Result<Version>> {
        let result = self.locked(|writes, rows| {
            let fits = match (expect, rows.get(key)) {
                (Expect::Anything, _) | (Expect::Nothing, None) => true,
                (Expect::Version(wanted), Some(row)) => row.version == *wanted,
                _ => false,
            };
            if !fits {
                return Err(Error::conflict(format!("row `{key}` is not as expected")));
            }
            *writes += 1;
            let version = Version(writes.to_string());
            let row = StoredRow { key: key.to_owned(), version: version.clone(), value };
            rows.insert(key.to_owned(), row);
            Ok(version)
        });
        Box::pin(std::future::ready(result))
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>> {
        self.locked(|_, rows| rows.remove(key));
        Box::pin(std::future::ready(Ok(())))
    }

    fn scan<'a>(&'a self, scan: Scan<'a>) -> BoxFuture<'a, Result<Vec<StoredRow>>> {
        let found = self.locked(|_, rows| {
            let fits = |row: &&StoredRow| row.key.starts_with(scan.prefix) && row.key.as_str() > scan.after;
            rows.values().filter(fits).take(scan.limit).cloned().collect()
        });
        Box::pin(std::future::ready(Ok(found)))
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// A table in memory never waits.
    fn now<T>(future: impl Future<Output = T>) -> T {
        match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("a table in memory waited"),
        }
    }

    #[test]
    fn a_write_over_another_version_is_a_conflict() {
        let table = Table::<u32>::for_test();
        let first = now(table.insert("a", &1)).unwrap();
        assert_eq!(now(table.insert("a", &2)).unwrap_err().kind(), ErrorKind::Conflict);
        let second = now(table.replace("a", &2, &first)).unwrap();
        assert_eq!(now(table.replace("a", &3, &first)).unwrap_err().kind(), ErrorKind::Conflict);
        let row = now(table.row("a")).unwrap().unwrap();
        assert_eq!((row.value, row.version), (2, second.clone()));
        now(table.delete("a")).unwrap();
        now(table.delete("a")).unwrap();
        assert_eq!(now(table.replace("a", &3, &second)).unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(now(table.get("a")).unwrap(), None);
    }

    #[test]
    fn clones_share_rows_and_scans_are_in_order() {
        let table = Table::<u32>::for_test();
        let other = table.clone();
        for (n, key) in ["b/2", "a", "b/1", "c"].into_iter().enumerate() {
            now(table.put(key, &(n as u32))).unwrap();
        }
        let keys = |rows: Vec<Row<u32>>| rows.into_iter().map(|row| row.key).collect::<Vec<_>>();
        assert_eq!(keys(now(other.scan("b/", 9)).unwrap()), ["b/1", "b/2"]);
        assert_eq!(keys(now(other.scan_after("", "b/1", 2)).unwrap()), ["b/2", "c"]);
    }

    #[test]
    fn a_key_that_not_every_cloud_takes_is_refused_before_anything_is_asked() {
        let table = Table::<u32>::open("nowhere", &Bindings::default());
        assert_eq!(now(table.get("a")).unwrap_err().kind(), ErrorKind::Unsupported);
        for key in ["", "a\0", "a\n", &"k".repeat(MAX_KEY + 1)] {
            assert_eq!(now(table.put(key, &1)).unwrap_err().kind(), ErrorKind::BadRequest, "{key:?}");
        }
    }
}
