//! Deployments to AWS that are disturbed at each of their calls, on a simulator of AWS's control plane that is ours
//! (`xcloud_tests::aws`), under tokio's paused clock.
//!
//! The evidence is a simulator's: it shows that our steps come to the same end under faults as the simulator has them. What
//! ministack says of a part of it is in `tests/cli/aws_faults.rs`.

#![allow(clippy::print_stdout, reason = "a sweep says how much it has tried")]

mod apps;
mod connector;
mod scale;
mod sweep;
mod two;

use std::sync::Arc;

use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use xcloud_aws_deploy::{Aws as Provider, Config, aws_config};
use xcloud_core::Result;
use xcloud_deploy::engine::{Options, deploy};
use xcloud_deploy::{Change, Desired, Plan, Progress, Provider as _, State};
use xcloud_tests::aws::{Aws, REGION};

use self::connector::Wire;

/// What a run did.
struct Run {
    /// How it ended; none: it was killed.
    result: Option<Result<Plan>>,
    /// Its writes, as the provider counts them.
    writes: u64,
}

/// Deploys as the command does, over a wire, with a provider that knows nothing from before.
async fn run(wire: &Wire, desired: &Desired) -> Run {
    let provider = Provider::with_sdk_config(Config::default(), sdk(wire));
    let deployment = async {
        let observed = provider.observe(desired).await?;
        let plan = provider.plan(desired, &observed);
        deploy(&provider, &plan, desired, &Options::default(), &Quiet).await?;
        Ok(plan)
    };
    let result = tokio::select! {
        result = deployment => Some(result),
        () = wire.killed() => None,
    };
    Run { result, writes: provider.calls().1 }
}

/// Nobody's environment and nobody's files.
fn sdk(wire: &Wire) -> aws_config::SdkConfig {
    use aws_config::identity::IdentityCache;
    use aws_config::timeout::TimeoutConfig;
    let credentials = aws_credential_types::Credentials::new("AKIDSIMULATED", "secret", None, None, "tests");
    let provider = aws_credential_types::provider::SharedCredentialsProvider::new(credentials);
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(std::time::Duration::from_secs(5))
        .operation_attempt_timeout(std::time::Duration::from_secs(120))
        .build();
    aws_config::SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .region(aws_config::Region::from_static(REGION))
        .credentials_provider(provider)
        .identity_cache(IdentityCache::lazy().build())
        .http_client(wire.clone())
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .time_source(SharedTimeSource::new(SystemTimeSource::new()))
        .timeout_config(timeouts)
        .build()
}

/// Nobody listens.
struct Quiet;

impl Progress for Quiet {
    fn step(&self, _: &Change, _: State<'_>, _: std::time::Duration) {}
}

/// An account, and a wire to it that disturbs nothing.
fn account(state: xcloud_tests::aws::State) -> (Arc<Aws>, Wire) {
    let aws = Arc::new(Aws::new(state));
    (Arc::clone(&aws), Wire::new(aws))
}
