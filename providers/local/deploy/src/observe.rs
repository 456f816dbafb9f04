//! What is: an app of the host as resources with fields.

use std::collections::BTreeMap;

use serde_json::Value;
use xcloud_core::spec::{FunctionSpec, TriggerSpec};
use xcloud_deploy::{Observed, Resource};
use xcloud_local::binding::DEFAULT_BATCH;

use crate::config::Durability;
use crate::host::api::{AppView, HostSettings, QueueView, TableView};

/// The resources of an app that is there.
pub(crate) fn observed(view: &AppView) -> Observed {
    let queue = |queue: &QueueView| {
        queue_resource(&queue.name, Some(view.durability), queue.waiting + queue.dead > 0)
    };
    let table = |table: &TableView| table_resource(&table.name, Some(view.durability), table.rows > 0);
    let data = view.queues.iter().map(queue).chain(view.tables.iter().map(table));
    let functions = view.manifest.iter().flat_map(|manifest| {
        let of = |function| function_resource(function, &manifest.binary_sha256, &manifest.host);
        manifest.functions.iter().map(of)
    });
    Observed { resources: data.chain(functions).collect(), url: url(view) }
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

fn kept(durability: Option<Durability>) -> BTreeMap<String, Value> {
    durability.map(|durability| ("durability".to_owned(), durability.as_str().into())).into_iter().collect()
}

/// A function as a plan compares it. Settings that are not named are left out.
pub(crate) fn function_resource(
    function: &FunctionSpec,
    binary_sha256: &str,
    host: &HostSettings,
) -> Resource {
    let mut fields = BTreeMap::from([
        ("binary_sha256".to_owned(), Value::from(binary_sha256)),
        ("trigger".to_owned(), function.trigger.kind().into()),
        ("sends".to_owned(), function.sends.clone().into()),
    ]);
    if !function.tables.is_empty() {
        fields.insert("tables".to_owned(), function.tables.clone().into());
    }
    if let TriggerSpec::Queue { queue, batch } = &function.trigger {
        fields.insert("queue".to_owned(), queue.as_str().into());
        fields.insert("batch".to_owned(), batch.unwrap_or(DEFAULT_BATCH).into());
    }
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
        TriggerSpec::Queue { queue, .. } => Some(queue),
        _ => None,
    };
    let needs = function.sends.iter().chain(takes).map(|queue| format!("queue/{queue}")).collect();
    Resource { id: format!("function/{}", function.name), fields, data: false, needs }
}
