//! What is measured of calls.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The metrics of an app.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Metrics {
    /// By function and version.
    pub functions: Vec<FunctionMetrics>,
    /// The newest calls, the newest last.
    pub invocations: Vec<Invocation>,
    /// Where the same numbers are served as Prometheus reads them, if anywhere.
    pub prometheus_url: Option<String>,
}

/// The metrics of a function in a version. What a provider does not measure is `None`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FunctionMetrics {
    /// The provider's id.
    pub provider: String,
    /// The logical name.
    pub function: String,
    /// `v3`; empty where the provider does not tell versions apart.
    pub version: String,
    /// Whether it is the version that the function is at.
    pub current: bool,
    /// Calls that reached an instance.
    pub calls: u64,
    /// Calls that did not end well, those that were refused counted.
    pub errors: u64,
    /// By the provider's word for how a call ended: `ok`, `error`, `timeout`, `broken`, `memory_exceeded`, `refused`,
    /// `abandoned`.
    pub outcomes: BTreeMap<String, u64>,
    /// Calls that were the first of their instance.
    pub cold_starts: Option<u64>,
    /// Instances that were started.
    pub instance_starts: Option<u64>,
    /// Instances that were ended because they used more memory than they may.
    pub memory_kills: Option<u64>,
    /// From the handing over to an instance to the last byte of its answer, in milliseconds.
    pub duration_ms: Option<Distribution>,
    /// Waiting for a place in an instance, in milliseconds.
    pub queued_ms: Option<Distribution>,
    /// Processor time of all its instances, start and idling counted.
    pub cpu_ms_total: Option<f64>,
    /// The same for each call.
    pub cpu_ms_mean: Option<f64>,
    /// The most memory that an instance has used.
    pub peak_memory_bytes: Option<u64>,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Distribution {
    /// The mean.
    pub mean: f64,
    /// Half of the calls took no longer.
    pub p50: f64,
    /// 95 of 100.
    pub p95: f64,
    /// 99 of 100.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// One call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Invocation {
    /// The platform's id of the call.
    pub request_id: String,
    /// The logical name.
    pub function: String,
    /// `v3`.
    pub version: String,
    /// When it ended, RFC 3339.
    pub time: String,
    /// How it ended.
    pub outcome: String,
    /// Whether it was the first of its instance.
    pub cold_start: bool,
    /// From the handing over to an instance to the last byte of its answer.
    pub duration_ms: f64,
    /// Waiting for a place in an instance.
    pub queued_ms: f64,
    /// Its share of the instance's processor time; `None` until that was looked at, or where the provider cannot tell.
    pub cpu_ms: Option<f64>,
    /// The most memory that its instance had used by then.
    pub peak_memory_bytes: Option<u64>,
}

/// Which metrics to read.
#[derive(Debug, Clone, Default)]
pub struct MetricsQuery {
    /// One function, or all.
    pub function: Option<String>,
    /// So many single calls, the newest.
    pub invocations: usize,
}
