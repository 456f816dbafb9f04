//! What Azure Functions (Flex Consumption, custom handler) can do, and what of a Spec does not fit it.

use std::collections::BTreeSet;

use xcloud_azure::binding::{METHODS, function_json};
use xcloud_core::spec::{FunctionSpec, RouteSpec, Spec, TriggerSpec};
use xcloud_deploy::check::{Limits, Memory, Named, Report, fact};
use xcloud_deploy::{Finding, Stage};

const SCALE: &str = "https://learn.microsoft.com/azure/azure-functions/functions-scale";
const FLEX: &str = "https://learn.microsoft.com/azure/azure-functions/flex-consumption-plan";
const HOST_JSON: &str = "https://learn.microsoft.com/azure/azure-functions/functions-host-json";
const HANDLERS: &str = "https://learn.microsoft.com/azure/azure-functions/functions-custom-handlers";
const QUEUE: &str =
    "https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue-trigger";
const TIMER: &str = "https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer";
const COSMOS: &str =
    "https://learn.microsoft.com/azure/azure-functions/functions-bindings-cosmosdb-v2-trigger";
const TARGETS: &str = "https://learn.microsoft.com/azure/storage/queues/scalability-targets";

/// The facts.
pub const LIMITS: Limits = Limits {
    provider: "azure",
    platform: "Azure Functions",
    // `raw`: there is no trigger for any event; each kind has a binding of its own in function.json.
    triggers: fact(&["http", "queue", "object", "schedule", "change", "topic", "event"], HANDLERS),
    // A storage queue's trigger calls once for each message: what fails is retried alone.
    batch: fact(Some(1), QUEUE),
    partial_failure: fact(false, QUEUE),
    streaming: fact(true, HANDLERS),
    timeout: fact(None, SCALE),
    queue_timeout: None,
    memory: fact(Memory::Sizes(&[512, 2048, 4096]), FLEX),
    concurrency: fact(1000, "https://learn.microsoft.com/azure/azure-functions/functions-concurrency"),
    max_instances: Some(fact((40, 1000), FLEX)),
    max_attempts: None,
    name: fact(
        Named::App(60),
        "https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules",
    ),
    queue_name: fact(63, "https://learn.microsoft.com/rest/api/storageservices/naming-queues-and-metadata"),
    request: fact(210_000_000, SCALE),
    response: fact(None, SCALE),
    message: fact(64 * 1024, TARGETS),
    package: fact(1024 * 1024 * 1024, SCALE),
    env: None,
    reserved_env: fact(
        &["FUNCTIONS_*", "WEBSITE_*", "AzureWebJobsStorage", "AzureWebJobsStorage__*"],
        "https://learn.microsoft.com/azure/azure-functions/functions-app-settings",
    ),
    sends: None,
};

/// The front end gives up on an HTTP request after so long, whatever the function's timeout.
const FRONT_SECONDS: u32 = 230;

/// What of the Spec does not fit. Pure.
pub fn check(stage: &Stage, spec: &Spec) -> Vec<Finding> {
    let mut report = Report::of(&LIMITS, stage, spec);
    for function in &spec.functions {
        event(&mut report, function);
        let TriggerSpec::Http { routes, .. } = &function.trigger else { continue };
        if let Some(seconds) = function.settings.timeout_seconds.filter(|s| *s > FRONT_SECONDS) {
            let what = format!(
                "`timeout` of {seconds} s: the front end ends an HTTP request after {FRONT_SECONDS} s"
            );
            report.error(&function.name, "timeout-too-long", what, SCALE);
        }
        for route in routes {
            unreachable(&mut report, &function.name, route);
        }
    }
    shared(&mut report, spec);
    report.findings
}

