//! The SDK's clients, made when they are needed, and what they have sent.

mod http;

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use tokio::sync::OnceCell;
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::Stage;

use crate::config::Config;
use crate::error::failed;
use crate::names::Names;

/// HTTP attempts that were sent.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    read: AtomicU64,
    write: AtomicU64,
}

impl Calls {
    pub(crate) fn so_far(&self) -> (u64, u64) {
        (self.read.load(Ordering::Relaxed), self.write.load(Ordering::Relaxed))
    }
}

/// Counts attempts.
#[derive(Debug, Clone)]
struct Counter(Arc<Calls>);

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for Counter {
    fn name(&self) -> &'static str {
        "xcloud-calls"
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        let name = bag.load::<Metadata>().map(Metadata::name).unwrap_or_default();
        let reads = ["Get", "List", "Describe", "Head"].iter().any(|verb| name.starts_with(verb));
        if reads { &self.0.read } else { &self.0.write }.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// The services' clients. Those for reading try again by themselves; those for writing leave that to the engine, which
/// knows how long it is worth.
#[derive(Debug)]
pub(crate) struct Clients {
    sdk: SdkConfig,
    retry: RetryConfig,
    calls: Arc<Calls>,
    endpoints: std::collections::BTreeMap<String, String>,
    lambda: OnceLock<aws_sdk_lambda::Client>,
    iam: OnceLock<aws_sdk_iam::Client>,
    sqs: OnceLock<aws_sdk_sqs::Client>,
    s3: OnceLock<aws_sdk_s3::Client>,
    sns: OnceLock<aws_sdk_sns::Client>,
    dynamodb: OnceLock<aws_sdk_dynamodb::Client>,
    scheduler: OnceLock<aws_sdk_scheduler::Client>,
    logs: OnceLock<aws_sdk_cloudwatchlogs::Client>,
    cloudwatch: OnceLock<aws_sdk_cloudwatch::Client>,
    tagging: OnceLock<aws_sdk_resourcegroupstagging::Client>,
    sts: OnceLock<aws_sdk_sts::Client>,
}

/// A client with the counter, and where `endpoints` or `endpoint` says.
macro_rules! client {
    ($self:ident, $field:ident, $service:literal, $krate:ident) => {
        $self.$field.get_or_init(|| {
            let mut builder = $krate::config::Builder::from(&$self.sdk)
                .retry_config($self.retry.clone())
                .interceptor(Counter(Arc::clone(&$self.calls)));
            if let Some(endpoint) = $self.endpoints.get($service) {
                builder = builder.endpoint_url(endpoint);
            }
            $krate::Client::from_conf(builder.build())
        })
    };
}

impl Clients {
    fn new(sdk: &SdkConfig, config: &Config, calls: &Arc<Calls>, retry: RetryConfig) -> Self {
        Self {
            sdk: sdk.clone(),
            retry,
            calls: Arc::clone(calls),
            endpoints: config.endpoints.clone(),
            lambda: OnceLock::new(),
            iam: OnceLock::new(),
            sqs: OnceLock::new(),
            s3: OnceLock::new(),
            sns: OnceLock::new(),
            dynamodb: OnceLock::new(),
            scheduler: OnceLock::new(),
            logs: OnceLock::new(),
            cloudwatch: OnceLock::new(),
            tagging: OnceLock::new(),
            sts: OnceLock::new(),
        }
    }

    pub(crate) fn lambda(&self) -> &aws_sdk_lambda::Client {
        client!(self, lambda, "lambda", aws_sdk_lambda)
    }

    pub(crate) fn iam(&self) -> &aws_sdk_iam::Client {
        client!(self, iam, "iam", aws_sdk_iam)
    }

    pub(crate) fn sqs(&self) -> &aws_sdk_sqs::Client {
        client!(self, sqs, "sqs", aws_sdk_sqs)
    }

    pub(crate) fn s3(&self) -> &aws_sdk_s3::Client {
        self.s3.get_or_init(|| {
            let at = self.endpoints.get("s3").map(String::as_str).or(self.sdk.endpoint_url());
            let mut builder = aws_sdk_s3::config::Builder::from(&self.sdk)
                .retry_config(self.retry.clone())
                // An emulator's host name has no buckets before it.
                .force_path_style(at.is_some())
                .interceptor(Counter(Arc::clone(&self.calls)));
            if let Some(endpoint) = self.endpoints.get("s3") {
                builder = builder.endpoint_url(endpoint);
            }
            aws_sdk_s3::Client::from_conf(builder.build())
        })
    }

    pub(crate) fn sns(&self) -> &aws_sdk_sns::Client {
        client!(self, sns, "sns", aws_sdk_sns)
    }

    pub(crate) fn dynamodb(&self) -> &aws_sdk_dynamodb::Client {
        client!(self, dynamodb, "dynamodb", aws_sdk_dynamodb)
    }

    pub(crate) fn scheduler(&self) -> &aws_sdk_scheduler::Client {
        client!(self, scheduler, "scheduler", aws_sdk_scheduler)
    }

    pub(crate) fn logs(&self) -> &aws_sdk_cloudwatchlogs::Client {
        client!(self, logs, "logs", aws_sdk_cloudwatchlogs)
    }

    pub(crate) fn cloudwatch(&self) -> &aws_sdk_cloudwatch::Client {
        client!(self, cloudwatch, "cloudwatch", aws_sdk_cloudwatch)
    }

    pub(crate) fn tagging(&self) -> &aws_sdk_resourcegroupstagging::Client {
        client!(self, tagging, "tagging", aws_sdk_resourcegroupstagging)
    }

    pub(crate) fn sts(&self) -> &aws_sdk_sts::Client {
        client!(self, sts, "sts", aws_sdk_sts)
    }
}

/// The SDK's configuration from AWS's own environment and files.
async fn load(config: &Config) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(Duration::from_secs(120))
        .build();
    let mut loader =
        aws_config::defaults(BehaviorVersion::latest()).http_client(http::client()).timeout_config(timeouts);
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &config.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(endpoint) = &config.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    loader.load().await
}

