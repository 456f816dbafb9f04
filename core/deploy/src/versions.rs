//! Versions of a deployed app, and who gets how much of its traffic.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::plan::Plan;

/// A version that a provider keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The provider's id.
    pub provider: String,
    /// `v4`: counted per app and stage.
    pub version: String,
    /// Lower-case hex SHA-256 of the binary.
    pub digest: String,
    /// When it was published, RFC 3339; empty when the provider does not know.
    pub created: String,
    /// Its share of the calls in percent; where its functions differ, the largest.
    pub traffic: u32,
    /// The functions in it, by logical name.
    pub functions: Vec<String>,
    /// Whether it is the current one, which gets all traffic that was not given to others.
    pub current: bool,
    /// By function: its share in percent.
    pub weights: BTreeMap<String, u32>,
}

/// The way back to an earlier version, as a value that is printed or carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollback {
    /// The current version.
    pub from: String,
    /// The version that will be current.
    pub to: String,
    /// What changes.
    pub plan: Plan,
    /// What stays although the versions differ in it, in words.
    pub stays: Vec<String>,
}

/// What is to become of the shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Traffic {
    /// These versions get these shares in percent, the current one gets the rest.
    Set(Vec<(String, u32)>),
    /// This version gets everything; without a name, the only one beside the current that has a share.
    Promote(Option<String>),
    /// The current version gets everything.
    Abort,
}
