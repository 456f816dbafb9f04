//! The provider: its traits, in terms of AWS's services.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use aws_config::SdkConfig;
use serde_json::Value;
use tokio::sync::OnceCell;
use xcloud_core::spec::Spec;
use xcloud_core::{Error, Result};
use xcloud_deploy::{
    Artifact, Binary, Capability, Desired, Finding, Invoke, Invoked, LogLine, LogQuery, Metrics,
    MetricsQuery, Observed, Operate, Plan, Provider, Rollback, Serving, Stage, Status, Step, Take, Traffic,
    Version,
};

use crate::client::{Calls, Session};
use crate::config::Config;
use crate::names::Names;
use crate::operate;

/// AWS: Lambda, and the services that call functions.
#[derive(Debug)]
pub struct Aws {
    pub(crate) config: Config,
    sdk: Option<SdkConfig>,
    calls: Arc<Calls>,
    session: OnceCell<Session>,
    names: OnceLock<Names>,
    memory: Memory,
}

/// What steps have to know of each other.
#[derive(Debug)]
pub(crate) struct Memory {
    /// This run's own word, which marks its guarded write.
    pub(crate) run: String,
    /// The revisions that the plan was made of, by function's name and alias's ARN.
    revisions: Mutex<HashMap<String, String>>,
    /// Who rewrites a bucket's notifications: one at a time.
    pub(crate) notifications: tokio::sync::Mutex<()>,
}

impl Memory {
    fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let run = format!("{:016x}", RandomState::new().hash_one(now));
        Self { run, revisions: Mutex::default(), notifications: tokio::sync::Mutex::default() }
    }

    pub(crate) fn revision(&self, function: &str) -> Option<String> {
        self.revisions.lock().unwrap_or_else(PoisonError::into_inner).get(function).cloned()
    }

    fn observed(&self, names: &Names, observed: &Observed) {
        let mut all = self.revisions.lock().unwrap_or_else(PoisonError::into_inner);
        all.clear();
        for resource in &observed.resources {
            let Some((kind, name)) = resource.id.split_once('/') else { continue };
            let Some(revision) = resource.fields.get("revision").and_then(Value::as_str) else { continue };
            match kind {
                "function" => all.insert(names.function(name), revision.to_owned()),
                "alias" => all.insert(names.alias_arn(&names.function(name)), revision.to_owned()),
                _ => None,
            };
        }
    }
}

impl Aws {
    /// A provider for an account and a region; asks nobody before it is asked something.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            sdk: None,
            calls: Arc::default(),
            session: OnceCell::new(),
            names: OnceLock::new(),
            memory: Memory::new(),
        }
    }

    /// The same with the SDK's configuration that a program has already: its credentials, its HTTP client. What `config`
    /// says of the region and the endpoint comes before it; `config.profile` is not looked at.
    pub fn with_sdk_config(config: Config, sdk: SdkConfig) -> Self {
        Self { sdk: Some(sdk), ..Self::new(config) }
    }

    /// Whose credentials these are, and where: `account 123456789012 in eu-west-1`.
    ///
    /// # Errors
    /// [`xcloud_core::ErrorKind::Config`] without a region, [`xcloud_core::ErrorKind::Unauthorized`] without credentials,
    /// with what to do as its `hint`; or what AWS said of them.
    pub async fn whoami(&self) -> Result<String> {
        let nobody = Stage { project: String::new(), stage: String::new() };
        let (_, names) = self.session(&nobody).await?;
        Ok(format!("account {} in {}", names.account, names.region))
    }

    /// The same for a deployment, which may use what others have made.
    async fn deployment(&self, desired: &Desired) -> Result<(&Session, Names)> {
        let (session, names) = self.session(&desired.stage).await?;
        Ok((session, Names { existing: desired.existing.clone(), ..names }))
    }

    /// Whom to ask, and what the stage's things are called there.
    pub(crate) async fn session(&self, stage: &Stage) -> Result<(&Session, Names)> {
        let session = self
            .session
            .get_or_try_init(|| Session::open(&self.config, self.sdk.as_ref(), &self.calls))
            .await?;
        let names = session.names(stage).await?;
        self.names.get_or_init(|| names.clone());
        Ok((session, names))
    }

    /// The names as they were when something was observed.
    fn known(&self, desired: &Desired) -> Names {
        let known = self.names.get().cloned();
        // Without an observation nothing is known of the account; a plan of it is good for looking at.
        let known = known.unwrap_or_else(|| Names {
            stage: desired.stage.clone(),
            account: "000000000000".to_owned(),
            region: self.config.region.clone().unwrap_or_else(|| "us-east-1".to_owned()),
            partition: "aws".to_owned(),
            queues_at: None,
            existing: Default::default(),
        });
        Names { stage: desired.stage.clone(), existing: desired.existing.clone(), ..known }
    }
}

