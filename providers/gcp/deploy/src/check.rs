//! What Cloud Run can do, and what of a Spec does not fit it.

use xcloud_core::spec::{RouteSpec, Spec, TriggerSpec};
use xcloud_deploy::check::{Limits, Memory, Named, Report, fact};
use xcloud_deploy::{Finding, Stage};
use xcloud_schedule::{Dialect, Schedule, lower};

const QUOTAS: &str = "https://docs.cloud.google.com/run/quotas";
const CONTRACT: &str = "https://docs.cloud.google.com/run/docs/container-contract";
const ISSUES: &str = "https://docs.cloud.google.com/run/docs/known-issues";
const PUSH: &str = "https://docs.cloud.google.com/pubsub/docs/push";
const SUBSCRIPTION: &str =
    "https://docs.cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions";
const PUBSUB: &str = "https://docs.cloud.google.com/pubsub/quotas";

const SCHEDULER: &str = "https://docs.cloud.google.com/scheduler/docs/configuring/cron-job-schedules";

/// The facts.
pub const LIMITS: Limits = Limits {
    provider: "gcp",
    platform: "Cloud Run",
    triggers: fact(
        &["http", "queue", "object", "schedule", "change", "topic", "event", "raw"],
        "https://docs.cloud.google.com/run/docs/triggering/trigger-with-events",
    ),
    // Pub/Sub pushes one message at a time: what fails is retried alone.
    batch: fact(Some(1), PUSH),
    partial_failure: fact(false, PUSH),
    streaming: fact(true, CONTRACT),
    timeout: fact(Some(3600), "https://docs.cloud.google.com/run/docs/configuring/request-timeout"),
    queue_timeout: Some(fact(600, SUBSCRIPTION)),
    memory: fact(
        Memory::Range(128, 32 * 1024, 1),
        "https://docs.cloud.google.com/run/docs/configuring/services/memory-limits",
    ),
    concurrency: fact(1000, "https://docs.cloud.google.com/run/docs/about-concurrency"),
    max_instances: None,
    max_attempts: Some(fact((5, 100), SUBSCRIPTION)),
    name: fact(Named::Function(49), "https://docs.cloud.google.com/run/docs/deploying"),
    queue_name: fact(255, "https://docs.cloud.google.com/pubsub/docs/pubsub-basics"),
    request: fact(32 * 1024 * 1024, QUOTAS),
    response: fact(Some(32 * 1024 * 1024), QUOTAS),
    message: fact(10 * 1000 * 1000, PUBSUB),
    package: fact(250 * 1024 * 1024, "run.v2 discovery document, revision 20261031: uploadSource"),
    env: None,
    reserved_env: fact(&["PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION"], CONTRACT),
    sends: None,
};

/// What of the Spec does not fit. Pure.
pub fn check(stage: &Stage, spec: &Spec) -> Vec<Finding> {
    let mut report = Report::of(&LIMITS, stage, spec);
    for function in &spec.functions {
        if let TriggerSpec::Schedule { schedule, timezone } = &function.trigger {
            let lowered = Schedule::parse(schedule)
                .and_then(|schedule| lower(&schedule, timezone.as_deref(), Dialect::UnixCron));
            if let Err(why) = lowered {
                report.error(&function.name, "schedule-unsupported", why, SCHEDULER);
            }
        }
        let TriggerSpec::Http { routes, .. } = &function.trigger else { continue };
        for route in routes {
            if let Some(why) = unreachable(route) {
                report.warning(&function.name, "route-unreachable", why, ISSUES);
            }
        }
    }
    report.findings
}

/// Why a route's requests do not arrive.
fn unreachable(route: &RouteSpec) -> Option<String> {
    let path = route.path.as_str();
    if let Some(method) = route.method.as_deref().filter(|m| ["TRACE", "CONNECT"].contains(m)) {
        return Some(format!("`{method} {path}`: Cloud Run passes on no {method}"));
    }
    let last = path.rsplit('/').next().unwrap_or_default();
    // `{name}` may end so too, but need not.
    let ends_in_z = last.ends_with('z') && !last.starts_with('{');
    let kept = path == "/eventlog" || path.starts_with("/_ah/") || ends_in_z;
    kept.then(|| {
        format!("`{path}`: Cloud Run keeps /eventlog, /_ah/ and some paths that end in z for itself")
    })
}
