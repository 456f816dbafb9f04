//! The host itself: is it there, start it, end it.

use xcloud_core::Result;

use crate::Local;
use crate::host::api::HostInfo;

/// A host that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its process.
    pub pid: u32,
    /// The version of the program that it is.
    pub version: String,
    /// Its apps: `<project>.<stage>`.
    pub apps: Vec<String>,
    /// Messages in all their queues.
    pub messages: u64,
    /// How memory limits are held, for people; empty for a host that does not say.
    pub memory_limits: String,
}

impl From<HostInfo> for Running {
    fn from(info: HostInfo) -> Self {
        let HostInfo { pid, version, apps, messages, memory_limits, .. } = info;
        Self { pid, version, apps, messages, memory_limits }
    }
}

impl Local {
    /// The host, if it runs. Starts none.
    ///
    /// # Errors
    /// One is there and does not answer.
    pub async fn running(&self) -> Result<Option<Running>> {
        Ok(self.control.running().await?.map(Running::from))
    }

    /// Starts the host, unless it runs, with every app that is deployed.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(&self) -> Result<Running> {
        self.control.get::<HostInfo>("/host").await.map(Running::from)
    }

    /// Ends the host; calls on their way end first. Its apps come back with the next start. `None` when it did not run.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop(&self) -> Result<Option<Running>> {
        Ok(self.control.stop().await?.map(Running::from))
    }
}
