//! Sending to a queue of the local host: the scheme `local:` of `XCLOUD_QUEUE_<NAME>`.
//!
//! Not part of the wire between host and process, and usable in any room: that is why it is a file of its own.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xcloud_core::queue::{BoxFuture, QueueTransport};
use xcloud_core::text::{base64_encode, percent_encode};
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_serve::Client;
use xcloud_serve::client::Address;

use crate::binding::{MAX_MESSAGE, SCHEME};

/// Connections kept for the next send.
const IDLE: usize = 16;
/// The host lets go of a connection that is idle for 30 s; one that it may be closing is not used.
const FRESH: Duration = Duration::from_secs(10);
/// The host stores in milliseconds; this is a host that hangs.
const LIMIT: Duration = Duration::from_secs(10);

/// The body of a send.
#[derive(Debug, Serialize, Deserialize)]
pub struct Sent {
    /// The messages in base64.
    pub messages: Vec<String>,
}

/// The answer to a send.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stored {
    /// The messages' ids, in order.
    pub ids: Vec<String>,
}

/// The path on the host's data socket that takes messages for a queue.
pub fn path(app: &str, queue: &str) -> String {
    format!("/v1/queues/{}/{}", percent_encode(app), percent_encode(queue))
}

/// The value of `XCLOUD_QUEUE_<NAME>` that leads to a queue of the host.
pub fn binding(app: &str, queue: &str, socket: &std::path::Path) -> String {
    format!("{SCHEME}:{app}/{queue}@{}", socket.display())
}

/// Opens `<app>/<queue>@<socket>`. Connects on the first send.
///
/// # Errors
/// [`ErrorKind::Config`] when it has another form.
pub fn open_queue(rest: &str) -> Result<Arc<dyn QueueTransport>> {
    let parts = rest.split_once('@').and_then(|(name, socket)| Some((name.split_once('/')?, socket)));
    let Some(((app, queue), socket)) = parts.filter(|((app, queue), socket)| {
        !app.is_empty() && !queue.is_empty() && !queue.contains('/') && socket.starts_with('/')
    }) else {
        let message =
            format!("`{SCHEME}:{rest}` is not of the form `{SCHEME}:<app>/<queue>@<absolute path>`");
        return Err(Error::new(ErrorKind::Config, message));
    };
    Ok(Arc::new(Sender { path: path(app, queue), socket: socket.into(), idle: Mutex::default() }))
}

struct Sender {
    path: String,
    socket: PathBuf,
    idle: Mutex<Vec<(Client, Instant)>>,
}

impl QueueTransport for Sender {
    fn send(&self, messages: Vec<Bytes>) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(self.store(messages))
    }
}

impl Sender {
    async fn store(&self, messages: Vec<Bytes>) -> Result<Vec<String>> {
        if let Some(large) = messages.iter().find(|m| m.len() > MAX_MESSAGE) {
            let message = format!("a message has {} bytes; a queue takes {MAX_MESSAGE}", large.len());
            return Err(Error::new(ErrorKind::PayloadTooLarge, message));
        }
        let sent = Sent { messages: messages.iter().map(|m| base64_encode(m)).collect() };
        let body = serde_json::to_vec(&sent)?;
        let mut client = self.take();
        let headers = [("content-type", "application/json")];
        let reply =
            tokio::time::timeout(LIMIT, client.request("POST", &self.path, &headers, &body))
                .await
                .map_err(|_| Error::unavailable(format!("the local host did not store in {LIMIT:?}")))??;
        self.give(client);
        if reply.status != 200 {
            let text = String::from_utf8_lossy(&reply.body);
            return Err(Error::unavailable(format!("the local host refused: {} {text}", reply.status)));
        }
        let stored: Stored = serde_json::from_slice(&reply.body)
            .map_err(|e| Error::unavailable(format!("the local host's answer: {e}")))?;
        if stored.ids.len() != messages.len() {
            return Err(Error::unavailable("the local host did not name every message"));
        }
        Ok(stored.ids)
    }

    fn take(&self) -> Client {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        match idle.pop() {
            Some((client, since)) if since.elapsed() < FRESH => client,
            // The newest is too old, so all are.
            _ => {
                idle.clear();
                Client::new(Address::Unix(self.socket.clone()))
            }
        }
    }

    fn give(&self, client: Client) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push((client, Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_names_app_queue_and_socket() {
        let value = binding("shop.dev", "order-placed", std::path::Path::new("/run/x@y/data.sock"));
        assert_eq!(value, "local:shop.dev/order-placed@/run/x@y/data.sock");
        assert!(open_queue("shop.dev/order-placed@/run/data.sock").is_ok());
        for bad in ["", "q", "a/b", "a/b@", "/b@/s", "a/@/s", "a/b@relative", "a/b/c@/s"] {
            let error = open_queue(bad).err().map(|e| e.kind());
            assert_eq!(error, Some(ErrorKind::Config), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_host_that_is_away_is_unavailable_and_a_large_message_is_refused_before() {
        let sender = open_queue("a/b@/nonexistent/data.sock").unwrap();
        assert_eq!(sender.send(vec!["{}".into()]).await.unwrap_err().kind(), ErrorKind::Unavailable);
        let large = Bytes::from(vec![b'x'; MAX_MESSAGE + 1]);
        assert_eq!(sender.send(vec![large]).await.unwrap_err().kind(), ErrorKind::PayloadTooLarge);
    }
}
