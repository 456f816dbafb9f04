//! What should be, as resources with fields. Pure.

use std::collections::BTreeMap;

use serde_json::Value;
use xcloud_core::env;
use xcloud_core::spec::{FunctionSpec, HTTP_FUNCTION, ObjectFilter, TriggerSpec};
use xcloud_core::text::base64_encode;
use xcloud_deploy::{Desired, Resource};
use xcloud_schedule::{Dialect, Schedule, lower};

use crate::names::Names;
use crate::role;

/// The names of the variables that hold secrets, so that a later plan does not show them.
pub(crate) const SECRETS: &str = "XCLOUD_SECRETS";
/// How long a log is kept where nobody has said otherwise.
pub(crate) const RETENTION_DAYS: i32 = 30;
/// Lambda's own time limit where none is set.
const DEFAULT_TIMEOUT: u32 = 3;
/// How often a message is delivered where nothing is said, as on the other platforms.
const DEFAULT_ATTEMPTS: u32 = 5;
/// The field of reserved concurrency.
pub(crate) const MAX_INSTANCES: &str = "max_instances";
/// The field of how many calls of a queue's mapping are made at once.
pub(crate) const MAX_CONCURRENCY: &str = "max_concurrency";
/// The most messages in one call where nothing is said.
const DEFAULT_BATCH: u32 = 10;
/// What SQS and Lambda take at most; `check` says that it will be that
/// (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html>).
const MOST_ATTEMPTS: u32 = 1000;
const MOST_IN_BATCH: u32 = 10_000;
const MOST_POLLERS: u32 = 1000;
/// How often Lambda itself tries: as often as it does where nothing is said, which is the most
/// (<https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>).
pub(crate) const MOST_TRIES: u32 = 3;
/// Above it SQS asks for a window in which messages are gathered.
const WITHOUT_WINDOW: u32 = 10;

pub(crate) type Fields = BTreeMap<String, Value>;

/// A resource's id: its kind, and its name in the app.
pub(crate) fn id(kind: &str, name: &str) -> String {
    format!("{kind}/{name}")
}

fn resource(kind: &str, name: &str, fields: Fields, needs: Vec<String>) -> Resource {
    Resource { id: id(kind, name), fields, data: false, needs }
}

fn fields<const N: usize>(list: [(&str, Value); N]) -> Fields {
    list.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The role that a function is given by its configuration instead of one of its own.
pub(crate) fn given_role<'a>(desired: &'a Desired, function: &str) -> Option<&'a str> {
    desired.native.get(function)?.get("role").map(String::as_str)
}

/// Whether a function's answers are streamed.
pub(crate) fn streams(desired: &Desired, function: &str) -> bool {
    desired.native.get(function).and_then(|native| native.get("streaming")).is_some_and(|v| v == "true")
}

/// The package's hash as Lambda tells it.
pub(crate) fn code_sha256(desired: &Desired) -> String {
    desired.artifact.as_ref().map(|a| base64_encode(&a.digest)).unwrap_or_default()
}

/// Everything, what is needed first.
pub(crate) fn resources(desired: &Desired, names: &Names) -> Vec<Resource> {
    let mut all = data(desired);
    for function in &desired.spec.functions {
        all.extend(of_function(desired, names, function));
    }
    all
}

/// What Lambda takes with the call itself
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>); a larger package goes through a bucket.
pub(crate) const DIRECT_UPLOAD: usize = 50 * 1024 * 1024;
/// That bucket's name in the app.
pub(crate) const ARTIFACTS: &str = "xcloud-artifacts";

/// A bucket is made first and tagged then: one that has no tags yet is not finished.
fn tagged() -> Fields {
    fields([("tagged", true.into())])
}

/// Whether the package goes through a bucket.
pub(crate) fn is_large(desired: &Desired) -> bool {
    desired.artifact.as_ref().is_some_and(|artifact| artifact.bytes.len() > DIRECT_UPLOAD)
}

