//! Tables of the local host: the scheme `local:` of `XCLOUD_TABLE_<NAME>`. Usable in any room, as [`crate::sender`] is.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xcloud_core::queue::BoxFuture;
use xcloud_core::table::{Expect, Scan, StoredRow, TableTransport, Version};
use xcloud_core::text::{base64_decode, percent_encode};
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_serve::client::Reply;

use crate::binding::{MAX_MESSAGE, SCHEME};
use crate::sender::{Socket, target};

/// A row's version, on answers to `GET` and `PUT`.
pub const VERSION_HEADER: &str = "x-xcloud-version";
/// Do it only over this version.
pub const OVER_HEADER: &str = "if-match";
/// Do it only (`*`) where there is no row.
pub const NEW_HEADER: &str = "if-none-match";
/// The largest value in bytes, as of a message.
pub const MAX_VALUE: usize = MAX_MESSAGE;

/// The answer to a scan.
#[derive(Debug, Serialize, Deserialize)]
pub struct Rows {
    /// The rows in order.
    pub rows: Vec<WireRow>,
    /// Whether there may be more after them.
    pub more: bool,
}

/// A row of a scan.
#[derive(Debug, Serialize, Deserialize)]
pub struct WireRow {
    /// Its key.
    pub key: String,
    /// Its version.
    pub version: String,
    /// Its value in base64.
    pub value: String,
}

/// The path of a table on the host's data socket; rows are below it.
pub fn path(app: &str, table: &str) -> String {
    format!("/v1/tables/{}/{}", percent_encode(app), percent_encode(table))
}

/// The value of `XCLOUD_TABLE_<NAME>` that leads to a table of the host.
pub fn binding(app: &str, table: &str, socket: &std::path::Path) -> String {
    crate::sender::binding(app, table, socket)
}

/// Opens `<app>/<table>@<socket>`. Connects on first use.
///
/// # Errors
/// [`ErrorKind::Config`] when it has another form.
pub fn open_table(rest: &str) -> Result<Arc<dyn TableTransport>> {
    let Some((app, table, socket)) = target(rest) else {
        let message =
            format!("`{SCHEME}:{rest}` is not of the form `{SCHEME}:<app>/<table>@<absolute path>`");
        return Err(Error::new(ErrorKind::Config, message));
    };
    Ok(Arc::new(Local { path: path(app, table), socket: Socket::new(socket) }))
}

struct Local {
    path: String,
    socket: Socket,
}

impl Local {
    fn row(&self, key: &str) -> String {
        format!("{}/{}", self.path, percent_encode(key))
    }

    async fn write(&self, key: &str, value: &[u8], expect: Expect<'_>) -> Result<Version> {
        if value.len() > MAX_VALUE {
            let message = format!("a value has {} bytes; a table takes {MAX_VALUE}", value.len());
            return Err(Error::new(ErrorKind::PayloadTooLarge, message));
        }
        let header = match expect {
            Expect::Anything => ("content-type", "application/json"),
            Expect::Nothing => (NEW_HEADER, "*"),
            Expect::Version(version) => (OVER_HEADER, version.as_str()),
        };
        let reply = self.socket.ask("PUT", &self.row(key), &[header], value).await?;
        version(&reply)
    }

    /// Page by page: the host bounds what it answers at once.
    async fn read(&self, scan: Scan<'_>) -> Result<Vec<StoredRow>> {
        let mut found: Vec<StoredRow> = Vec::new();
        while found.len() < scan.limit {
            let after = found.last().map_or(scan.after, |row| row.key.as_str());
            let (rows, more) = self.page(Scan { after, limit: scan.limit - found.len(), ..scan }).await?;
            found.extend(rows);
            if !more {
                break;
            }
        }
        Ok(found)
    }

    async fn page(&self, scan: Scan<'_>) -> Result<(Vec<StoredRow>, bool)> {
        let (prefix, after) = (percent_encode(scan.prefix), percent_encode(scan.after));
        let path = format!("{}?prefix={prefix}&after={after}&limit={}", self.path, scan.limit);
        let reply = self.socket.ask("GET", &path, &[], b"").await?;
        let rows: Rows = serde_json::from_slice(&reply.body).map_err(|e| not_understood(&e.to_string()))?;
        let row = |row: WireRow| {
            let value = base64_decode(row.value.as_bytes()).ok_or_else(|| not_understood("no base64"))?;
            Ok(StoredRow { key: row.key, version: Version::new(row.version), value: value.into() })
        };
        let more = rows.more && !rows.rows.is_empty();
        Ok((rows.rows.into_iter().map(row).collect::<Result<_>>()?, more))
    }
}

fn not_understood(why: &str) -> Error {
    Error::unavailable(format!("the local host's answer is not understood: {why}"))
}

fn version(reply: &Reply) -> Result<Version> {
    reply.headers.get(VERSION_HEADER).map(Version::new).ok_or_else(|| not_understood("no version"))
}

impl TableTransport for Local {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<StoredRow>>> {
        Box::pin(async move {
            let reply = self.socket.ask("GET", &self.row(key), &[], b"").await?;
            if reply.status == 204 {
                return Ok(None);
            }
            let version = version(&reply)?;
            Ok(Some(StoredRow { key: key.to_owned(), version, value: reply.body }))
        })
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, expect: Expect<'a>) -> BoxFuture<'a, Result<Version>> {
        Box::pin(async move { self.write(key, &value, expect).await })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.socket.ask("DELETE", &self.row(key), &[], b"").await.map(drop) })
    }

    fn scan<'a>(&'a self, scan: Scan<'a>) -> BoxFuture<'a, Result<Vec<StoredRow>>> {
        Box::pin(self.read(scan))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_names_app_table_and_socket() {
        let value = binding("social.dev", "insights", std::path::Path::new("/run/data.sock"));
        assert_eq!(value, "local:social.dev/insights@/run/data.sock");
        assert!(open_table("social.dev/insights@/run/data.sock").is_ok());
        assert_eq!(open_table("insights@/run/data.sock").err().map(|e| e.kind()), Some(ErrorKind::Config));
    }

    #[tokio::test]
    async fn a_host_that_is_away_is_unavailable_and_a_large_value_is_refused_before() {
        let table = open_table("a/b@/nonexistent/data.sock").unwrap();
        assert_eq!(table.get("k").await.unwrap_err().kind(), ErrorKind::Unavailable);
        let large = Bytes::from(vec![b'x'; MAX_VALUE + 1]);
        let refused = table.put("k", large, Expect::Anything).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PayloadTooLarge);
    }
}
