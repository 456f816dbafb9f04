//! The provider: its traits, in terms of the host's control socket.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use xcloud_core::spec::Spec;
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::{
    Artifact, Binary, Capability, Desired, Finding, Invoke, Invoked, LogLine, LogQuery, Metrics,
    MetricsQuery, Observed, Operate, Plan, Provider, Rollback, Stage, Status, Step, Take, Traffic, Version,
};

use crate::client::{Control, app_path};
use crate::config::{Config, Durability};
use crate::host::api::{AppView, HostSettings, app_key};

/// The local provider. Talks to the host of its home directory, which it starts when it needs one.
pub struct Local {
    pub(crate) control: Control,
    pub(crate) durability: Option<Durability>,
    pub(crate) settings: HostSettings,
    /// Versions that plans were made against, by app.
    bases: Mutex<HashMap<String, u64>>,
    uploads: Mutex<HashSet<(String, String)>>,
}

impl Local {
    /// A provider for a host; contacts none before it is asked something.
    pub fn new(config: Config) -> Self {
        let durability = config.durability;
        Self {
            durability,
            settings: HostSettings::default(),
            control: Control::new(config),
            bases: Mutex::default(),
            uploads: Mutex::default(),
        }
    }

    /// With what the configuration says of the host: how long instances may be idle, how many versions are kept.
    #[must_use]
    pub fn with(mut self, settings: HostSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Fails when nothing is there: nobody needs a host to learn that.
    pub(crate) fn deployed(&self, stage: &Stage) -> Result<()> {
        if self.control.paths.app(&app_key(stage)?).exists() {
            return Ok(());
        }
        let message = format!("{}-{} is not deployed to the local provider", stage.project, stage.stage);
        Err(Error::not_found(message))
    }

    pub(crate) async fn view(&self, stage: &Stage) -> Result<AppView> {
        self.deployed(stage)?;
        self.control.get(&app_path(&app_key(stage)?, "")).await
    }

    pub(crate) fn base(&self, key: &str) -> u64 {
        lock(&self.bases).get(key).copied().unwrap_or_default()
    }

    pub(crate) fn observed(&self, key: &str, version: u64) {
        lock(&self.bases).insert(key.to_owned(), version);
    }

    pub(crate) fn has_uploaded(&self, key: &str, digest: &str) -> bool {
        lock(&self.uploads).contains(&(key.to_owned(), digest.to_owned()))
    }

    pub(crate) fn uploaded(&self, key: &str, digest: &str) {
        lock(&self.uploads).insert((key.to_owned(), digest.to_owned()));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Refuses what this machine does not have.
fn takes(desired: &Desired) -> Result<()> {
    let Some(id) = desired.existing.keys().next() else { return Ok(()) };
    let message = format!(
        "{id} has `existing`, and the local provider has none but its own: say it for the stages that are in a cloud, under \
         `[stages.<name>]`"
    );
    Err(Error::new(ErrorKind::Config, message))
}

fn no_version() -> Error {
    let message =
        "--no-traffic: no version is there yet that could have the traffic; deploy the first one without";
    Error::new(ErrorKind::Config, message)
}

#[async_trait]
impl Provider for Local {
    fn id(&self) -> &'static str {
        "local"
    }

    fn capability(&self) -> Capability {
        Capability {
            triggers: vec!["http", "queue", "object", "schedule", "change", "topic", "event", "raw"],
            batch: None,
            partial_failure: true,
            streaming: true,
            timeout_seconds: None,
            memory_mb: None,
        }
    }

    fn check(&self, stage: &Stage, spec: &Spec) -> Vec<Finding> {
        crate::check::check(stage, spec)
    }

    fn package(&self, stage: &Stage, binary: &Binary, spec: &Spec) -> Result<Artifact> {
        crate::package::package(stage, binary, spec)
    }

    async fn observe(&self, desired: &Desired) -> Result<Observed> {
        let stage = &desired.stage;
        let key = app_key(stage)?;
        takes(desired)?;
        let view = match self.view(stage).await {
            Ok(view) => view,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.observed(&key, 0);
                return if desired.no_traffic { Err(no_version()) } else { Ok(Observed::default()) };
            }
            Err(error) => return Err(error),
        };
        if desired.no_traffic && view.version == 0 {
            return Err(no_version());
        }
        self.observed(&key, view.version);
        Ok(crate::observe::observed(&view, &desired.secrets))
    }

    fn plan(&self, desired: &Desired, observed: &Observed) -> Plan {
        crate::plan::plan(desired, observed, (self.durability, &self.settings))
    }

    async fn apply(&self, step: &Step<'_>) -> Result<()> {
        crate::apply::apply(self, step).await
    }

    async fn publish(&self, desired: &Desired) -> Result<()> {
        crate::apply::publish(self, desired).await
    }

    fn calls(&self) -> (u64, u64) {
        self.control.calls()
    }
}

#[async_trait]
impl Operate for Local {
    async fn invoke(&self, stage: &Stage, call: Invoke) -> Result<Invoked> {
        crate::operate::invoke(self, stage, call).await
    }

    async fn logs(&self, stage: &Stage, query: LogQuery) -> Result<Vec<LogLine>> {
        crate::operate::logs(self, stage, query).await
    }

    async fn follow(&self, stage: &Stage, query: LogQuery, take: &mut Take<'_>) -> Result<()> {
        crate::operate::follow(self, stage, query, take).await
    }

    async fn status(&self, stage: &Stage) -> Result<Vec<Status>> {
        crate::operate::status(self, stage).await
    }

    async fn versions(&self, stage: &Stage) -> Result<Vec<Version>> {
        crate::versions::versions(self, stage).await
    }

    async fn plan_rollback(&self, stage: &Stage, to: Option<&str>) -> Result<Rollback> {
        crate::versions::plan_rollback(self, stage, to).await
    }

    async fn rollback(&self, stage: &Stage, rollback: &Rollback) -> Result<()> {
        crate::versions::rollback(self, stage, rollback).await
    }

    async fn traffic(
        &self,
        stage: &Stage,
        function: Option<&str>,
        traffic: &Traffic,
    ) -> Result<Vec<Version>> {
        crate::versions::traffic(self, stage, function, traffic).await
    }

    async fn metrics(&self, stage: &Stage, query: &MetricsQuery) -> Result<Metrics> {
        crate::operate::metrics(self, stage, query).await
    }
}
