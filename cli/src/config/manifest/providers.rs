//! `[providers.<name>]`

use std::collections::BTreeMap;

use xcloud_core::Result;

use super::{TIME, seconds};
use crate::config::toml::Table;

/// What is read of `[providers]`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Providers {
    pub(super) aws: AwsTable,
    pub(super) local: LocalTable,
}

/// `[providers.aws]`: what is absent comes from AWS's own environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AwsTable {
    /// The region.
    pub region: Option<String>,
    /// The profile of the AWS configuration files.
    pub profile: Option<String>,
    /// Another address of every API.
    pub endpoint: Option<String>,
    /// By service, `sqs`: another address of its API.
    pub endpoints: BTreeMap<String, String>,
}

/// `[providers.local]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LocalTable {
    /// `process` or `fsync`.
    pub durability: Option<String>,
    /// How long an instance may be idle.
    pub idle_timeout_seconds: Option<u32>,
}

impl AwsTable {
    /// What `other` says goes before what this says.
    pub(super) fn over(&mut self, other: &Self) {
        let Self { region, profile, endpoint, endpoints } = other.clone();
        self.region = region.or(self.region.take());
        self.profile = profile.or(self.profile.take());
        self.endpoint = endpoint.or(self.endpoint.take());
        self.endpoints.extend(endpoints);
    }
}

impl LocalTable {
    /// What `other` says goes before what this says.
    pub(super) fn over(&mut self, other: &Self) {
        let Self { durability, idle_timeout_seconds } = other.clone();
        self.durability = durability.or(self.durability.take());
        self.idle_timeout_seconds = idle_timeout_seconds.or(self.idle_timeout_seconds);
    }
}

/// The providers of a file or of a stage.
pub(super) fn read(table: &Table<'_>) -> Result<Providers> {
    Ok(table.table("providers", providers)?.unwrap_or_default())
}

/// Those of clouds that cannot be deployed to yet are checked now, so that a typing error does not wait for them.
fn providers(table: &Table<'_>) -> Result<Providers> {
    let aws = table.table("aws", aws)?.unwrap_or_default();
    table.table("azure", |t| checked(t, &["subscription", "resource_group", "location"]))?;
    table.table("gcp", |t| checked(t, &["project", "region"]))?;
    table.table("alibaba", |t| checked(t, &["region"]))?;
    Ok(Providers { aws, local: table.table("local", local)?.unwrap_or_default() })
}

fn aws(table: &Table<'_>) -> Result<AwsTable> {
    Ok(AwsTable {
        region: table.text("region")?,
        profile: table.text("profile")?,
        endpoint: table.text("endpoint")?,
        endpoints: table.map("endpoints")?.unwrap_or_default(),
    })
}

fn local(table: &Table<'_>) -> Result<LocalTable> {
    let known = |text: &str| ["process", "fsync"].contains(&text).then(|| text.to_owned());
    let durability = table.parsed("durability", "\"process\" or \"fsync\"", known)?;
    Ok(LocalTable { durability, idle_timeout_seconds: table.parsed("idle_timeout", TIME, seconds)? })
}

fn checked(table: &Table<'_>, keys: &[&'static str]) -> Result<()> {
    keys.iter().chain(&["endpoint"]).try_for_each(|key| table.text(key).map(drop))?;
    table.map("endpoints").map(drop)
}
