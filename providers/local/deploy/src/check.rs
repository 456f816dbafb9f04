//! What the local host does not do as asked.

use xcloud_core::spec::{Settings, Spec};
use xcloud_deploy::check::Report;
use xcloud_deploy::{Finding, Stage};

/// What of the Spec does not fit. Pure.
pub fn check(_: &Stage, spec: &Spec) -> Vec<Finding> {
    let mut report = Report::new("local");
    for function in &spec.functions {
        for (setting, why) in recorded(&function.settings) {
            let code = format!("{}-not-enforced", setting.replace('_', "-"));
            let what = format!("`{setting}` is recorded, and not enforced by the local host: {why}");
            report.warning(&function.name, &code, what, "");
        }
    }
    report.findings
}

fn recorded(settings: &Settings) -> Vec<(&'static str, &'static str)> {
    let asked = [
        (settings.memory_mb, ("memory_mb", "a process may use what the machine has")),
        (settings.min_instances, ("min_instances", "each function has one process")),
        (settings.max_instances, ("max_instances", "each function has one process")),
    ];
    asked.into_iter().filter(|(value, _)| value.is_some()).map(|(_, text)| text).collect()
}
