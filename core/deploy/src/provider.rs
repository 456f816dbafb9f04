//! What a provider is: packages, a pure plan, and the steps that carry it out.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xcloud_core::spec::Spec;
use xcloud_core::{Error, Result};

use crate::operate::Serving;
use crate::package::{File, digest, hex, sha256};
use crate::plan::{Change, Plan, Resource};
use crate::secret::Secrets;

/// A built function binary.
#[derive(Debug, Clone)]
pub struct Binary {
    /// The ELF file's bytes.
    pub bytes: Arc<[u8]>,
    /// Lower-case hex SHA-256 of the bytes.
    pub sha256: String,
    /// `x86_64` or `arm64`.
    pub arch: String,
    /// What lies beside it in every package, sorted by path.
    pub files: Arc<[File]>,
}

impl Binary {
    /// Identifies the files beside it; `None` where there are none.
    pub fn files_sha256(&self) -> Option<String> {
        let mut all = Vec::new();
        for file in &*self.files {
            let line = format!("{} {} {}\n", sha256(&file.bytes), u8::from(file.executable), file.path);
            all.extend_from_slice(line.as_bytes());
        }
        (!all.is_empty()).then(|| sha256(&all))
    }
}

/// A package around a binary: the bytes that are uploaded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Artifact {
    /// The provider's id.
    pub provider: &'static str,
    /// The file name to store it under: `shop-aws.zip`.
    pub file_name: String,
    /// The package.
    pub bytes: Vec<u8>,
    /// The bytes' SHA-256.
    pub digest: [u8; 32],
    /// The file in the package that the platform starts.
    pub entry: Cow<'static, str>,
    /// The binary inside.
    pub binary: Binary,
}

impl Artifact {
    /// A provider's package: its file's name, its bytes, and the file in it that the platform starts.
    pub fn new(
        provider: &'static str,
        file_name: String,
        bytes: Vec<u8>,
        entry: impl Into<Cow<'static, str>>,
        binary: Binary,
    ) -> Self {
        // Once: it is asked for again and again, and is most of what looking at a package costs.
        let digest = digest(&bytes);
        Self { provider, file_name, bytes, digest, entry: entry.into(), binary }
    }

    /// The bytes' SHA-256 in lower-case hex.
    pub fn sha256(&self) -> String {
        hex(&self.digest)
    }
}

/// A deployment's address: whose resources these are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// The project's name.
    pub project: String,
    /// The stage's name: `dev`, `prod`.
    pub stage: String,
}

/// What should be: the resolved Spec of a stage, and what to run.
#[derive(Debug, Clone)]
pub struct Desired {
    /// Whose resources.
    pub stage: Stage,
    /// What the app needs, configuration merged in; no functions: destroy.
    pub spec: Spec,
    /// The package to deploy; `None` for a destroy.
    pub artifact: Option<Artifact>,
    /// Whether resources that hold data may be deleted.
    pub delete_data: bool,
    /// What functions' environments hold that nobody may see.
    pub secrets: Secrets,
    /// By function: what its `[functions.<name>.<provider>]` says, such as a role that someone else made.
    pub native: BTreeMap<String, BTreeMap<String, String>>,
    /// By resource, `queue/order-placed`: the provider's name or ARN of one that somebody else has made. It is used, and
    /// never made, changed or deleted.
    pub existing: BTreeMap<String, String>,
    /// Whether a new version is published and gets no traffic.
    pub no_traffic: bool,
}

impl Desired {
    /// That a stage has this, with nothing said of the rest.
    pub const fn new(stage: Stage, spec: Spec, artifact: Option<Artifact>) -> Self {
        Self {
            stage,
            spec,
            artifact,
            delete_data: false,
            secrets: Secrets::new(),
            native: BTreeMap::new(),
            existing: BTreeMap::new(),
            no_traffic: false,
        }
    }

    /// That a stage has nothing.
    pub fn nothing(stage: Stage) -> Self {
        Self::new(stage, Spec::default(), None)
    }
}

/// What is: the resources of a stage as the provider reports them.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The resources.
    pub resources: Vec<Resource>,
    /// The app's base URL, if it has one already.
    pub url: Option<String>,
}

/// What a platform can do. Asked before anything is packaged or called.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Capability {
    /// The kinds of trigger it can deliver.
    pub triggers: Vec<&'static str>,
    /// The most messages in one call.
    pub batch: Option<u32>,
    /// Whether single messages of a batch can be retried.
    pub partial_failure: bool,
    /// Whether responses can be streamed.
    pub streaming: bool,
    /// The longest call in seconds.
    pub timeout_seconds: Option<u32>,
    /// The most memory in MiB.
    pub memory_mb: Option<u32>,
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It will not work.
    Error,
    /// It will work differently.
    Warning,
}