/// A program's own, where the file does not say otherwise.
fn configured(config: &Config, sdk: &SdkConfig) -> SdkConfig {
    let mut builder = sdk.to_builder();
    if let Some(region) = &config.region {
        builder = builder.region(Region::new(region.clone()));
    }
    if let Some(endpoint) = &config.endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    builder.build()
}

/// A session: both sets of clients, and who and where they are.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) read: Clients,
    pub(crate) write: Clients,
    region: String,
    account: OnceCell<(String, String)>,
    queues_at: Option<String>,
}

impl Session {
    /// With the SDK's configuration that a program has already, else AWS's own environment and files. Sends nothing unless
    /// a profile asks for that.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] without a region.
    pub(crate) async fn open(config: &Config, sdk: Option<&SdkConfig>, calls: &Arc<Calls>) -> Result<Self> {
        let sdk = match sdk {
            Some(sdk) => configured(config, sdk),
            None => load(config).await,
        };
        let Some(region) = sdk.region().map(ToString::to_string) else {
            let message = "no AWS region: set `region` in [providers.aws], or AWS_REGION, or the profile's";
            return Err(Error::new(ErrorKind::Config, message));
        };
        let queues_at =
            config.endpoints.get("sqs").cloned().or_else(|| std::env::var("AWS_ENDPOINT_URL_SQS").ok());
        let queues_at = queues_at.or_else(|| sdk.endpoint_url().map(str::to_owned));
        let reads = RetryConfig::standard().with_max_attempts(4);
        Ok(Self {
            read: Clients::new(&sdk, config, calls, reads),
            write: Clients::new(&sdk, config, calls, RetryConfig::disabled()),
            region,
            account: OnceCell::new(),
            queues_at,
        })
    }

    /// The names of a stage's resources in this account and region.
    ///
    /// # Errors
    /// What AWS says of these credentials.
    pub(crate) async fn names(&self, stage: &Stage) -> Result<Names> {
        let (account, partition) = self.account.get_or_try_init(|| self.identity()).await?;
        Ok(Names {
            stage: stage.clone(),
            account: account.clone(),
            region: self.region.clone(),
            partition: partition.clone(),
            queues_at: self.queues_at.clone(),
            existing: std::collections::BTreeMap::new(),
        })
    }

    async fn identity(&self) -> Result<(String, String)> {
        let who = self.read.sts().get_caller_identity().send().await;
        let who = who.map_err(failed("sts:GetCallerIdentity", "these credentials"))?;
        let account = who.account().unwrap_or_default().to_owned();
        // arn:aws-cn:sts::123456789012:assumed-role/…
        let partition = who.arn().and_then(|arn| arn.split(':').nth(1)).unwrap_or("aws").to_owned();
        Ok((account, partition))
    }
}
