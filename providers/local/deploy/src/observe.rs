//! What is: an app of the host as resources with fields.

use std::collections::BTreeMap;

use serde_json::Value;
use xcloud_core::spec::{FunctionSpec, TriggerSpec};
use xcloud_deploy::{Observed, Resource, Secret, Secrets, secret};
use xcloud_local::binding::DEFAULT_BATCH;

use crate::config::Durability;
use crate::host::api::secrets::digest;
use crate::host::api::{AppView, BucketView, HostSettings, QueueView, TableView};

/// The resources of an app that is there. Of its secrets only this is known: whether they are those that are wanted.
pub(crate) fn observed(view: &AppView, wanted: &Secrets) -> Observed {
    let queue = |queue: &QueueView| {
        queue_resource(&queue.name, Some(view.durability), queue.waiting + queue.dead > 0)
    };
    let table = |table: &TableView| table_resource(&table.name, Some(view.durability), table.rows > 0);
    let bucket = |bucket: &BucketView| place("bucket", &bucket.name, bucket.holds);
    let data = view.queues.iter().map(queue).chain(view.tables.iter().map(table));
    let data = data.chain(view.buckets.iter().map(bucket));
    let data = data.chain(view.topics.iter().map(|name| place("topic", name, false)));
    let functions = view.manifest.iter().flat_map(|manifest| {
        let of = |function: &FunctionSpec| {
            let mut resource = function_resource(function, manifest.code(), &manifest.host);
            resource.fields.extend(secrets(view, &function.name, wanted.get(&function.name)));
            resource
        };
        manifest.functions.iter().map(of)
    });
    Observed { resources: data.chain(functions).collect(), url: url(view) }
}

fn secrets<'a>(
    view: &'a AppView,
    function: &str,
    wanted: Option<&'a BTreeMap<String, Secret>>,
) -> impl Iterator<Item = (String, Value)> + 'a {
    view.secrets.get(function).into_iter().flatten().map(move |(name, told)| {
        let same = wanted.and_then(|wanted| wanted.get(name));
        let same = same.filter(|secret| digest(&view.salt, secret.expose()) == *told);
        (secret_field(name), same.map_or_else(|| "differs".into(), Secret::fingerprint))
    })
}

/// The path of a secret among a function's fields.
pub(crate) fn secret_field(name: &str) -> String {
    format!("{}{name}", secret::FIELD)
}

/// The base URL, where there is HTTP.
pub(crate) fn url(view: &AppView) -> Option<String> {
    let manifest = view.manifest.as_ref()?;
    let http = manifest.functions.iter().any(|f| f.name == xcloud_core::spec::HTTP_FUNCTION);
    view.port.filter(|_| http).map(|port| format!("http://127.0.0.1:{port}"))
}

/// A queue as a plan compares it.
pub(crate) fn queue_resource(name: &str, durability: Option<Durability>, data: bool) -> Resource {
    Resource { id: format!("queue/{name}"), fields: kept(durability), data, needs: Vec::new() }
}

/// A table as a plan compares it.
pub(crate) fn table_resource(name: &str, durability: Option<Durability>, data: bool) -> Resource {
    Resource { id: format!("table/{name}"), fields: kept(durability), data, needs: Vec::new() }
}

/// A bucket or a topic as a plan compares it.
pub(crate) fn place(kind: &str, name: &str, data: bool) -> Resource {
    Resource { id: format!("{kind}/{name}"), fields: BTreeMap::new(), data, needs: Vec::new() }
}

fn kept(durability: Option<Durability>) -> BTreeMap<String, Value> {
    durability.map(|durability| ("durability".to_owned(), durability.as_str().into())).into_iter().collect()
}

/// A function as a plan compares it. Settings that are not named are left out. `code` is what identifies the binary and,
/// where there are some, the files beside it.
pub(crate) fn function_resource(
    function: &FunctionSpec,
    (binary_sha256, files_sha256): (&str, Option<&str>),
    host: &HostSettings,
) -> Resource {
    let mut fields = BTreeMap::from([
        ("binary_sha256".to_owned(), Value::from(binary_sha256)),
        // Said of none too: files that are gone from the configuration go from what is deployed.
        ("files_sha256".to_owned(), files_sha256.into()),
        ("trigger".to_owned(), function.trigger.kind().into()),
        ("sends".to_owned(), function.sends.clone().into()),
    ]);
    if !function.tables.is_empty() {
        fields.insert("tables".to_owned(), function.tables.clone().into());
    }
    fields
        .extend(trigger_fields(&function.trigger).into_iter().map(|(name, value)| (name.to_owned(), value)));
    let settings = &function.settings;
    let numbers = [
        ("memory_mb", settings.memory_mb),
        ("timeout_seconds", settings.timeout_seconds),
        ("concurrency", settings.concurrency),
        ("min_instances", settings.min_instances),
        ("max_instances", settings.max_instances),
        ("max_attempts", settings.max_attempts),
        ("idle_timeout_seconds", host.idle_timeout_seconds),
        ("keep_versions", host.keep_versions),
    ];
    let numbers = numbers.into_iter().filter_map(|(name, n)| Some((name.to_owned(), Value::from(n?))));
    fields.extend(numbers);
    fields.extend(settings.public.map(|public| ("public".to_owned(), Value::from(public))));
    let env = settings.env.iter().flatten();
    fields.extend(env.map(|(name, value)| (format!("env.{name}"), Value::from(value.as_str()))));
    let takes = match &function.trigger {
        TriggerSpec::Queue { queue, .. } => Some(format!("queue/{queue}")),
        TriggerSpec::Object { bucket, .. } => Some(format!("bucket/{bucket}")),
        TriggerSpec::Topic { topic } => Some(format!("topic/{topic}")),
        TriggerSpec::Change { table } => Some(format!("table/{table}")),
        _ => None,
    };
    let sends = function.sends.iter().map(|queue| format!("queue/{queue}"));
    let tables = function.tables.iter().map(|table| format!("table/{table}"));
    let needs = sends.chain(tables).chain(takes).collect();
    Resource { id: format!("function/{}", function.name), fields, data: false, needs }
}

/// What calls a function, in the words of a plan.
fn trigger_fields(trigger: &TriggerSpec) -> Vec<(&'static str, Value)> {
    match trigger {
        TriggerSpec::Queue { queue, batch } => {
            vec![("queue", queue.as_str().into()), ("batch", batch.unwrap_or(DEFAULT_BATCH).into())]
        }
        TriggerSpec::Object { bucket, on } => {
            let on = serde_json::to_value(on).unwrap_or_default();
            vec![("bucket", bucket.as_str().into()), ("on", on)]
        }
        TriggerSpec::Schedule { schedule, timezone } => {
            let zone = timezone.as_deref().unwrap_or("UTC");
            vec![("schedule", schedule.as_str().into()), ("timezone", zone.into())]
        }
        TriggerSpec::Change { table } => vec![("table", table.as_str().into())],
        TriggerSpec::Topic { topic } => vec![("topic", topic.as_str().into())],
        _ => Vec::new(),
    }
}
