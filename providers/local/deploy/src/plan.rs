//! The way from what is to what should be. Pure.

use serde_json::Value;
use xcloud_core::spec::FunctionSpec;
use xcloud_deploy::plan::diff;
use xcloud_deploy::{Desired, Observed, Plan, Resource};

use crate::config::Durability;
use crate::host::api::HostSettings;
use crate::observe::{function_resource, place, queue_resource, table_resource};

/// Compares. Queues and tables come first, so that a function's are there before it.
pub(crate) fn plan(
    desired: &Desired,
    observed: &Observed,
    (durability, host): (Option<Durability>, &HostSettings),
) -> Plan {
    let binary = desired.artifact.as_ref().map(|artifact| &artifact.binary);
    let files = binary.and_then(xcloud_deploy::Binary::files_sha256);
    let code = (binary.map_or("", |binary| &binary.sha256), files.as_deref());
    let queues = desired.spec.queues.iter().map(|name| queue_resource(name, durability, false));
    let tables = desired.spec.tables.iter().map(|name| table_resource(name, durability, false));
    let functions = desired.spec.functions.iter().map(|function| {
        let mut wanted = function_resource(function, code, host);
        unset(&mut wanted, function, observed);
        wanted
    });
    let buckets = desired.spec.buckets.iter().map(|name| place("bucket", name, false));
    let topics = desired.spec.topics.iter().map(|name| place("topic", name, false));
    let wanted: Vec<_> = queues.chain(tables).chain(buckets).chain(topics).chain(functions).collect();
    diff("local", &wanted, &observed.resources, desired.delete_data)
}

/// A variable that is set and not configured any more is to go. Without any `env` in the configuration they stay.
fn unset(wanted: &mut Resource, function: &FunctionSpec, observed: &Observed) {
    if function.settings.env.is_none() {
        return;
    }
    let now = observed.resources.iter().find(|resource| resource.id == wanted.id);
    for path in now.iter().flat_map(|now| now.fields.keys()).filter(|path| path.starts_with("env.")) {
        wanted.fields.entry(path.clone()).or_insert(Value::Null);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::host::api::{AppView, Manifest, QueueView, TableView};
    use crate::observe::observed;
    use xcloud_core::spec::{Settings, Spec, TriggerSpec};
    use xcloud_deploy::{Action, Artifact, Binary, Stage};

    fn spec(env: Option<&[(&str, &str)]>) -> Spec {
        let env = env
            .map(|e| e.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>());
        let function = |name: &str, trigger| FunctionSpec {
            name: name.to_owned(),
            trigger,
            sends: Vec::new(),
            tables: Vec::new(),
            settings: Settings { env: env.clone(), ..Settings::default() },
        };
        Spec {
            version: 1,
            functions: vec![
                function("http", TriggerSpec::Http { routes: Vec::new(), mounted: false }),
                function("fulfil", TriggerSpec::Queue { queue: "placed".to_owned(), batch: None }),
            ],
            queues: vec!["placed".to_owned()],
            tables: vec!["totals".to_owned()],
            ..Spec::default()
        }
    }

    fn desired(spec: Spec, sha: &str) -> Desired {
        let binary = Binary {
            bytes: Arc::from(&b""[..]),
            sha256: sha.to_owned(),
            arch: "x86_64".to_owned(),
            files: Default::default(),
        };
        let file_name = "p".to_owned();
        let artifact =
            Artifact { provider: "local", file_name, bytes: Vec::new(), entry: "bootstrap", binary };
        let stage = Stage { project: "shop".to_owned(), stage: "dev".to_owned() };
        Desired::new(stage, spec, Some(artifact))
    }

    fn view(spec: Spec, waiting: u64) -> AppView {
        let Spec { functions, queues, tables, .. } = spec;
        let view = |name: &String| QueueView { name: name.clone(), waiting, dead: 0 };
        AppView {
            version: 1,
            port: Some(8700),
            queues: queues.iter().map(view).collect(),
            tables: tables.iter().map(|name| TableView { name: name.clone(), rows: waiting }).collect(),
            manifest: Some(Manifest {
                package: "p".to_owned(),
                binary_sha256: "a".to_owned(),
                functions,
                queues,
                tables,
                host: HostSettings::default(),
                ..Manifest::default()
            }),
            functions: Vec::new(),
            durability: Durability::Process,
            buckets: Vec::new(),
            topics: Vec::new(),
            events: Vec::new(),
            trouble: None,
        }
    }

    fn plan(desired: &Desired, observed: &Observed) -> Plan {
        super::plan(desired, observed, (None, &HostSettings::default()))
    }

    fn actions(plan: &Plan) -> Vec<(Action, &str)> {
        plan.changes.iter().map(|c| (c.action, c.resource.as_str())).collect()
    }

    #[test]
    fn nothing_changed_is_an_empty_plan() {
        let spec = || spec(Some(&[("LOG", "info")]));
        let observed = observed(&view(spec(), 3));
        assert_eq!(observed.url.as_deref(), Some("http://127.0.0.1:8700"));
        assert!(plan(&desired(spec(), "a"), &observed).is_empty());
        let fresh = plan(&desired(spec(), "a"), &Observed::default());
        let expected = [
            (Action::Create, "queue/placed"),
            (Action::Create, "table/totals"),
            (Action::Create, "function/http"),
            (Action::Create, "function/fulfil"),
        ];
        assert_eq!(actions(&fresh), expected);
    }

    #[test]
    fn a_new_binary_updates_every_function() {
        let plan = plan(&desired(spec(None), "b"), &observed(&view(spec(None), 0)));
        assert_eq!(plan.count(Action::Update), 2);
        assert_eq!(plan.changes[2].fields[0].path, "binary_sha256");
    }

    #[test]
    fn absent_env_is_left_alone_and_empty_env_is_emptied() {
        let now = observed(&view(spec(Some(&[("LOG", "info")])), 0));
        assert!(plan(&desired(spec(None), "a"), &now).is_empty());
        let emptied = plan(&desired(spec(Some(&[])), "a"), &now);
        let field = &emptied.changes[2].fields[0];
        assert_eq!(
            (field.path.as_str(), &field.before, &field.after),
            ("env.LOG", &"info".into(), &Value::Null)
        );
    }

    #[test]
    fn durability_is_left_alone_unless_it_is_configured() {
        let now = observed(&view(spec(None), 0));
        let plan = |durability, host: &HostSettings| {
            super::plan(&desired(spec(None), "a"), &now, (Some(durability), host))
        };
        assert!(plan(Durability::Process, &HostSettings::default()).is_empty());
        let idle = HostSettings { idle_timeout_seconds: Some(5), keep_versions: None };
        assert_eq!(plan(Durability::Process, &idle).count(Action::Update), 2, "of both functions");
        let plan = plan(Durability::Fsync, &HostSettings::default());
        assert_eq!((plan.count(Action::Update), plan.changes[0].fields[0].path.as_str()), (2, "durability"));
    }

    #[test]
    fn destroy_keeps_a_queue_that_holds_messages() {
        let mut nothing = desired(Spec::default(), "");
        nothing.artifact = None;
        let kept = plan(&nothing, &observed(&view(spec(None), 1)));
        assert_eq!(kept.changes.last().map(|c| c.action), Some(Action::Kept));
        assert_eq!(plan(&nothing, &observed(&view(spec(None), 0))).count(Action::Delete), 4);
    }
}
