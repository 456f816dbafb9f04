//! Event source mappings: queues and streams that call functions.

use serde_json::{Value, json};

use super::super::state::{State, Tags, arn, still};
use super::super::wire::{Call, Failure, Outcome, Reply};
use super::permissions::qualified;
use super::{conflict, function, invalid, split};

/// A mapping.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mapping {
    pub(in super::super) config: Value,
    pub(in super::super) tags: Tags,
    /// What is being done to it: `Creating`, `Updating`, `Deleting`.
    pub(in super::super) doing: &'static str,
    pub(in super::super) busy: u32,
}

/// What can be said anew.
const SETTABLE: [&str; 7] = [
    "BatchSize",
    "MaximumBatchingWindowInSeconds",
    "ScalingConfig",
    "MaximumRetryAttempts",
    "FunctionResponseTypes",
    "BisectBatchOnFunctionError",
    "Enabled",
];

pub(super) fn answer(state: &mut State, call: &Call) -> Outcome {
    let settles = state.settings.settles;
    match call.operation.as_str() {
        "CreateEventSourceMapping" => return create(state, call),
        "ListEventSourceMappings" => return list(state, call),
        _ => {}
    }
    let uuid = call.part(2).to_owned();
    let mapping = state.mappings.get_mut(&uuid).ok_or_else(none)?;
    let busy = mapping.busy > 0;
    let done = match call.operation.as_str() {
        "GetEventSourceMapping" => {
            let answer = shown(mapping);
            still(&mut mapping.busy);
            Reply::Json(200, answer)
        }
        "UpdateEventSourceMapping" | "DeleteEventSourceMapping" if busy => {
            still(&mut mapping.busy);
            let message = "Cannot update the event source mapping because it is in use.";
            return Err(Failure::new(400, "ResourceInUseException", message));
        }
        "UpdateEventSourceMapping" => {
            set(&mut mapping.config, &call.body);
            (mapping.doing, mapping.busy) = ("Updating", settles);
            Reply::Json(202, shown(mapping))
        }
        "DeleteEventSourceMapping" => {
            (mapping.doing, mapping.busy) = ("Deleting", settles);
            Reply::Json(202, shown(mapping))
        }
        _ => return Err(Failure::unknown(call)),
    };
    sweep(state);
    Ok(done)
}

/// Those that were being deleted are gone in the end.
fn sweep(state: &mut State) {
    state.mappings.retain(|_, mapping| mapping.doing != "Deleting" || mapping.busy > 0);
}

fn create(state: &mut State, call: &Call) -> Outcome {
    let (name, qualifier) = split(call.need("FunctionName")?);
    let source = call.need("EventSourceArn")?;
    let id = state.id();
    let function = function(state, &name).map_err(|_| invalid("Function does not exist"))?;
    qualified(function, &name, qualifier.as_deref())?;
    let config = function.config.clone();
    readable(state, source, &config)?;
    let full = qualifier.map_or_else(|| name.clone(), |qualifier| format!("{name}:{qualifier}"));
    let function_arn = arn("lambda", &format!("function:{full}"));
    let same = |m: &&Mapping| {
        m.config["EventSourceArn"] == source && m.config["FunctionArn"] == function_arn.as_str()
    };
    if let Some(other) = state.mappings.values().find(same) {
        let message = format!(
            "An event source mapping with SQS arn (\" {source} \") and function (\" {function_arn} \") already exists. \
             Please update or delete the existing mapping with UUID {}",
            other.config["UUID"].as_str().unwrap_or_default()
        );
        return Err(conflict(&message));
    }
    let mut config = json!({
        "UUID": id,
        "EventSourceArn": source,
        "FunctionArn": function_arn,
        "BatchSize": if source.contains(":sqs:") { 10 } else { 100 },
        "MaximumBatchingWindowInSeconds": 0,
        "Enabled": true,
    });
    if call.body["StartingPosition"].is_string() {
        config["StartingPosition"] = call.body["StartingPosition"].clone();
    }
    set(&mut config, &call.body);
    let tags = super::super::sqs::tags_of(call.body.get("Tags"));
    let mapping = Mapping { config, tags, doing: "Creating", busy: state.settings.settles };
    let answer = shown(&mapping);
    state.mappings.insert(id, mapping);
    Ok(Reply::Json(202, answer))
}

/// The source has to be there, and the function's role has to be allowed to read it.
fn readable(state: &State, source: &str, config: &Value) -> Result<(), Failure> {
    let role = config["Role"].as_str().unwrap_or_default();
    if source.contains(":dynamodb:") {
        let is = |stream: &Value| stream["LatestStreamArn"] == source;
        let there = state.tables.values().any(|table| is(&table.description));
        if there && state.allows(role, "dynamodb:GetRecords") {
            return Ok(());
        }
        return Err(invalid(&format!(
            "Cannot access stream {source}. Please ensure the role can perform GetRecords"
        )));
    }
    let queue = source.rsplit(':').next().and_then(|name| state.queues.get(name));
    let queue = queue
        .ok_or_else(|| invalid("Error occurred while ReceiveMessage. SQS Error Code: NonExistentQueue"))?;
    if !state.allows(role, "sqs:ReceiveMessage") {
        let message = "The provided execution role does not have permissions to call ReceiveMessage on SQS";
        return Err(invalid(message));
    }
    let seconds = queue.attributes.get("VisibilityTimeout").and_then(|seconds| seconds.parse::<i64>().ok());
    if seconds.unwrap_or(30) < config["Timeout"].as_i64().unwrap_or(3) {
        return Err(invalid("Queue visibility timeout is less than Function timeout"));
    }
    Ok(())
}

fn list(state: &mut State, call: &Call) -> Outcome {
    let asked = call.query.get("FunctionName").map(|name| split(name));
    if let Some((name, _)) = &asked {
        function(state, name)?;
    }
    let full = asked.map(|(name, qualifier)| qualifier.map_or(name.clone(), |q| format!("{name}:{q}")));
    let wanted = full.map(|full| arn("lambda", &format!("function:{full}")));
    let mut all = Vec::new();
    for mapping in state.mappings.values_mut() {
        if wanted.as_ref().is_none_or(|wanted| mapping.config["FunctionArn"] == wanted.as_str()) {
            all.push(shown(mapping));
            still(&mut mapping.busy);
        }
    }
    sweep(state);
    Ok(Reply::Json(200, json!({ "EventSourceMappings": all })))
}

fn set(config: &mut Value, asked: &Value) {
    for key in SETTABLE.into_iter().filter(|key| !asked[*key].is_null()) {
        config[key] = asked[key].clone();
    }
    // "To remove the maximum concurrency setting, pass an empty value."
    if let Some(config) = config.as_object_mut() {
        config.retain(|key, value| key != "ScalingConfig" || !value["MaximumConcurrency"].is_null());
    }
}

fn shown(mapping: &Mapping) -> Value {
    let mut config = mapping.config.clone();
    let state = match (mapping.busy, &config["Enabled"]) {
        (1.., _) => mapping.doing,
        (_, Value::Bool(false)) => "Disabled",
        _ if mapping.doing == "Deleting" => "Deleting",
        _ => "Enabled",
    };
    config["State"] = state.into();
    if let Some(all) = config.as_object_mut() {
        all.remove("Enabled");
    }
    config
}

fn none() -> Failure {
    Failure::new(404, "ResourceNotFoundException", "The resource you requested does not exist.")
}
