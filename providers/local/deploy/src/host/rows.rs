//! The data socket's tables: where functions read and write rows.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use xcloud_core::text::{base64_encode, form_decode};
use xcloud_core::{Body, Error, ErrorKind, Response, Result, table};
use xcloud_local::table::{MAX_VALUE, NEW_HEADER, OVER_HEADER, Rows, VERSION_HEADER, WireRow};

use super::app::App;
use super::store::{Expect, Row, Store};
use crate::error::json;

/// Rows in one answer at most.
const MOST: usize = 1000;

/// Answers a request about a table, or about a row of it.
pub(super) async fn answer(
    app: &App,
    table: &str,
    key: Option<&str>,
    request: &Request<Bytes>,
) -> Result<Response> {
    let record = app.record();
    if !record.tables.contains(table) {
        return Err(Error::not_found(format!("app {} has no table `{table}`", app.place().key)));
    }
    let store = &app.place().store;
    match (request.method(), key) {
        (&Method::GET, None) => scan(store, table, request.uri().query().unwrap_or("")).await,
        (&Method::GET, Some(key)) => {
            let Some(row) = store.get(table, key).await? else { return Ok(empty(StatusCode::NO_CONTENT)) };
            Ok(versioned(row.version, row.value))
        }
        (&Method::PUT, Some(key)) => {
            table::check(key)?;
            let value = request.body().clone();
            if value.len() > MAX_VALUE {
                let message = format!("the value has {} bytes; a table takes {MAX_VALUE}", value.len());
                return Err(Error::new(ErrorKind::PayloadTooLarge, message));
            }
            let version = store.put(table, key, value, expect(request.headers())?).await?;
            Ok(versioned(version, Bytes::new()))
        }
        (&Method::DELETE, Some(key)) => {
            store.delete(table, key, expect(request.headers())?).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        _ => Err(Error::not_found("a table takes GET, a row GET, PUT and DELETE")),
    }
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::default());
    *response.status_mut() = status;
    response
}

fn versioned(version: u64, value: Bytes) -> Response {
    let mut response = Response::new(Body::from(value));
    response.headers_mut().insert(VERSION_HEADER, HeaderValue::from(version));
    response
}

fn expect(headers: &HeaderMap) -> Result<Expect> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match (text(NEW_HEADER), text(OVER_HEADER)) {
        (None, None) => Ok(Expect::Anything),
        (Some("*"), None) => Ok(Expect::Nothing),
        // A version that is none of ours is not that of the row.
        (None, Some(version)) => Ok(Expect::Version(version.parse().unwrap_or(0))),
        _ => Err(Error::bad_request(format!("{NEW_HEADER} is `*`, or {OVER_HEADER} is a version"))),
    }
}

async fn scan(store: &Store, table: &str, query: &str) -> Result<Response> {
    let (prefix, after, limit) = asked(query)?;
    let (rows, more) = store.scan(table, &prefix, &after, limit.min(MOST)).await?;
    Ok(json(StatusCode::OK, &Rows { rows: rows.into_iter().map(wire).collect(), more }))
}

/// What keys begin with, the key that they come after, how many.
fn asked(query: &str) -> Result<(String, String, usize)> {
    let (mut prefix, mut after, mut limit) = (String::new(), String::new(), MOST);
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match name {
            "prefix" => prefix = form_decode(value).into_owned(),
            "after" => after = form_decode(value).into_owned(),
            "limit" => {
                let wrong = |_| Error::bad_request(format!("limit {value:?} is not a number"));
                limit = value.parse().map_err(wrong)?;
            }
            _ => {}
        }
    }
    Ok((prefix, after, limit))
}

fn wire(row: Row) -> WireRow {
    WireRow { key: row.key, version: row.version.to_string(), value: base64_encode(&row.value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?))).collect()
    }

    #[test]
    fn what_a_write_expects_is_in_two_headers() {
        assert_eq!(expect(&headers(&[])).unwrap(), Expect::Anything);
        assert_eq!(expect(&headers(&[(NEW_HEADER, "*")])).unwrap(), Expect::Nothing);
        assert_eq!(expect(&headers(&[(OVER_HEADER, "12")])).unwrap(), Expect::Version(12));
        assert_eq!(expect(&headers(&[(OVER_HEADER, "other")])).unwrap(), Expect::Version(0), "never a row's");
        for bad in [&[(NEW_HEADER, "1")][..], &[(NEW_HEADER, "*"), (OVER_HEADER, "1")]] {
            assert!(expect(&headers(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_scan_is_asked_for_in_the_query() {
        assert_eq!(asked("prefix=a%2F&after=a%2F1&limit=3&x=y").unwrap(), ("a/".into(), "a/1".into(), 3));
        assert_eq!(asked("").unwrap(), (String::new(), String::new(), MOST));
        assert!(asked("limit=-1").is_err() && asked("limit=").is_err());
    }

    proptest! {
        #[test]
        fn no_query_or_header_makes_it_panic(query in ".*", value in ".*") {
            drop(asked(&query));
            drop(asked(&format!("prefix={query}&limit={value}")));
            drop(expect(&headers(&[(OVER_HEADER, &value)])));
            drop(expect(&headers(&[(NEW_HEADER, &value)])));
        }
    }
}
