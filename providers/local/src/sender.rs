//! Sending to a queue of the local host: the scheme `local:` of `XCLOUD_QUEUE_<NAME>`.
//!
//! Not part of the wire between host and process, and usable in any room: that is why it is a file of its own.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xcloud_core::queue::{BoxFuture, Outgoing, QueueTransport};
use xcloud_core::text::{base64_encode, percent_encode};
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_serve::Client;
use xcloud_serve::client::{Address, Reply};

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

/// The parts of `<app>/<name>@<socket>`.
pub(crate) fn target(rest: &str) -> Option<(&str, &str, &str)> {
    let (names, socket) = rest.split_once('@')?;
    let (app, name) = names.split_once('/')?;
    let sound = !app.is_empty() && !name.is_empty() && !name.contains('/') && socket.starts_with('/');
    sound.then_some((app, name, socket))
}

/// Opens `<app>/<queue>@<socket>`. Connects on the first send.
///
/// # Errors
/// [`ErrorKind::Config`] when it has another form.
pub fn open_queue(rest: &str) -> Result<Arc<dyn QueueTransport>> {
    let Some((app, queue, socket)) = target(rest) else {
        let message =
            format!("`{SCHEME}:{rest}` is not of the form `{SCHEME}:<app>/<queue>@<absolute path>`");
        return Err(Error::new(ErrorKind::Config, message));
    };
    Ok(Arc::new(Sender { path: path(app, queue), socket: Socket::new(socket) }))
}

struct Sender {
    path: String,
    socket: Socket,
}

impl QueueTransport for Sender {
    fn send(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(self.store(outgoing.messages))
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
        let headers = [("content-type", "application/json")];
        let reply = self.socket.ask("POST", &self.path, &headers, &body).await?;
        let stored: Stored = serde_json::from_slice(&reply.body)
            .map_err(|e| Error::unavailable(format!("the local host's answer: {e}")))?;
        if stored.ids.len() != messages.len() {
            return Err(Error::unavailable("the local host did not name every message"));
        }
        Ok(stored.ids)
    }
}

/// The host's data socket, with connections kept for the next question.
pub(crate) struct Socket {
    path: PathBuf,
    idle: Mutex<Vec<(Client, Instant)>>,
}

/// What the host says when it refuses.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl Socket {
    pub(crate) fn new(path: &str) -> Self {
        Self { path: path.into(), idle: Mutex::default() }
    }

    /// Asks, and expects a status of 2xx.
    ///
    /// # Errors
    /// The host is away or does not answer in time, and what it refuses: 400, 409 and 413 as what they are, everything
    /// else as [`ErrorKind::Unavailable`].
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Reply> {
        let mut client = self.take();
        let reply = tokio::time::timeout(LIMIT, client.request(method, path, headers, body))
            .await
            .map_err(|_| Error::unavailable(format!("the local host did not answer in {LIMIT:?}")))??;
        self.give(client);
        if (200..300).contains(&reply.status) {
            return Ok(reply);
        }
        let kind = match reply.status {
            400 => ErrorKind::BadRequest,
            409 => ErrorKind::Conflict,
            413 => ErrorKind::PayloadTooLarge,
            _ => ErrorKind::Unavailable,
        };
        let why = serde_json::from_slice(&reply.body).map(|refusal: Refusal| refusal.error);
        Err(Error::new(kind, why.unwrap_or_else(|_| format!("the local host answered {}", reply.status))))
    }

    fn take(&self) -> Client {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        match idle.pop() {
            Some((client, since)) if since.elapsed() < FRESH => client,
            // The newest is too old, so all are.
            _ => {
                idle.clear();
                Client::new(Address::Unix(self.path.clone()))
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
        assert_eq!(sender.send(vec!["{}".into()].into()).await.unwrap_err().kind(), ErrorKind::Unavailable);
        let large = Bytes::from(vec![b'x'; MAX_MESSAGE + 1]);
        assert_eq!(sender.send(vec![large].into()).await.unwrap_err().kind(), ErrorKind::PayloadTooLarge);
    }
}
