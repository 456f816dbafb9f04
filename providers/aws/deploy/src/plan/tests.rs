use std::sync::Arc;

use xcloud_core::spec::{FunctionSpec, Settings, Spec, TriggerSpec};
use xcloud_deploy::{Artifact, Binary, Secret, Stage};

use super::*;
use crate::names::for_tests;

/// The orders example.
pub(crate) fn orders() -> Desired {
    let function = |name: &str, trigger, sends: &[&str]| FunctionSpec {
        name: name.to_owned(),
        trigger,
        sends: sends.iter().map(|queue| (*queue).to_owned()).collect(),
        tables: Vec::new(),
        settings: Settings { memory_mb: Some(256), ..Settings::default() },
    };
    let queue = "order-placed".to_owned();
    let http = TriggerSpec::Http { routes: Vec::new(), mounted: false };
    let functions = vec![
        function("http", http, &["order-placed"]),
        function("fulfil", TriggerSpec::Queue { queue: queue.clone(), batch: None }, &[]),
    ];
    let spec = Spec { version: 1, functions, queues: vec![queue], ..Spec::default() };
    Desired::new(Stage { project: "shop".to_owned(), stage: "dev".to_owned() }, spec, Some(artifact(b"one")))
}

fn artifact(bytes: &[u8]) -> Artifact {
    let binary = Binary {
        bytes: Arc::from(bytes),
        sha256: "b".repeat(64),
        arch: "x86_64".to_owned(),
        files: Arc::default(),
    };
    let bytes = bytes.to_vec();
    Artifact::new("aws", "shop-aws.zip".to_owned(), bytes, "bootstrap", binary)
}

/// The plan of a first deployment.
pub(crate) fn create() -> Plan {
    of(&orders(), &Observed::default())
}

fn of(desired: &Desired, observed: &Observed) -> Plan {
    plan(desired, observed, &for_tests(), 10)
}

/// What is there once this is deployed, as version `number` and Lambda's version `lambda`.
fn deployed(desired: &Desired, number: u64, lambda: u64) -> Observed {
    let names = for_tests();
    let label = Label { number, binary: "b".repeat(64), app: app_digest(desired, &names) };
    let mut resources = wanted::resources(desired, &names);
    for resource in &mut resources {
        if resource.id.starts_with("log-group/") {
            resource.fields.insert("retention_days".to_owned(), 30.into());
        }
        if resource.id.starts_with("alias/") {
            resource.fields = Fields::from([("published".to_owned(), lambda.to_string().into())]);
        }
        if resource.id.starts_with("function/") {
            resource.fields.insert("deployment".to_owned(), label.version().into());
        }
        if let Some(name) = resource.id.strip_prefix("version/") {
            resource.id = format!("{PUBLISHED}{name}/{lambda}");
            resource.fields.insert("label".to_owned(), label.to_string().into());
        }
    }
    Observed { resources, url: None }
}

fn change<'a>(plan: &'a Plan, id: &str) -> &'a Change {
    plan.changes.iter().find(|change| change.resource == id).unwrap()
}

fn steps(plan: &Plan) -> Vec<&str> {
    plan.steps().map(|change| change.resource.as_str()).collect()
}

fn field<'a>(plan: &'a Plan, id: &str, path: &str) -> (&'a Value, &'a Value) {
    let field = change(plan, id).fields.iter().find(|field| field.path == path).unwrap();
    (&field.before, &field.after)
}

#[test]
fn a_first_deployment_makes_everything_and_begins_with_the_first_function() {
    let plan = create();
    assert_eq!((plan.steps().count(), plan.count(Action::Create)), (14, 14));
    assert_eq!(plan.guard.as_deref(), Some("function/http"));
    let after = |id: &str| change(&plan, id).after.clone();
    // Nothing else is written before it: of two deployments at once one stops there.
    assert_eq!(after("function/http"), ["role/http"]);
    assert_eq!(after("version/http"), ["function/http", "log-group/http", "queue/order-placed"]);
    assert_eq!(after("alias/http"), ["version/http"]);
    assert_eq!(after("url/http"), ["alias/http"]);
    assert_eq!(field(&plan, "version/http", "version"), (&Value::Null, &"v1".into()));
}

#[test]
fn what_is_as_it_should_be_needs_nothing() {
    let plan = of(&orders(), &deployed(&orders(), 1, 1));
    assert!(plan.is_empty(), "{:?}", steps(&plan));
    assert_eq!((plan.count(Action::Unchanged), plan.guard), (14, None));
}

