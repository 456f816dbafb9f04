//! The control socket's API: what the CLI asks of the host.

mod invoke;
mod metrics;
mod versions;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::json;
use xcloud_core::text::{form_decode, parse_rfc3339, percent_decode};
use xcloud_core::{Error, Response, Result};
use xcloud_deploy::LogQuery;

use super::api::{Publish, VERSION, app_key, is_digest, is_name};
use super::follow::Follower;
use super::release;
use super::state::Host;
use crate::error::{json as answer_json, response as refuse};

/// Lines in one answer, when the question does not say.
const DEFAULT_LINES: usize = 1000;

/// Answers one request.
pub(crate) async fn answer(host: Arc<Host>, request: Request<Bytes>) -> Response {
    match route(&host, request).await {
        Ok(response) => response,
        Err(error) => refuse(&error),
    }
}

async fn route(host: &Arc<Host>, request: Request<Bytes>) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let path = String::from_utf8_lossy(&percent_decode(parts.uri.path())).into_owned();
    let query = parts.uri.query().unwrap_or("");
    let unknown = || Error::not_found(format!("the host does not know {} {path}", parts.method));
    let rest = path.strip_prefix(VERSION).ok_or_else(unknown)?;
    let segments: Vec<&str> = rest.split('/').skip(1).collect();
    match (&parts.method, segments.as_slice()) {
        (&Method::GET, ["host"]) => ok(&host.describe()),
        (&Method::POST, ["host", "stop"]) => {
            host.stop.send_replace(true);
            ok(&json!({}))
        }
        (&Method::GET, ["apps", key]) => ok(&host.app(key)?.view()),
        (&Method::DELETE, ["apps", key]) => destroy(host, key, parameter(query, "data").is_some()).await,
        (&Method::GET, ["apps", key, "packages", digest]) => has_package(host, key, digest),
        (&Method::PUT, ["apps", key, "packages", digest]) => put_package(host, key, digest, body).await,
        (&Method::PUT, ["apps", key, "queues", name]) if is_name(name) => {
            host.app_or_new(key)?.create_queue(name)?;
            ok(&json!({}))
        }
        (&Method::PUT, ["apps", key, "tables", name]) if is_name(name) => {
            host.app_or_new(key)?.create_table(name)?;
            ok(&json!({}))
        }
        (&Method::PUT, ["apps", key, "buckets", name]) if is_name(name) => {
            host.app_or_new(key)?.create_bucket(name)?;
            ok(&json!({}))
        }
        (&Method::PUT, ["apps", key, "topics", name]) if is_name(name) => {
            host.app_or_new(key)?.create_topic(name)?;
            ok(&json!({}))
        }
        (&Method::POST, ["apps", key, "emit"]) => {
            ok(&xcloud_deploy::Emitted { to: host.app(key)?.emit(parse(&body)?).await? })
        }
        (_, ["apps", key, "queues", rest @ ..]) => {
            super::queues::answer(&*host.app(key)?, &parts.method, rest, query).await
        }
        (&Method::POST, ["apps", key, "publish"]) => publish(host, key, &body).await,
        (&Method::GET, ["apps", key, "metrics"]) => ok(&metrics::read(host, key, query)?),
        (method, ["apps", key, "versions", rest @ ..]) => {
            versions::route(host, (method, key, rest), &body).await
        }
        (&Method::GET, ["apps", key, "logs"]) => read_logs(host, key, query),
        (&Method::POST, ["apps", key, "functions", name, "invoke"]) => {
            invoke::invoke(host, key, name, body).await
        }
        _ => Err(unknown()),
    }
}

pub(super) fn ok(value: &impl serde::Serialize) -> Result<Response> {
    Ok(answer_json(StatusCode::OK, value))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body)
        .map_err(|e| Error::bad_request(format!("the request is not understood: {e}")))
}

pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| form_decode(value).into_owned())
}

async fn destroy(host: &Host, key: &str, delete_data: bool) -> Result<Response> {
    let gone = host.app(key)?.destroy(delete_data).await?;
    if gone {
        host.forget(key);
    }
    ok(&json!({ "gone": gone }))
}

fn has_package(host: &Host, key: &str, digest: &str) -> Result<Response> {
    let app = host.app(key)?;
    if is_digest(digest) && release::directory(&app.place().directory, digest).exists() {
        return ok(&json!({}));
    }
    Err(Error::not_found(format!("package {digest} is not here")))
}

async fn put_package(host: &Host, key: &str, digest: &str, body: Bytes) -> Result<Response> {
    if !is_digest(digest) {
        return Err(Error::bad_request(format!("{digest:?} is not a sha256")));
    }
    let directory = host.app_or_new(key)?.place().directory.clone();
    let digest = digest.to_owned();
    let stored = tokio::task::spawn_blocking(move || release::store(&directory, &digest, &body));
    stored.await.map_err(|e| Error::handler(e.to_string()))??;
    ok(&json!({}))
}

/// In a task of its own: a client that goes away in the middle does not leave it half done.
async fn publish(host: &Arc<Host>, key: &str, body: &[u8]) -> Result<Response> {
    let publish: Publish = parse(body)?;
    if app_key(&publish.stage)? != key {
        return Err(Error::bad_request("the stage is not that of the path"));
    }
    let (app, taken) = (host.app_or_new(key)?, host.ports_but(key));
    if let Some(durability) = publish.durability {
        app.place().store.set_durability(durability).await?;
    }
    let published = tokio::spawn(async move { app.publish(publish, &taken).await });
    let version = published.await.map_err(|e| Error::handler(e.to_string()))??;
    ok(&json!({ "version": version }))
}

fn read_logs(host: &Host, key: &str, query: &str) -> Result<Response> {
    let app = host.app(key)?;
    let function = parameter(query, "function");
    if let Some(name) = &function {
        let record = app.record();
        let known = record.manifest.iter().flat_map(|m| &m.functions).any(|f| f.name == *name);
        if !known {
            return Err(no_function(key, name));
        }
    }
    let since = parameter(query, "since").and_then(|time| parse_rfc3339(&time));
    let limit = parameter(query, "limit").and_then(|n| n.parse().ok()).or(Some(DEFAULT_LINES));
    let query = LogQuery { function, limit, since, request: parameter(query, "request") };
    let lines = Follower::new(app.place().logs(), query).poll();
    ok(&lines.map_err(crate::error::io("cannot read the logs"))?)
}

fn no_function(key: &str, name: &str) -> Error {
    Error::not_found(format!("app {key} has no function `{name}`"))
}