/// What of a trigger is not, or not wholly, there.
fn event(report: &mut Report, function: &FunctionSpec) {
    match &function.trigger {
        TriggerSpec::Schedule { .. } => {
            if let Err(error) = function_json(function) {
                report.error(&function.name, "schedule-unsupported", error.message().to_owned(), TIMER);
            }
        }
        TriggerSpec::Change { .. } => {
            let what = "Cosmos DB tells of no deleted rows, gives no row as it was before, and does not tell new rows \
                        from changed ones: every change is an update with the new row alone";
            report.warning(&function.name, "change-partial", what.to_owned(), COSMOS);
        }
        _ => {}
    }
}

fn unreachable(report: &mut Report, function: &str, route: &RouteSpec) {
    let path = route.path.as_str();
    if ["/admin", "/runtime"].iter().any(|kept| path == *kept || path.starts_with(&format!("{kept}/"))) {
        let what = format!("`{path}`: the Functions host keeps /admin and /runtime for itself");
        let source = "https://github.com/Azure/azure-functions-host/issues/1781";
        report.error(function, "route-unreachable", what, source);
    }
    let method =
        route.method.as_deref().filter(|m| !METHODS.iter().any(|known| known.eq_ignore_ascii_case(m)));
    if let Some(method) = method {
        let what = format!("`{method} {path}`: its trigger passes on {}", METHODS.join(", "));
        report.warning(function, "route-unreachable", what, HANDLERS);
    }
}

/// One app carries all functions, so they share what is the app's.
fn shared(report: &mut Report, spec: &Spec) {
    let mut differ = |key: &str, page: &str, values: BTreeSet<String>| {
        if values.len() > 1 {
            let list = values.into_iter().collect::<Vec<_>>().join(", ");
            let what = format!("`{key}` differs ({list}): one app holds all functions and has one value");
            report.warning("", "shared-setting", what, page);
        }
    };
    let functions = || spec.functions.iter();
    let of = |get: fn(&FunctionSpec) -> Option<u32>, unit: &str| {
        functions().filter_map(get).map(|n| format!("{n}{unit}")).collect()
    };
    differ("memory", FLEX, of(|f| f.settings.memory_mb, "MB"));
    differ("timeout", HOST_JSON, of(|f| f.settings.timeout_seconds, "s"));
    differ("max_attempts", HOST_JSON, of(|f| f.settings.max_attempts, ""));
    let mut values = std::collections::BTreeMap::new();
    for (key, value) in functions().filter_map(|f| f.settings.env.as_ref()).flatten() {
        if values.insert(key, value).is_some_and(|other| other != value) {
            let what =
                format!("`env.{key}` differs between functions: one app holds them all and has one value");
            let page = "https://learn.microsoft.com/azure/azure-functions/functions-app-settings";
            report.error("", "shared-setting", what, page);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn codes(trigger: &Value) -> Vec<String> {
        let function = json!({ "name": "f", "trigger": trigger });
        let spec =
            serde_json::from_value(json!({ "version": 1, "functions": [function], "queues": [] })).unwrap();
        let stage = Stage { project: "shop".to_owned(), stage: "dev".to_owned() };
        check(&stage, &spec).into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn what_a_trigger_cannot_do_is_found_before_packaging() {
        let schedule = |text: &str, zone: Option<&str>| {
            codes(&json!({ "kind": "schedule", "schedule": text, "timezone": zone }))
        };
        assert!(schedule("every 5 minutes", None).is_empty());
        assert_eq!(schedule("every 7 minutes", None), ["schedule-unsupported"]);
        assert_eq!(schedule("0 4 * * *", Some("Europe/Berlin")), ["schedule-unsupported"]);
        assert_eq!(codes(&json!({ "kind": "change", "table": "ledger" })), ["change-partial"]);
        assert_eq!(codes(&json!({ "kind": "raw" })), ["trigger-unsupported"]);
        for trigger in [
            json!({ "kind": "object", "bucket": "uploads", "on": "deleted" }),
            json!({ "kind": "topic", "topic": "news" }),
            json!({ "kind": "event" }),
        ] {
            assert!(codes(&trigger).is_empty(), "{trigger}");
        }
    }
}
