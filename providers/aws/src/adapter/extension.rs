//! The internal extension: an instance that has one gets SIGTERM and a moment before it is killed
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html>).

use xcloud_core::{Error, Result};

use super::api::Endpoint;
use crate::binding::{EXTENSION_NAME, EXTENSION_PATH};

/// Registers for no event at all, and waits for the next one on a connection of its own: init ends only then.
pub(super) async fn register(endpoint: &Endpoint) -> Result<()> {
    let mut client = endpoint.client();
    let path = format!("{}{EXTENSION_PATH}/register", endpoint.base);
    let headers = [("lambda-extension-name", EXTENSION_NAME), ("content-type", "application/json")];
    let reply = client.request("POST", &path, &headers, br#"{"events":[]}"#).await?;
    let id = reply.headers.get("lambda-extension-identifier").unwrap_or_default().to_owned();
    if reply.status != 200 || id.is_empty() {
        let text = String::from_utf8_lossy(&reply.body);
        return Err(Error::unavailable(format!("the Extensions API answered {}: {text}", reply.status)));
    }
    let next = format!("{}{EXTENSION_PATH}/event/next", endpoint.base);
    tokio::spawn(async move {
        // It never answers: no event was asked for.
        drop(client.request("GET", &next, &[("lambda-extension-identifier", &id)], b"").await);
    });
    Ok(())
}
