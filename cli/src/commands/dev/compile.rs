//! A build that can be given up.

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::task::JoinHandle;
use xcloud_core::{Error, Result};

use crate::cargo::{self, Program};
use crate::commands::Project;

/// A build on its way. Dropped, it is ended with every compiler that it has started.
pub(super) struct Building {
    task: JoinHandle<Result<Program>>,
    group: Option<Pid>,
}

impl Building {
    /// Starts cargo.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn start(project: &Project, profile: &str, color: bool) -> Result<Self> {
        let mut child = cargo::start(&project.directory, &project.manifest.build, profile, color)?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let task = tokio::task::spawn_blocking(move || cargo::finish(&mut child));
        Ok(Self { task, group })
    }

    /// Waits for the binary.
    ///
    /// # Errors
    /// The build failed; cargo has said why.
    pub(super) async fn done(&mut self) -> Result<Program> {
        let program = (&mut self.task).await.map_err(|e| Error::handler(e.to_string()))?;
        self.group = None;
        program
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        if let Some(group) = self.group.take() {
            // It may end by itself at this moment.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