/// Queues, buckets, tables, topics.
fn data(desired: &Desired) -> Vec<Resource> {
    let existing = |resource: &Resource| {
        let own = resource.id.replacen("dead-letters/", "queue/", 1);
        desired.existing.contains_key(&own)
    };
    let mut all = all_data(desired);
    all.retain(|resource| !existing(resource));
    all
}

fn all_data(desired: &Desired) -> Vec<Resource> {
    let spec = &desired.spec;
    let mut all = Vec::new();
    if is_large(desired) {
        all.push(resource("artifacts", ARTIFACTS, tagged(), Vec::new()));
    }
    for name in &spec.queues {
        let takes =
            |f: &&FunctionSpec| matches!(&f.trigger, TriggerSpec::Queue { queue, .. } if queue == name);
        let Some(consumer) = spec.functions.iter().find(takes) else {
            all.push(resource("queue", name, Fields::new(), Vec::new()));
            continue;
        };
        let attempts = consumer.settings.max_attempts.unwrap_or(DEFAULT_ATTEMPTS).clamp(1, MOST_ATTEMPTS);
        // What AWS asks for, so that a message is not delivered again while it is being worked on
        // (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>).
        let visibility = 6 * consumer.settings.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT);
        let list =
            [("max_attempts", attempts.into()), ("visibility_timeout_seconds", visibility.max(30).into())];
        all.push(resource("dead-letters", name, Fields::new(), Vec::new()));
        all.push(resource("queue", name, fields(list), vec![id("dead-letters", name)]));
    }
    all.extend(spec.buckets.iter().map(|name| resource("bucket", name, tagged(), Vec::new())));
    let watched = |name: &String| {
        spec.functions.iter().any(|f| matches!(&f.trigger, TriggerSpec::Change { table } if table == name))
    };
    all.extend(spec.tables.iter().map(|name| {
        let stream = watched(name).then(|| ("stream".to_owned(), "NEW_AND_OLD_IMAGES".into()));
        resource("table", name, stream.into_iter().collect(), Vec::new())
    }));
    all.extend(spec.topics.iter().map(|name| resource("topic", name, Fields::new(), Vec::new())));
    all
}

/// A function with all that is its own, in the order in which it is made.
fn of_function(desired: &Desired, names: &Names, function: &FunctionSpec) -> Vec<Resource> {
    let name = function.name.as_str();
    let mut all = Vec::new();
    let mut needs = vec![id("log-group", name)];
    if given_role(desired, name).is_none() {
        let policy = role::policy(names, function);
        let list = [("trust", role::trust("lambda.amazonaws.com")), ("policy", policy)];
        all.push(resource("role", name, fields(list), Vec::new()));
        needs.push(id("role", name));
    }
    all.push(resource("log-group", name, Fields::new(), Vec::new()));
    if is_large(desired) {
        needs.push(id("artifacts", ARTIFACTS));
    }
    needs.extend(function.sends.iter().map(|queue| id("queue", queue)));
    needs.extend(function.tables.iter().map(|table| id("table", table)));
    all.push(resource("function", name, function_fields(desired, names, function), needs));
    all.push(resource("version", name, versioned(desired, names, function), vec![id("function", name)]));
    all.push(resource("alias", name, Fields::new(), vec![id("version", name)]));
    if is_async(&function.trigger) {
        let needs = vec![id("alias", name), id("failures", name)];
        all.push(resource("failures", name, Fields::new(), Vec::new()));
        all.push(resource("async", name, async_fields(names, function), needs));
    }
    all.extend(trigger(desired, names, function));
    if let Some(instances) = function.settings.min_instances {
        let list = [("instances", instances.into())];
        all.push(resource("warm", name, fields(list), vec![id("alias", name)]));
    }
    all
}

fn function_fields(desired: &Desired, names: &Names, function: &FunctionSpec) -> Fields {
    let mut all = versioned(desired, names, function);
    // Reserved concurrency: of the function, not of a version.
    if let Some(instances) = function.settings.max_instances {
        all.insert(MAX_INSTANCES.to_owned(), instances.into());
    }
    all
}

