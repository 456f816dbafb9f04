//! Putting events into a deployed app by hand.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xcloud_core::Result;

use crate::provider::Stage;

/// An event to put in, as if the platform's own service had made it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Emit {
    /// An object is written or removed.
    Object {
        /// The bucket's name in the app.
        bucket: String,
        /// The object's key.
        key: String,
        /// What it holds, in base64.
        #[serde(default)]
        body_base64: String,
        /// Whether it is removed instead.
        #[serde(default)]
        deleted: bool,
    },
    /// A schedule fires now.
    Tick {
        /// The scheduled function.
        function: String,
    },
    /// A message is sent to a queue.
    Message {
        /// The queue's name in the app.
        queue: String,
        /// The message, in base64.
        body_base64: String,
    },
    /// A message is published.
    Topic {
        /// The topic's name in the app.
        topic: String,
        /// The message, in base64.
        body_base64: String,
        /// Its attributes.
        #[serde(default)]
        attributes: BTreeMap<String, String>,
    },
    /// A row is written, or removed.
    Change {
        /// The table's name in the app.
        table: String,
        /// The row's key.
        key: String,
        /// The row; absent: it is removed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        row: Option<Value>,
    },
    /// Any CloudEvent; id, source and time are made where they are missing.
    Event {
        /// In the structured JSON form.
        event: Value,
    },
}

/// What became of an event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Emitted {
    /// Where it went: `bucket uploads`, `function hear`.
    pub to: Vec<String>,
}

/// Putting events in.
#[async_trait]
pub trait Events: Send + Sync {
    /// Puts one event in; it is kept when this returns.
    ///
    /// # Errors
    /// There is no such bucket, queue, table, topic or function; or the provider cannot be asked.
    async fn emit(&self, stage: &Stage, emit: Emit) -> Result<Emitted>;
}