#[test]
fn somebody_elses_change_is_shown_and_repaired_without_a_new_version() {
    let mut observed = deployed(&orders(), 3, 5);
    let function = observed.resources.iter_mut().find(|r| r.id == "function/http").unwrap();
    function.fields.insert("memory_mb".to_owned(), 512.into());
    let plan = of(&orders(), &observed);
    assert_eq!(steps(&plan), ["function/http"]);
    assert_eq!(field(&plan, "function/http", "memory_mb"), (&512.into(), &256.into()));
}

#[test]
fn new_code_is_published_and_aliases_move_after_everything_else() {
    let new = Desired { artifact: Some(artifact(b"two")), ..orders() };
    let plan = of(&new, &deployed(&orders(), 1, 1));
    assert_eq!(field(&plan, "alias/http", "version"), (&"v1".into(), &"v2".into()));
    let after = &change(&plan, "alias/http").after;
    for id in ["version/http", "version/fulfil", "function/fulfil", "mapping/fulfil", "url/http"] {
        assert!(after.contains(&id.to_owned()), "{id} is not before the alias: {after:?}");
    }
    assert!(!after.contains(&"alias/fulfil".to_owned()));
    assert!(!change(&plan, "url/http").after.contains(&"alias/http".to_owned()), "a circle");
}

#[test]
fn a_deployment_that_was_cut_off_goes_on_with_its_number() {
    let new = Desired { artifact: Some(artifact(b"two")), ..orders() };
    let (old, done) = (deployed(&orders(), 1, 1), deployed(&new, 2, 2));
    // Both functions have the new code, one is published, no alias has moved.
    let mut resources = old.resources;
    resources.retain(|r| !r.id.starts_with("function/"));
    let gone_on = |r: &&Resource| r.id.starts_with("function/") || r.id == "published/http/2";
    resources.extend(done.resources.iter().filter(gone_on).cloned());
    let plan = of(&new, &Observed { resources, url: None });
    assert_eq!(steps(&plan), ["function/http", "alias/http", "version/fulfil", "alias/fulfil"]);
    assert_eq!(field(&plan, "version/fulfil", "version").1, "v2");
    assert_eq!(change(&plan, "function/http").reason, "keeps other deployments out");
}

#[test]
fn without_traffic_a_version_is_published_and_no_alias_moves() {
    let new = Desired { artifact: Some(artifact(b"two")), no_traffic: true, ..orders() };
    let plan = of(&new, &deployed(&orders(), 1, 1));
    assert_eq!(steps(&plan), ["function/http", "version/http", "function/fulfil", "version/fulfil"]);
    // The first deployment has to go somewhere.
    let first = of(&Desired { no_traffic: true, ..orders() }, &Observed::default());
    assert!(steps(&first).contains(&"alias/http"));
}

#[test]
fn a_variable_that_is_not_configured_any_more_goes_and_makes_a_new_version() {
    let with = |env: &[(&str, &str)]| {
        let mut desired = orders();
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        desired.spec.functions[1].settings.env = Some(env);
        desired
    };
    let plan = of(&with(&[]), &deployed(&with(&[("LOG", "info")]), 1, 1));
    assert_eq!(field(&plan, "function/fulfil", "env.LOG"), (&"info".into(), &Value::Null));
    assert!(steps(&plan).contains(&"version/fulfil"));
    // Without any `env` it is left alone.
    assert!(of(&orders(), &deployed(&with(&[("LOG", "info")]), 1, 1)).is_empty());
}

#[test]
fn a_secret_that_changed_is_told_of_and_not_shown() {
    let with = |value: &str| {
        let mut desired = orders();
        let secrets = [("PAYMENT_KEY".to_owned(), Secret::new(value))].into();
        desired.secrets.insert("http".to_owned(), secrets);
        desired
    };
    let plan = of(&with("canary-new"), &deployed(&with("canary-old"), 1, 1));
    let told = field(&plan, "function/http", "secrets.PAYMENT_KEY");
    assert_eq!(told, (&"(secret)".into(), &"(secret)".into()));
    assert!(steps(&plan).contains(&"version/http"));
    assert!(!serde_json::to_string(&plan).unwrap().contains("canary"));
}