/// What a published version holds.
pub(crate) fn versioned(desired: &Desired, names: &Names, function: &FunctionSpec) -> Fields {
    let role = match given_role(desired, &function.name) {
        Some(role) => role.to_owned(),
        None => names.role_arn(&names.function(&function.name)),
    };
    let arch = desired.artifact.as_ref().map_or("x86_64", |a| a.binary.arch.as_str());
    let mut all = fields([
        ("arch", arch.into()),
        ("code_sha256", code_sha256(desired).into()),
        ("handler", xcloud_aws::binding::ENTRY.into()),
        ("log_format", "JSON".into()),
        ("role", role.into()),
        ("runtime", "provided.al2023".into()),
    ]);
    let settings = &function.settings;
    let numbers = [("memory_mb", settings.memory_mb), ("timeout_seconds", settings.timeout_seconds)];
    all.extend(numbers.into_iter().filter_map(|(name, n)| Some((name.to_owned(), Value::from(n?)))));
    all.extend(environment(desired, names, function));
    all
}

/// `env.NAME` and `secrets.NAME`.
fn environment(desired: &Desired, names: &Names, function: &FunctionSpec) -> Fields {
    let mut all = BTreeMap::from([(env::FUNCTION.to_owned(), function.name.clone())]);
    for queue in &function.sends {
        all.insert(env::queue_var(queue), format!("sqs:{}", names.queue_url(&names.queue(queue))));
    }
    if streams(desired, &function.name) {
        all.insert(env::HTTP_STREAM.to_owned(), "1".to_owned());
    }
    let secrets = desired.secrets.get(&function.name);
    if let Some(secrets) = secrets.filter(|secrets| !secrets.is_empty()) {
        let known: Vec<_> = secrets.keys().map(String::as_str).collect();
        all.insert(SECRETS.to_owned(), known.join(","));
    }
    all.extend(function.settings.env.clone().unwrap_or_default());
    let plain = all.into_iter().map(|(name, value)| (format!("env.{name}"), Value::from(value)));
    let hidden = secrets.into_iter().flatten();
    let hidden = hidden.map(|(name, value)| (format!("secrets.{name}"), value.fingerprint()));
    plain.chain(hidden).collect()
}

/// Whether Lambda itself keeps the function's events and tries again. Whoever calls with a kind of its own may do so too.
pub(crate) const fn is_async(trigger: &TriggerSpec) -> bool {
    use TriggerSpec::{Event, Object, Schedule, Topic};
    matches!(trigger, Object { .. } | Schedule { .. } | Topic { .. } | Event)
}

/// How often an event is tried, and where it goes then.
pub(crate) fn async_fields(names: &Names, function: &FunctionSpec) -> Fields {
    let attempts = function.settings.max_attempts.unwrap_or(MOST_TRIES).clamp(1, MOST_TRIES);
    let failures = names.queue_arn(&names.failures(&function.name));
    fields([("failures", failures.into()), ("max_attempts", attempts.into())])
}

