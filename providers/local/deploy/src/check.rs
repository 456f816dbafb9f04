//! What the local host does not do as asked.

use xcloud_core::spec::{Spec, TriggerSpec};
use xcloud_deploy::check::Report;
use xcloud_deploy::{Finding, Stage};

/// What of the Spec does not fit. Pure.
pub fn check(_: &Stage, spec: &Spec) -> Vec<Finding> {
    let mut report = Report::new("local");
    for function in &spec.functions {
        let settings = &function.settings;
        if matches!(function.trigger, TriggerSpec::Http { .. }) && settings.public != Some(true) {
            let what = "not `public`: on this machine whoever can reach loopback may call it all the same";
            report.warning(&function.name, "private-not-enforced", what.to_owned(), "");
        }
        let (min, max) = (settings.min_instances.unwrap_or(0), settings.max_instances.unwrap_or(u32::MAX));
        if min > max {
            let what =
                format!("`min_instances = {min}` is more than `max_instances = {max}`, so {max} are kept");
            report.warning(&function.name, "instances-clamped", what, "");
        }
    }
    report.findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use xcloud_core::spec::{FunctionSpec, Settings};

    #[test]
    fn what_is_private_or_contradicts_itself_is_said() {
        let found = |settings: Settings| {
            let function = FunctionSpec {
                name: "http".to_owned(),
                trigger: TriggerSpec::Http { routes: Vec::new(), mounted: true },
                sends: Vec::new(),
                tables: Vec::new(),
                settings,
            };
            let spec = Spec { functions: vec![function], ..Spec::default() };
            let stage = Stage { project: "p".to_owned(), stage: "dev".to_owned() };
            check(&stage, &spec).into_iter().map(|finding| finding.code).collect::<Vec<_>>()
        };
        assert_eq!(found(Settings { public: Some(true), ..Settings::default() }), Vec::<String>::new());
        assert_eq!(found(Settings::default()), ["private-not-enforced"]);
        let both = Settings {
            public: Some(true),
            min_instances: Some(3),
            max_instances: Some(2),
            ..Settings::default()
        };
        assert_eq!(found(both), ["instances-clamped"]);
    }
}