#[test]
fn what_somebody_else_made_is_used_and_not_touched() {
    let arn = "arn:aws:sqs:eu-west-1:999999999999:theirs";
    let mut desired = orders();
    desired.existing.insert("queue/order-placed".to_owned(), arn.to_owned());
    let names = Names { existing: desired.existing.clone(), ..for_tests() };
    let plan = plan(&desired, &Observed::default(), &names, 10);
    assert!(plan.changes.iter().all(|c| !c.resource.contains("order-placed")), "{:?}", steps(&plan));
    assert_eq!(field(&plan, "mapping/fulfil", "source").1, arn);
    let url = "sqs:https://sqs.eu-west-1.amazonaws.com/999999999999/theirs";
    assert_eq!(field(&plan, "function/http", "env.XCLOUD_QUEUE_ORDER_PLACED").1, url);
}

#[test]
fn a_function_that_is_no_longer_in_the_code_goes_after_the_new_version_serves() {
    let mut new = Desired { artifact: Some(artifact(b"two")), ..orders() };
    new.spec.functions.truncate(1);
    let plan = of(&new, &deployed(&orders(), 1, 1));
    let gone = change(&plan, "function/fulfil");
    assert_eq!(gone.action, Action::Delete);
    assert!(gone.after.contains(&"alias/http".to_owned()), "{:?}", gone.after);
}

#[test]
fn a_role_that_is_there_is_corrected_after_the_guard() {
    let mut observed = deployed(&orders(), 1, 1);
    let role = observed.resources.iter_mut().find(|r| r.id == "role/http").unwrap();
    role.fields.remove("policy");
    observed.resources.retain(|r| !r.id.ends_with("/http") || r.id == "role/http");
    let plan = of(&orders(), &observed);
    assert_eq!(change(&plan, "role/http").action, Action::Update);
    assert!(change(&plan, "function/http").after.is_empty());
    assert!(change(&plan, "version/http").after.contains(&"role/http".to_owned()));
}

/// The functions' versions that a plan removes.
fn pruned(plan: &Plan) -> Vec<&str> {
    let gone = plan.steps().filter(|c| c.action == Action::Delete).map(|c| c.resource.as_str());
    gone.filter(|id| prune::number(id).is_some()).collect()
}

/// `orders` as `deployed`, and versions of `http` before that.
fn with_versions(numbers: &[u64]) -> Observed {
    let mut observed = deployed(&orders(), 9, 9);
    let newest = observed.resources.iter().find(|r| r.id == "published/http/9").cloned().unwrap();
    for number in numbers {
        let mut fields = newest.fields.clone();
        let label = Label { number: *number, binary: "a".repeat(64), app: "0".to_owned() };
        fields.insert("label".to_owned(), label.to_string().into());
        observed.resources.push(Resource {
            id: format!("published/http/{number}"),
            fields,
            ..newest.clone()
        });
    }
    observed
}

#[test]
fn versions_beyond_those_that_are_kept_go_once_the_new_one_serves() {
    let new = Desired { artifact: Some(artifact(b"two")), ..orders() };
    let observed = with_versions(&[6, 7, 8]);
    let plan = plan(&new, &observed, &for_tests(), 3);
    // 10 is about to be published; 9 and 8 stay.
    assert_eq!(pruned(&plan), ["version/http/6", "version/http/7"]);
    assert!(change(&plan, "version/http/6").after.contains(&"alias/http".to_owned()));
    assert_eq!(change(&plan, "version/http/6").reason, "older than the 3 versions that are kept");
}

#[test]
fn versions_that_a_killed_deployment_left_go_with_the_next_also_where_nothing_else_is_to_do() {
    let left = plan(&orders(), &with_versions(&[7, 8]), &for_tests(), 2);
    assert_eq!(steps(&left), ["function/http", "version/http/7"]);
    assert!(plan(&orders(), &with_versions(&[8]), &for_tests(), 2).is_empty());
}

#[test]
fn a_version_with_traffic_never_goes() {
    let mut observed = with_versions(&[5, 6, 7, 8]);
    let alias = observed.resources.iter_mut().find(|r| r.id == "alias/http").unwrap();
    alias.fields.insert("published".to_owned(), "8".into());
    alias.fields.insert("weights".to_owned(), serde_json::json!({ "6": 0.1 }));
    let new = Desired { artifact: Some(artifact(b"two")), no_traffic: true, ..orders() };
    assert_eq!(
        pruned(&plan(&new, &observed, &for_tests(), 1)),
        ["version/http/5", "version/http/7", "version/http/9"]
    );
}
