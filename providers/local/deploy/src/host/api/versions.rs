//! Versions and traffic over the control socket.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Manifest;
use super::secrets::Digests;
use crate::host::weights::Weights;

/// The versions of an app.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct VersionsView {
    /// The current one.
    pub(crate) current: u64,
    /// The oldest first.
    pub(crate) versions: Vec<VersionView>,
    /// By function: the share of each version in percent.
    pub(crate) routes: BTreeMap<String, Weights>,
}

/// A version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct VersionView {
    pub(crate) version: u64,
    pub(crate) created: String,
    /// As it was published.
    pub(crate) manifest: Manifest,
    /// As it would run, or runs, beside what is configured now.
    pub(crate) restored: Manifest,
    /// What its secrets are.
    #[serde(default)]
    pub(crate) secrets: Digests,
}

/// A request to make a version current.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Rollback {
    pub(crate) version: u64,
    /// The version that the plan was made against.
    pub(crate) base: u64,
}

/// A request to shift traffic.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Shift {
    /// One function; all when absent.
    pub(crate) function: Option<String>,
    pub(crate) change: Change,
}

/// What becomes of the shares.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Change {
    /// These versions get these shares, the current one the rest.
    Set(Weights),
    /// This version gets everything; without one, the only one beside the current that has a share.
    Promote(Option<u64>),
    /// The current version gets everything.
    Abort,
}