#[async_trait]
impl Provider for Aws {
    fn id(&self) -> &'static str {
        "aws"
    }

    fn capability(&self) -> Capability {
        crate::check::LIMITS.capability()
    }

    fn check(&self, stage: &Stage, spec: &Spec) -> Vec<Finding> {
        crate::check::check(stage, spec)
    }

    fn package(&self, stage: &Stage, binary: &Binary, spec: &Spec) -> Result<Artifact> {
        crate::package::package(stage, binary, spec)
    }

    async fn observe(&self, desired: &Desired) -> Result<Observed> {
        let (session, names) = self.deployment(desired).await?;
        let observed = crate::observe::observe(session, &names, desired).await?;
        self.memory.observed(&names, &observed);
        Ok(observed)
    }

    /// Observe first: names have the account and the region in them.
    fn plan(&self, desired: &Desired, observed: &Observed) -> Plan {
        let keep = self.config.keep_versions.unwrap_or(Config::KEEP_VERSIONS).max(1);
        crate::plan::plan(desired, observed, &self.known(desired), keep as usize)
    }

    async fn apply(&self, step: &Step<'_>) -> Result<()> {
        let (session, names) = self.deployment(step.desired).await?;
        crate::apply::apply(session, &names, &self.memory, step).await
    }

    async fn holds(&self, desired: &Desired) -> Result<bool> {
        let (session, names) = self.deployment(desired).await?;
        let Some(first) = desired.spec.functions.first() else { return Ok(false) };
        crate::apply::function::holds(session, &names.function(&first.name), &self.memory.run).await
    }

    fn retries(&self, error: &Error) -> Option<Duration> {
        crate::error::retries(error)
    }

    fn policy(&self, desired: &Desired, plan: &Plan) -> Option<Value> {
        Some(crate::policy::policy(desired, plan, &self.known(desired)))
    }

    fn serving(&self, desired: &Desired, observed: &Observed) -> Option<Vec<Serving>> {
        crate::observe::serving(desired, observed, &self.known(desired))
    }

    fn calls(&self) -> (u64, u64) {
        self.calls.so_far()
    }
}

#[async_trait]
impl Operate for Aws {
    async fn invoke(&self, stage: &Stage, call: Invoke) -> Result<Invoked> {
        operate::invoke(self, stage, call).await
    }

    async fn logs(&self, stage: &Stage, query: LogQuery) -> Result<Vec<LogLine>> {
        operate::logs::logs(self, stage, query).await
    }

    async fn follow(&self, stage: &Stage, query: LogQuery, take: &mut Take<'_>) -> Result<()> {
        operate::logs::follow(self, stage, query, take).await
    }

    async fn status(&self, stage: &Stage) -> Result<Vec<Status>> {
        operate::status(self, stage).await
    }

    async fn versions(&self, stage: &Stage) -> Result<Vec<Version>> {
        operate::versions::versions(self, stage).await
    }

    async fn plan_rollback(&self, stage: &Stage, to: Option<&str>) -> Result<Rollback> {
        operate::versions::plan_rollback(self, stage, to).await
    }

    async fn rollback(&self, stage: &Stage, rollback: &Rollback) -> Result<()> {
        operate::versions::rollback(self, stage, rollback).await
    }

    async fn traffic(
        &self,
        stage: &Stage,
        function: Option<&str>,
        traffic: &Traffic,
    ) -> Result<Vec<Version>> {
        operate::versions::traffic(self, stage, function, traffic).await
    }

    async fn metrics(&self, stage: &Stage, query: &MetricsQuery) -> Result<Metrics> {
        operate::metrics::metrics(self, stage, query).await
    }
}
