//! Where, and as whom.

use std::collections::BTreeMap;

/// What `[providers.aws]` says. What is absent comes from AWS's own environment variables and configuration files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The region.
    pub region: Option<String>,
    /// The profile of the configuration files.
    pub profile: Option<String>,
    /// Another address of every API: an emulator.
    pub endpoint: Option<String>,
    /// Another address of one API, by the service's name in ARNs: `lambda`, `sqs`.
    pub endpoints: BTreeMap<String, String>,
    /// How many versions are kept; [`Config::KEEP_VERSIONS`] when absent.
    pub keep_versions: Option<u32>,
}

impl Config {
    /// How many versions a deployment keeps where nothing is said.
    pub const KEEP_VERSIONS: u32 = 10;
}
