//! The way from what is to what should be. Pure.

use std::collections::BTreeMap;

use serde_json::Value;
use xcloud_core::spec::FunctionSpec;
use xcloud_deploy::plan::diff;
use xcloud_deploy::{Action, Desired, Observed, Plan, Resource, Secret, secret};

use crate::config::Durability;
use crate::host::api::HostSettings;
use crate::observe::{function_resource, place, queue_resource, secret_field, table_resource};

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
        let secrets = desired.secrets.get(&function.name);
        let fields = secrets.into_iter().flatten().map(|(name, s)| (secret_field(name), s.fingerprint()));
        wanted.fields.extend(fields);
        unset(&mut wanted, function, secrets, observed);
        wanted
    });
    let buckets = desired.spec.buckets.iter().map(|name| place("bucket", name, false));
    let topics = desired.spec.topics.iter().map(|name| place("topic", name, false));
    let wanted: Vec<_> = queues.chain(tables).chain(buckets).chain(topics).chain(functions).collect();
    let mut plan = diff("local", &wanted, &observed.resources, desired.delete_data);
    if desired.no_traffic {
        for change in plan.changes.iter_mut().filter(|change| change.action == Action::Delete) {
            change.action = Action::Kept;
            change.reason =
                "what serves may need it; it goes with a deployment that gets the traffic".to_owned();
        }
    }
    plan
}

/// A variable that is set and not configured any more is to go. Without any `env` in the configuration they stay, and
/// without any `secrets` those do; but none is plain and secret.
fn unset(
    wanted: &mut Resource,
    function: &FunctionSpec,
    secrets: Option<&BTreeMap<String, Secret>>,
    observed: &Observed,
) {
    let env = function.settings.env.as_ref();
    let goes = |path: &String| {
        if let Some(name) = path.strip_prefix("env.") {
            env.is_some() || secrets.is_some_and(|secrets| secrets.contains_key(name))
        } else if let Some(name) = path.strip_prefix(secret::FIELD) {
            secrets.is_some() || env.is_some_and(|env| env.contains_key(name))
        } else {
            false
        }
    };
    let now = observed.resources.iter().find(|resource| resource.id == wanted.id);
    for path in now.iter().flat_map(|now| now.fields.keys()).filter(|path| goes(path)) {
        wanted.fields.entry(path.clone()).or_insert(Value::Null);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::host::api::secrets::{Digests, digest};
    use crate::host::api::{AppView, Manifest, QueueView, TableView};
    use crate::observe::observed as observed_with;
    use xcloud_core::spec::{Settings, Spec, TriggerSpec};
    use xcloud_deploy::{Artifact, Binary, Secrets, Stage};

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
        let artifact = Artifact::new("local", file_name, Vec::new(), "bootstrap", binary);
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
            secrets: Digests::new(),
            salt: String::new(),
        }
    }

    fn observed(view: &AppView) -> Observed {
        observed_with(view, &Secrets::new())
    }

    fn secrets(secrets: &[(&str, &str)]) -> Secrets {
        let secrets = secrets.iter().map(|(k, v)| ((*k).to_owned(), Secret::new(*v))).collect();
        Secrets::from([("http".to_owned(), secrets)])
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
    fn secrets_are_compared_and_never_shown() {
        let view = AppView {
            salt: "s".to_owned(),
            secrets: Digests::from([(
                "http".to_owned(),
                BTreeMap::from([("KEY".to_owned(), digest("s", "canary-1"))]),
            )]),
            ..view(spec(None), 0)
        };
        let planned = |wanted: Secrets, env| {
            let desired = Desired { secrets: wanted, ..desired(spec(env), "a") };
            plan(&desired, &observed_with(&view, &desired.secrets))
        };
        assert!(planned(secrets(&[("KEY", "canary-1")]), None).is_empty());
        assert!(planned(Secrets::new(), None).is_empty(), "absent secrets are left alone");
        let shown = |plan: &Plan| {
            let field = &plan.changes[2].fields[0];
            (field.path.clone(), field.before.clone(), field.after.clone())
        };
        let secret = || Value::from("(secret)");
        let key = || "secrets.KEY".to_owned();
        let differs = planned(secrets(&[("KEY", "canary-2")]), None);
        assert_eq!(shown(&differs), (key(), secret(), secret()));
        assert!(!serde_json::to_string(&differs).unwrap().contains("canary"));
        assert_eq!(shown(&planned(secrets(&[]), None)), (key(), secret(), Value::Null));
        let plain = planned(Secrets::new(), Some(&[("KEY", "now plain")]));
        assert!(plain.changes[2].fields.iter().any(|f| f.path == key() && f.after.is_null()), "{plain:?}");
    }

    #[test]
    fn a_deployment_without_traffic_deletes_nothing() {
        let mut smaller = spec(None);
        smaller.functions.pop();
        smaller.queues.clear();
        let mut desired = desired(smaller, "b");
        assert_eq!(plan(&desired, &observed(&view(spec(None), 0))).count(Action::Delete), 2);
        desired.no_traffic = true;
        let plan = plan(&desired, &observed(&view(spec(None), 0)));
        assert_eq!((plan.count(Action::Delete), plan.count(Action::Kept)), (0, 2));
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
