//! The Spec: what an app needs, resolved. A program writes it when `XCLOUD_DESCRIBE` is set; the CLI merges
//! `xcloud.toml` into it; providers plan from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::ObjectAction;

/// The version of the Spec's format that this crate writes and reads.
pub const VERSION: u32 = 1;

/// The reserved name of the function that carries all HTTP handlers.
pub const HTTP_FUNCTION: &str = "http";

/// What an app needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The format's version.
    pub version: u32,
    /// The cloud functions: `http` first if there are HTTP handlers, the others in the order of registration.
    pub functions: Vec<FunctionSpec>,
    /// The queues that functions take from or send to, by name.
    pub queues: Vec<String>,
    /// The buckets that functions watch, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<String>,
    /// The tables that functions use or watch, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
    /// The schemes over which this binary can send to clouds' own queues: `sqs`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sends_over: Vec<String>,
    /// The topics that functions subscribe to, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<String>,
}

impl Spec {
    /// A function by its cloud name.
    pub fn function(&self, name: &str) -> Option<&FunctionSpec> {
        self.functions.iter().find(|f| f.name == name)
    }
}

/// One cloud function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionSpec {
    /// Its logical name: `http`, or the fn's name with `-` for `_`.
    pub name: String,
    /// What calls it.
    pub trigger: TriggerSpec,
    /// The queues it sends to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sends: Vec<String>,
    /// The tables it uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
    /// What the configuration says about it.
    #[serde(default)]
    pub settings: Settings,
}

/// What calls a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[non_exhaustive]
pub enum TriggerSpec {
    /// HTTP requests.
    Http {
        /// The routes of the app's handlers.
        routes: Vec<RouteSpec>,
        /// Whether a mounted service answers what no route matches.
        #[serde(default)]
        mounted: bool,
    },
    /// Messages of a queue.
    Queue {
        /// The queue's name in the app.
        queue: String,
        /// The most messages in one call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        batch: Option<u32>,
    },
    /// Any event that nothing else takes.
    Raw,
    /// Objects of a bucket.
    Object {
        /// The bucket's name in the app.
        bucket: String,
        /// `created`, `deleted` or `any`.
        on: ObjectFilter,
    },
    /// Scheduled times.
    Schedule {
        /// As `xcloud_schedule::Schedule` reads it.
        schedule: String,
        /// The IANA name of the time zone; absent: UTC.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timezone: Option<String>,
    },
    /// Changes of a table.
    Change {
        /// The table's name in the app.
        table: String,
    },
    /// Messages of a topic.
    Topic {
        /// The topic's name in the app.
        topic: String,
    },
    /// Any CloudEvent that nothing else takes.
    Event,
}

/// Which of a bucket's events a function takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectFilter {
    /// Objects written.
    #[default]
    Created,
    /// Objects removed.
    Deleted,
    /// Both.
    Any,
}

impl ObjectFilter {
    /// Whether the function takes an event of this action.
    pub const fn takes(self, action: ObjectAction) -> bool {
        matches!(
            (self, action),
            (Self::Any, _) | (Self::Created, ObjectAction::Created) | (Self::Deleted, ObjectAction::Deleted)
        )
    }
}

impl TriggerSpec {
    /// The word for the kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Http { .. } => "http",
            Self::Queue { .. } => "queue",
            Self::Raw => "raw",
            Self::Object { .. } => "object",
            Self::Schedule { .. } => "schedule",
            Self::Change { .. } => "change",
            Self::Topic { .. } => "topic",
            Self::Event => "event",
        }
    }
}

/// One route of the `http` function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteSpec {
    /// The method; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path pattern.
    pub path: String,
    /// The fn that answers it.
    pub handler: String,
}

/// The knobs of a function. `None` means "leave alone", an empty map means "make empty".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Memory in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u32>,
    /// The longest call in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    /// Calls at the same time in one instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Instances kept warm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_instances: Option<u32>,
    /// The most instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_instances: Option<u32>,
    /// Whether anyone may call it over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<bool>,
    /// How often a message is delivered before it is put aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, String>>,
}
