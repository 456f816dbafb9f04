//! How calls are tried again that nobody waits for, and where they go in the end.

use serde_json::{Value, json};

use super::super::state::{State, arn};
use super::super::wire::{Call, Failure, Outcome, Reply};
use super::permissions::qualified;
use super::{function, invalid, named};

pub(super) fn answer(state: &mut State, call: &Call) -> Outcome {
    let (name, qualifier) = named(call);
    let there = function(state, &name)?;
    qualified(there, &name, qualifier.as_deref())?;
    let role = there.config["Role"].as_str().unwrap_or_default().to_owned();
    let qualifier = qualifier.unwrap_or_default();
    let known = there.tries.get(&qualifier).cloned();
    let config = match call.operation.as_str() {
        "GetFunctionEventInvokeConfig" => return Ok(Reply::Json(200, known.ok_or_else(|| none(&name))?)),
        "DeleteFunctionEventInvokeConfig" => {
            there.tries.remove(&qualifier).ok_or_else(|| none(&name))?;
            return Ok(Reply::Empty(204));
        }
        "PutFunctionEventInvokeConfig" => json!({
            "FunctionArn": arn("lambda", &format!("function:{name}:{qualifier}")),
            "MaximumRetryAttempts": 2,
            "MaximumEventAgeInSeconds": 21600,
            "LastModified": 1_767_225_600,
        }),
        _ => return Err(Failure::unknown(call)),
    };
    let config = set(state, &role, config, &call.body)?;
    function(state, &name)?.tries.insert(qualifier, config.clone());
    Ok(Reply::Json(200, config))
}

fn set(state: &State, role: &str, mut config: Value, asked: &Value) -> Result<Value, Failure> {
    for member in ["MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig"] {
        if !asked[member].is_null() {
            config[member] = asked[member].clone();
        }
    }
    if !config["MaximumRetryAttempts"].as_i64().is_some_and(|tries| (0..=2).contains(&tries)) {
        return Err(invalid("MaximumRetryAttempts is not between 0 and 2"));
    }
    if let Some(target) = config["DestinationConfig"]["OnFailure"]["Destination"].as_str() {
        let queue = target.rsplit(':').next().and_then(|name| state.queues.get(name));
        if queue.is_none() {
            return Err(invalid(&format!("The destination ARN {target} is invalid.")));
        }
        if !state.allows(role, "sqs:SendMessage") {
            let message = format!(
                "The provided destination config is invalid: The function's execution role does not have permissions to call SendMessage on {target}"
            );
            return Err(invalid(&message));
        }
    }
    Ok(config)
}

fn none(name: &str) -> Failure {
    let message = format!("The function {name} doesn't have an EventInvokeConfig");
    Failure::new(404, "ResourceNotFoundException", &message)
}
