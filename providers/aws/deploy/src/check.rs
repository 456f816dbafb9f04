//! What Lambda can do, and what of a Spec does not fit it.

use xcloud_aws::binding::MAX_ANSWER;
use xcloud_core::spec::{Spec, TriggerSpec};
use xcloud_deploy::check::{Limits, Memory, Named, Report, fact};
use xcloud_deploy::{Finding, Stage};

use crate::wanted::{MOST_TRIES, is_async};

const QUOTAS: &str = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html";
const SQS: &str = "https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html";
const VARIABLES: &str = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html";
const RUNTIME: &str = "https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html";

/// The facts.
pub const LIMITS: Limits = Limits {
    provider: "aws",
    platform: "Lambda",
    triggers: fact(&["http", "queue", "object", "schedule", "change", "topic", "event", "raw"], RUNTIME),
    batch: fact(Some(10_000), SQS),
    partial_failure: fact(
        true,
        "https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html",
    ),
    streaming: fact(
        true,
        "https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html",
    ),
    timeout: fact(Some(900), QUOTAS),
    queue_timeout: None,
    memory: fact(Memory::Range(128, 10_240, 1), QUOTAS),
    concurrency: fact(1, "https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html"),
    max_instances: None,
    max_attempts: Some(fact(
        (1, 1000),
        "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html",
    )),
    name: fact(Named::Function(64), "https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html"),
    queue_name: fact(
        80,
        "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html",
    ),
    request: fact(6 * 1024 * 1024, QUOTAS),
    response: fact(Some(MAX_ANSWER as u64), "measured: the answer of AWS's runtime interface emulator"),
    message: fact(
        1024 * 1024,
        "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html",
    ),
    package: fact(50 * 1024 * 1024, QUOTAS),
    env: Some(fact(4096, QUOTAS)),
    reserved_env: fact(
        &[
            "_HANDLER",
            "_X_AMZN_TRACE_ID",
            "AWS_DEFAULT_REGION",
            "AWS_REGION",
            "AWS_EXECUTION_ENV",
            "AWS_LAMBDA_*",
            "AWS_ACCESS_KEY",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "LAMBDA_TASK_ROOT",
            "LAMBDA_RUNTIME_DIR",
        ],
        VARIABLES,
    ),
    sends: Some("sqs"),
};

/// Without a window, SQS hands over at most so many messages.
const WITHOUT_WINDOW: u32 = 10;

/// What of the Spec does not fit. Pure.
pub fn check(stage: &Stage, spec: &Spec) -> Vec<Finding> {
    let mut report = Report::of(&LIMITS, stage, spec);
    for function in &spec.functions {
        let most =
            function.settings.max_attempts.filter(|most| is_async(&function.trigger) && *most > MOST_TRIES);
        if let Some(most) = most {
            let what = format!(
                "`max_attempts = {most}`: Lambda hands over what is not from a queue or a table up to {MOST_TRIES} times, so it will be {MOST_TRIES}"
            );
            let page = "https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html";
            report.warning(&function.name, "attempts-clamped", what, page);
        }
        let TriggerSpec::Queue { batch: Some(batch), .. } = function.trigger else { continue };
        if batch > WITHOUT_WINDOW {
            let what = format!(
                "`batch = {batch}`: over {WITHOUT_WINDOW}, messages wait for each other, up to a second"
            );
            let page = "https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html";
            report.warning(&function.name, "batch-window", what, page);
        }
    }
    report.findings
}
