//! The one list of rooms under test.

use xcloud_core::{BoxFuture, Result};
use xcloud_serve::host::{Host, Launch};

/// Starts a platform's side of the wire.
pub type Start = fn(Launch) -> BoxFuture<'static, Result<Box<dyn Host>>>;

/// A room as the behaviour suites see it.
#[derive(Clone, Copy)]
pub struct Room {
    /// The room's name, first part of its trials' names.
    pub name: &'static str,
    /// Starts the platform's side with the launch's process behind it.
    pub start: Start,
    /// Whether single messages of a batch can be retried.
    pub partial_failure: bool,
    /// Who speaks for the platform: our own simulator, or (for `local`) the platform itself.
    pub evidence: &'static str,
}

/// Every room. A room without trials fails the run.
pub fn all() -> Vec<Room> {
    let room = |name, start, partial_failure, evidence| Room { name, start, partial_failure, evidence };
    vec![
        room("aws", |l| Box::pin(xcloud_aws::host::start(l)), true, "simulator"),
        room("azure", |l| Box::pin(xcloud_azure::host::start(l)), false, "simulator"),
        room("gcp", |l| Box::pin(xcloud_gcp::host::start(l)), false, "simulator"),
        room("alibaba", |l| Box::pin(xcloud_alibaba::host::start(l)), false, "simulator"),
        room("local", |l| Box::pin(xcloud_local::host::start(l)), true, "vendor"),
    ]
}
