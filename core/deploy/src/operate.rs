//! What one does with a deployed app: call it, read its logs, ask how it is.

use std::time::SystemTime;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xcloud_core::Result;

use crate::metrics::{Metrics, MetricsQuery};
use crate::provider::Stage;
use crate::versions::{Rollback, Traffic, Version};

/// A call to make.
#[derive(Debug, Clone, Default)]
pub struct Invoke {
    /// The function's logical name: `http`, `fulfil`.
    pub function: String,
    /// The body or event.
    pub data: Vec<u8>,
    /// HTTP only: the method, default POST with data, else GET.
    pub method: Option<String>,
    /// HTTP only: path and query, default `/`.
    pub path: Option<String>,
    /// HTTP only: headers.
    pub headers: Vec<(String, String)>,
}

/// What a call answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Invoked {
    /// The HTTP status; for events 200 or 500.
    pub status: u16,
    /// Response headers in order.
    pub headers: Vec<(String, String)>,
    /// The body: JSON if it is, else text, base64 if it is neither.
    pub body: Value,
    /// The body's bytes, for `-o text`.
    #[serde(skip)]
    pub bytes: Vec<u8>,
    /// The platform's id of the call.
    pub request_id: Option<String>,
    /// From sending to the last byte.
    pub duration_ms: f64,
}

/// Which log lines to read.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// One function, or all.
    pub function: Option<String>,
    /// At most so many lines, the newest.
    pub limit: Option<usize>,
    /// Not older than this.
    pub since: Option<SystemTime>,
    /// Of the call with this id, or an id that ends so.
    pub request: Option<String>,
}

/// One log line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogLine {
    /// RFC 3339, when the provider received it.
    pub time: String,
    /// The function's logical name.
    pub function: String,
    /// `stdout`, `stderr` or `platform`.
    pub stream: String,
    /// The line, without its newline.
    pub line: String,
    /// The call that it belongs to, where the line says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// How one function is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// The provider's id.
    pub provider: String,
    /// The logical name.
    pub name: String,
    /// The provider's name of it.
    pub resource: String,
    /// The deployed version, `v3`.
    pub version: Option<String>,
    /// The base URL, for HTTP.
    pub url: Option<String>,
    /// The provider's word: `running`, `idle`, `failed`.
    pub state: String,
    /// Whether it can take calls.
    pub healthy: bool,
}

/// A function that serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// The logical name.
    pub name: String,
    /// The provider's name of it.
    pub resource: String,
    /// The version that it serves, `v3`.
    pub version: Option<String>,
    /// The base URL, for HTTP.
    pub url: Option<String>,
}

impl From<Status> for Serving {
    fn from(Status { name, resource, version, url, .. }: Status) -> Self {
        Self { name, resource, version, url }
    }
}

/// Takes log lines.
pub type Take<'a> = dyn FnMut(LogLine) + Send + 'a;

/// What one does with a deployed app.
#[async_trait]
pub trait Operate: Send + Sync {
    /// Calls a function and waits for its answer.
    ///
    /// # Errors
    /// When there is no such function or it cannot be reached; an answer of 500 is not an error here.
    async fn invoke(&self, stage: &Stage, call: Invoke) -> Result<Invoked>;

    /// Reads log lines, oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn logs(&self, stage: &Stage, query: LogQuery) -> Result<Vec<LogLine>>;

    /// Hands over the lines that [`Operate::logs`] gives, and then every new one as it comes, until it fails or is
    /// dropped.
    ///
    /// # Errors
    /// When there is nothing to follow.
    async fn follow(&self, stage: &Stage, query: LogQuery, take: &mut Take<'_>) -> Result<()>;

    /// Says how every function is.
    ///
    /// # Errors
    /// When the provider cannot be asked.
    async fn status(&self, stage: &Stage) -> Result<Vec<Status>>;

    /// The versions that are kept, the oldest first.
    ///
    /// # Errors
    /// When nothing is deployed or the provider cannot be asked.
    async fn versions(&self, stage: &Stage) -> Result<Vec<Version>>;

    /// The way back to a version (`v3`), or to the one before the current. Changes nothing.
    ///
    /// # Errors
    /// When there is no such version or the provider cannot be asked.
    async fn plan_rollback(&self, stage: &Stage, to: Option<&str>) -> Result<Rollback>;

    /// Goes back as planned: code, environment, memory and timeout; triggers and resources stay as configured.
    ///
    /// # Errors
    /// [`xcloud_core::ErrorKind::Conflict`] when another version is current by now; what kept the version from serving.
    /// What served before serves then.
    async fn rollback(&self, stage: &Stage, rollback: &Rollback) -> Result<()>;

    /// Shifts traffic of one function, or all, between versions; returns them as they are then.
    ///
    /// # Errors
    /// No such version or function, shares of more than 100 percent, or a version that does not start: nothing has
    /// changed then.
    async fn traffic(&self, stage: &Stage, function: Option<&str>, traffic: &Traffic)
    -> Result<Vec<Version>>;

    /// What was measured of calls.
    ///
    /// # Errors
    /// When there is no such function or the provider cannot be asked.
    async fn metrics(&self, stage: &Stage, query: &MetricsQuery) -> Result<Metrics>;
}
