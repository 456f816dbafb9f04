//! What Function Compute 3.0 (custom runtime) can do, and what of a Spec does not fit it.

use xcloud_core::spec::{Spec, TriggerSpec};
use xcloud_deploy::check::{Limits, Memory, Named, Report, fact};
use xcloud_deploy::{Finding, Stage};

const LIMITS_PAGE: &str =
    "https://www.alibabacloud.com/help/en/functioncompute/fc/product-overview/limits-of-usage";
const CREATE: &str = "https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-createfunction";
const TABLESTORE: &str =
    "https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/tablestore-triggers";
const CUSTOM: &str = "https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/custom-runtime";

/// The facts.
pub const LIMITS: Limits = Limits {
    provider: "alibaba",
    platform: "Function Compute",
    triggers: fact(&["http", "queue", "object", "schedule", "change", "topic", "event", "raw"], CUSTOM),
    batch: fact(None, "not documented"),
    partial_failure: fact(false, "no answer for single events of a batch is documented"),
    streaming: fact(true, CUSTOM),
    timeout: fact(Some(86_400), LIMITS_PAGE),
    queue_timeout: None,
    memory: fact(Memory::Range(128, 32 * 1024, 64), CREATE),
    concurrency: fact(200, CREATE),
    max_instances: None,
    max_attempts: None,
    name: fact(Named::Function(64), CREATE),
    queue_name: fact(120, "https://www.alibabacloud.com/help/en/mns/developer-reference/createqueue"),
    request: fact(32 * 1024 * 1024, LIMITS_PAGE),
    response: fact(None, "not documented"),
    message: fact(64 * 1024, "https://www.alibabacloud.com/help/en/mns/product-overview/limits"),
    package: fact(100 * 1024 * 1024, LIMITS_PAGE),
    env: None,
    reserved_env: fact(&["FC_*"], CUSTOM),
    sends: None,
};

/// A batch becomes one asynchronous call, and that may be no larger than this.
const ASYNC_BYTES: u64 = 128 * 1024;

/// What of the Spec does not fit. Pure.
pub fn check(stage: &Stage, spec: &Spec) -> Vec<Finding> {
    let mut report = Report::of(&LIMITS, stage, spec);
    for function in &spec.functions {
        if matches!(function.trigger, TriggerSpec::Change { .. }) {
            let what = "Tablestore gives no row as it was before, and does not tell new rows from changed ones: every write \
                        is an update with what was written";
            report.warning(&function.name, "change-partial", what.to_owned(), TABLESTORE);
        }
        let TriggerSpec::Queue { batch: Some(batch), .. } = function.trigger else { continue };
        let each = ASYNC_BYTES / u64::from(batch.max(1));
        if each < 1024 {
            let what = format!(
                "`batch = {batch}`: an asynchronous call holds {ASYNC_BYTES} bytes, {each} for each message"
            );
            report.warning(&function.name, "batch-bytes", what, LIMITS_PAGE);
        }
    }
    report.findings
}
