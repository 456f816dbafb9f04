//! What one does with the queues of a deployed app: look at them, try again what failed, throw away.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xcloud_core::Result;

use crate::provider::Stage;

/// How a queue is. `None` where the provider does not tell.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueueStatus {
    /// The provider's id.
    pub provider: String,
    /// The queue's name in the app.
    pub name: String,
    /// Messages that are not done, those in flight too.
    pub waiting: u64,
    /// Messages that are being handled.
    pub in_flight: Option<u64>,
    /// Messages that were put aside.
    pub dead: u64,
    /// RFC 3339: when the oldest message that waits was sent.
    pub oldest: Option<String>,
}

/// Which messages to look at.
#[derive(Debug, Clone)]
pub struct Peek {
    /// The queue's name in the app.
    pub queue: String,
    /// Those that were put aside, instead of those that wait.
    pub dead: bool,
    /// At most so many, the oldest.
    pub limit: usize,
}

/// A message that was looked at. It stays where it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Peeked {
    /// The provider's id of it.
    pub id: String,
    /// RFC 3339.
    pub sent: Option<String>,
    /// Deliveries that have ended.
    pub attempts: u32,
    /// `waiting`, `in-flight`, `delayed` (it comes again later) or `dead`.
    pub state: String,
    /// RFC 3339: when a delayed message comes again.
    pub due: Option<String>,
    /// Why it was put aside.
    pub error: Option<String>,
    /// The message: JSON if it is, else text, base64 if it is neither.
    pub body: Value,
}

/// What one does with the queues of a deployed app.
#[async_trait]
pub trait Queues: Send + Sync {
    /// Says how every queue is.
    ///
    /// # Errors
    /// When the provider cannot be asked.
    async fn queues(&self, stage: &Stage) -> Result<Vec<QueueStatus>>;

    /// Shows messages without taking them, oldest first.
    ///
    /// # Errors
    /// [`xcloud_core::ErrorKind::NotFound`] when there is no such queue.
    async fn peek(&self, stage: &Stage, peek: Peek) -> Result<Vec<Peeked>>;

    /// Lets every message that was put aside wait again, as if it had never been delivered. Returns their number.
    ///
    /// # Errors
    /// As [`Queues::peek`].
    async fn redrive(&self, stage: &Stage, queue: &str) -> Result<u64>;

    /// Removes the messages that wait, or (`dead`) those that were put aside. Returns their number.
    ///
    /// # Errors
    /// As [`Queues::peek`].
    async fn purge(&self, stage: &Stage, queue: &str, dead: bool) -> Result<u64>;
}