/// The resource that calls the function.
fn trigger(desired: &Desired, names: &Names, function: &FunctionSpec) -> Vec<Resource> {
    let name = function.name.as_str();
    let alias = id("alias", name);
    let settings = &function.settings;
    match &function.trigger {
        TriggerSpec::Http { .. } => {
            let auth = if settings.public == Some(true) { "NONE" } else { "AWS_IAM" };
            let mode = if streams(desired, name) { "RESPONSE_STREAM" } else { "BUFFERED" };
            let list = [
                ("auth", auth.into()),
                ("invoke_mode", mode.into()),
                ("public", Value::from(auth == "NONE")),
            ];
            vec![resource("url", HTTP_FUNCTION, fields(list), vec![alias])]
        }
        TriggerSpec::Queue { queue, .. } => {
            let fields = mapping_fields(names, function);
            vec![resource("mapping", name, fields, vec![alias, id("queue", queue)])]
        }
        TriggerSpec::Change { table } => {
            let fields = mapping_fields(names, function);
            vec![resource("mapping", name, fields, vec![alias, id("table", table)])]
        }
        TriggerSpec::Object { bucket, on } => {
            let list = [("bucket", names.bucket(bucket).into()), ("events", object_events(*on).into())];
            let needs = vec![alias, id("async", name), id("bucket", bucket)];
            vec![resource("notification", name, fields(list), needs)]
        }
        TriggerSpec::Schedule { .. } => scheduled(names, function),
        TriggerSpec::Topic { topic } => {
            let list = [("topic", names.topic_arn(&names.topic(topic)).into())];
            let needs = vec![alias, id("async", name), id("topic", topic)];
            vec![resource("subscription", name, fields(list), needs)]
        }
        // Whoever has such events calls the function; what makes them is the user's own.
        _ => Vec::new(),
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html>
pub(crate) fn object_events(on: ObjectFilter) -> Vec<&'static str> {
    match on {
        ObjectFilter::Created => vec!["s3:ObjectCreated:*"],
        ObjectFilter::Deleted => vec!["s3:ObjectRemoved:*"],
        ObjectFilter::Any => vec!["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
    }
}

/// A schedule and the role that lets it call its function.
fn scheduled(names: &Names, function: &FunctionSpec) -> Vec<Resource> {
    let name = function.name.as_str();
    let list =
        [("trust", role::trust("scheduler.amazonaws.com")), ("policy", role::schedule_policy(names, name))];
    let needs = vec![id("alias", name), id("async", name), id("schedule-role", name)];
    vec![
        resource("schedule-role", name, fields(list), Vec::new()),
        resource("schedule", name, schedule_fields(function), needs),
    ]
}

/// When a schedule fires; nothing for another kind of trigger.
pub(crate) fn schedule_fields(function: &FunctionSpec) -> Fields {
    let TriggerSpec::Schedule { schedule, timezone } = &function.trigger else { return Fields::new() };
    let zone = timezone.as_deref();
    let expression = Schedule::parse(schedule).and_then(|s| lower(&s, zone, Dialect::EventBridge));
    // `check` has refused what cannot be said; what it has let through, AWS names.
    let expression = expression.unwrap_or_else(|_| schedule.clone());
    fields([
        ("enabled", true.into()),
        ("expression", expression.into()),
        ("timezone", zone.unwrap_or("UTC").into()),
    ])
}

/// How a queue or a table's stream calls the function; nothing for another kind of trigger.
pub(crate) fn mapping_fields(names: &Names, function: &FunctionSpec) -> Fields {
    let settings = &function.settings;
    match &function.trigger {
        TriggerSpec::Queue { queue, batch } => {
            let batch = batch.unwrap_or(DEFAULT_BATCH).clamp(1, MOST_IN_BATCH);
            let mut all = fields([
                ("batch", batch.into()),
                ("enabled", true.into()),
                ("partial_failure", true.into()),
                ("source", names.queue_arn(&names.queue(queue)).into()),
                ("window_seconds", u32::from(batch > WITHOUT_WINDOW).into()),
            ]);
            // Without it SQS's pollers hand over more than the function may take, and messages are put aside for that.
            if let Some(instances) = settings.max_instances {
                all.insert(MAX_CONCURRENCY.to_owned(), instances.clamp(2, MOST_POLLERS).into());
            }
            all
        }
        TriggerSpec::Change { table } => {
            let mut all = fields([
                ("enabled", true.into()),
                ("partial_failure", true.into()),
                ("source", names.table_arn(&names.table(table)).into()),
            ]);
            if let Some(attempts) = settings.max_attempts {
                all.insert("max_attempts".to_owned(), attempts.into());
            }
            all
        }
        _ => Fields::new(),
    }
}
