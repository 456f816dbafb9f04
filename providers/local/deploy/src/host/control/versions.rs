//! `/apps/<key>/versions`: which there are, rollback, traffic.

use std::sync::Arc;

use http::Method;
use serde_json::json;
use xcloud_core::{Error, Response, Result};

use super::{ok, parse};
use crate::host::api::versions::{Rollback, Shift};
use crate::host::state::Host;

/// Answers one request; the path is what follows `/versions`.
pub(super) async fn route(
    host: &Arc<Host>,
    (method, key, path): (&Method, &str, &[&str]),
    body: &[u8],
) -> Result<Response> {
    let app = host.app(key)?;
    match (method, path) {
        (&Method::GET, []) => return ok(&app.versions()),
        // In tasks of their own: a client that goes away in the middle does not leave them half done.
        (&Method::POST, ["rollback"]) => {
            let rollback: Rollback = parse(body)?;
            tokio::spawn(async move { app.rollback(&rollback).await })
        }
        (&Method::POST, ["traffic"]) => {
            let shift: Shift = parse(body)?;
            tokio::spawn(async move { app.shift(&shift).await })
        }
        _ => {
            return Err(Error::not_found(
                "the host knows GET versions, POST versions/rollback and versions/traffic",
            ));
        }
    }
    .await
    .map_err(|e| Error::handler(e.to_string()))??;
    ok(&json!({}))
}
