//! The deploy side of xcloud as a library: what a provider is, what a plan is, the engine that applies one, and the
//! packaging helpers. The CLI uses nothing that a program of yours could not.

pub mod check;
pub mod engine;
pub mod events;
pub mod metrics;
pub mod operate;
pub mod package;
pub mod plan;
pub mod provider;
pub mod queues;
pub mod secret;
pub mod versions;

pub use self::events::{Emit, Emitted, Events};
pub use self::metrics::{Metrics, MetricsQuery};
pub use self::operate::{Invoke, Invoked, LogLine, LogQuery, Operate, Serving, Status, Take};
pub use self::plan::{Action, Change, FieldChange, Plan, Resource};
pub use self::provider::{
    Artifact, Binary, Capability, Desired, Finding, Level, Observed, Progress, Provider, Stage, State, Step,
};
pub use self::queues::{Peek, Peeked, QueueStatus, Queues};
pub use self::secret::{Secret, Secrets};
pub use self::versions::{Rollback, Traffic, Version};