/// One thing that a platform cannot do as asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The provider's id.
    pub provider: String,
    /// The function's name.
    pub function: String,
    /// How grave.
    pub level: Level,
    /// A stable word: `partial-failure`.
    pub code: String,
    /// What and why.
    pub message: String,
}

/// One step of a plan that is being applied.
#[derive(Debug)]
pub struct Step<'a> {
    /// The change to carry out.
    pub change: &'a Change,
    /// What should be in the end.
    pub desired: &'a Desired,
    /// Which try it is, from 1. What is there already at the first was made by someone else since the plan; at a later
    /// one perhaps by the try before, whose answer was lost.
    pub attempt: u32,
}

/// How a step stands.
#[derive(Debug, Clone, Copy)]
pub enum State<'a> {
    /// It begins.
    Running,
    /// It failed in a way that passes, and is tried again.
    Warning(&'a Error),
    /// It is done.
    Done,
    /// It failed for good.
    Failed(&'a Error),
    /// It was not begun: something before it failed, or the run was stopped.
    Skipped,
}

/// Hears of an apply's progress.
pub trait Progress: Send + Sync {
    /// A step has come to a state, so long after it began.
    fn step(&self, change: &Change, state: State<'_>, since: Duration);

    /// What the steps have prepared is being put into service: it has come to a state, so long after it began.
    fn publish(&self, state: State<'_>, since: Duration) {
        let _ = (state, since);
    }

    /// Another deployment was in the middle of its own, which `error` tells of, and this one has taken over: what is left
    /// to do by what is now.
    fn again(&self, error: &Error, plan: &Plan) {
        let _ = (error, plan);
    }
}

/// A place where apps run.
#[async_trait]
pub trait Provider: Send + Sync {
    /// `aws`, `azure`, `gcp`, `alibaba` or `local`.
    fn id(&self) -> &'static str;

    /// What the platform can do.
    fn capability(&self) -> Capability;

    /// What of the Spec the platform cannot do.
    fn check(&self, stage: &Stage, spec: &Spec) -> Vec<Finding>;

    /// The package around a binary. Pure: the same binary and Spec give the same bytes.
    ///
    /// # Errors
    /// When the binary does not fit the platform.
    fn package(&self, stage: &Stage, binary: &Binary, spec: &Spec) -> Result<Artifact>;

    /// What is there now: of what should be there, and of what else is the stage's.
    ///
    /// # Errors
    /// Credentials, permissions, network; [`xcloud_core::ErrorKind::Conflict`] when a name that is wanted belongs to
    /// something that is not the stage's.
    async fn observe(&self, desired: &Desired) -> Result<Observed>;

    /// The way from what is to what should be. Pure.
    fn plan(&self, desired: &Desired, observed: &Observed) -> Plan;

    /// Carries out one change. Idempotent: a repeated or interrupted step converges.
    ///
    /// # Errors
    /// What the provider answered.
    async fn apply(&self, step: &Step<'_>) -> Result<()>;

    /// Puts what the steps have prepared into service, after all of them. Nothing serves half-configured. Nothing to do
    /// where steps of the plan do that.
    ///
    /// # Errors
    /// What the provider answered.
    async fn publish(&self, desired: &Desired) -> Result<()> {
        let _ = desired;
        Ok(())
    }

    /// Whether this run's guarded step still keeps other deployments out. Asked when another step has met with what
    /// somebody else has done; `false` where a plan has no guard.
    ///
    /// # Errors
    /// What the provider answered.
    async fn holds(&self, desired: &Desired) -> Result<bool> {
        let _ = desired;
        Ok(false)
    }

    /// How long it is worth to try a step again that failed with this error: throttling, something that is only
    /// eventually there. `None` when it fails for good.
    fn retries(&self, error: &Error) -> Option<Duration> {
        let _ = error;
        None
    }

    /// The rights that whoever applies this plan needs, in the platform's own form; `None` where the platform has none.
    fn policy(&self, desired: &Desired, plan: &Plan) -> Option<Value> {
        let _ = (desired, plan);
        None
    }

    /// What serves, where an observation says it; `None` where the provider has to be asked for it. HTTP first, then by
    /// name.
    fn serving(&self, desired: &Desired, observed: &Observed) -> Option<Vec<Serving>> {
        let _ = (desired, observed);
        None
    }

    /// HTTP attempts sent so far, retries included: reads and writes.
    fn calls(&self) -> (u64, u64);
}

/// Where a build put its packages, as `xcloud build` reports them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Built {
    /// The provider's id.
    pub provider: String,
    /// The package's absolute path.
    pub path: PathBuf,
    /// Lower-case hex SHA-256 of the package.
    pub sha256: String,
    /// The package's size.
    pub bytes: u64,
    /// The file in the package that the platform starts.
    pub entry: String,
    /// Lower-case hex SHA-256 of the binary inside.
    pub binary_sha256: String,
    /// The binary's size.
    pub binary_bytes: u64,
    /// `x86_64` or `arm64`.
    pub arch: String,
}
