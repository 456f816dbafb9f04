//! What a running `xcloud dev` tells other commands: `dev.json` in its directory.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xcloud_core::spec::Spec;
use xcloud_core::{Error, Result};
use xcloud_local_deploy::{Config, Local};

use crate::commands::write;
use crate::printer;

/// Where `dev` keeps its things, in the project's directory.
pub(super) const HOME: &str = ".xcloud/dev";
const FILE: &str = "dev.json";

/// A session of `dev`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// Its process.
    pub pid: u32,
    /// The app's base URL.
    pub url: String,
    /// The cloud that it is as.
    #[serde(rename = "as")]
    pub cloud: Option<String>,
    /// The stage that it serves.
    pub stage: String,
    /// What it serves; nothing before the first build.
    pub spec: Spec,
}

impl Running {
    /// Writes it down for others.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn keep(&self, home: &Path) -> Result<()> {
        let file = home.join(FILE);
        write(&file, &serde_json::to_vec_pretty(self)?)
            .map_err(|e| Error::unavailable(format!("cannot write {}: {e}", file.display())).caused_by(e))
    }

    /// Takes it back.
    pub(super) fn forget(home: &Path) {
        // One that stays is stale: its host does not answer.
        drop(std::fs::remove_file(home.join(FILE)));
    }

    /// The session that serves this stage of the project in a directory, and the way to its host. One that was killed has
    /// left a file and no host: then there is none.
    pub(crate) async fn find(directory: &Path, stage: &str) -> Option<(Self, Local)> {
        let home = directory.join(HOME);
        let bytes = std::fs::read(home.join(FILE)).ok()?;
        let running: Self = serde_json::from_slice(&bytes).ok()?;
        let local = Local::new(attached(home));
        let alive = running.stage == stage && local.running().await.ok()?.is_some();
        alive.then_some((running, local))
    }
}

/// A host that is only spoken to: nobody but `dev` starts it.
fn attached(home: PathBuf) -> Config {
    Config { home, host_command: Vec::new(), durability: None, notice: printer::notice }
}
