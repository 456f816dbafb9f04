//! Functions' URLs, and the instances that are kept for an alias.

use serde_json::{Value, json};

use super::super::state::{NOW, REGION, State, arn, still};
use super::super::wire::{Call, Failure, Outcome, Reply, missing};
use super::permissions::qualified;
use super::{Warm, conflict, function, named};

pub(super) fn answer(state: &mut State, call: &Call) -> Outcome {
    let (name, qualifier) = named(call);
    let function = function(state, &name)?;
    qualified(function, &name, qualifier.as_deref())?;
    let qualifier = qualifier.unwrap_or_default();
    let there = function.urls.get_mut(&qualifier);
    match call.operation.as_str() {
        "CreateFunctionUrlConfig" if there.is_some() => {
            Err(conflict("FunctionUrlConfig exists for this Lambda function"))
        }
        "CreateFunctionUrlConfig" => {
            let mut url = json!({
                "FunctionUrl": format!("https://{name}.lambda-url.{REGION}.on.aws/"),
                "FunctionArn": arn("lambda", &format!("function:{name}:{qualifier}")),
                "AuthType": call.need("AuthType")?,
                "InvokeMode": "BUFFERED",
                "CreationTime": NOW,
                "LastModifiedTime": NOW,
            });
            set(&mut url, call);
            function.urls.insert(qualifier, url.clone());
            Ok(Reply::Json(201, url))
        }
        "GetFunctionUrlConfig" => Ok(Reply::Json(200, there.ok_or_else(none)?.clone())),
        "UpdateFunctionUrlConfig" => {
            let url = there.ok_or_else(none)?;
            set(url, call);
            Ok(Reply::Json(200, url.clone()))
        }
        "DeleteFunctionUrlConfig" => {
            function.urls.remove(&qualifier).ok_or_else(none)?;
            Ok(Reply::Empty(204))
        }
        _ => Err(Failure::unknown(call)),
    }
}

fn set(url: &mut Value, call: &Call) {
    for member in ["AuthType", "InvokeMode", "Cors"] {
        if !call.body[member].is_null() {
            url[member] = call.body[member].clone();
        }
    }
}

fn none() -> Failure {
    Failure::new(404, "ResourceNotFoundException", "The resource you requested does not exist.")
}

/// Provisioned concurrency.
pub(super) fn warm(state: &mut State, call: &Call) -> Outcome {
    let busy = state.settings.settles;
    let (name, qualifier) = named(call);
    let function = function(state, &name)?;
    qualified(function, &name, qualifier.as_deref())?;
    let qualifier = qualifier.ok_or_else(|| missing("Qualifier"))?;
    match call.operation.as_str() {
        "PutProvisionedConcurrencyConfig" => {
            let instances = call.body["ProvisionedConcurrentExecutions"].as_i64();
            let instances = instances.ok_or_else(|| missing("ProvisionedConcurrentExecutions"))?;
            let warm = Warm { instances, busy };
            let answer = kept(&warm);
            function.warm.insert(qualifier, warm);
            Ok(Reply::Json(202, answer))
        }
        "GetProvisionedConcurrencyConfig" => {
            let none =
                || Failure::new(404, "ProvisionedConcurrencyConfigNotFoundException", "No such config");
            let warm = function.warm.get_mut(&qualifier).ok_or_else(none)?;
            let answer = kept(warm);
            still(&mut warm.busy);
            Ok(Reply::Json(200, answer))
        }
        "DeleteProvisionedConcurrencyConfig" => {
            function.warm.remove(&qualifier);
            Ok(Reply::Empty(204))
        }
        _ => Err(Failure::unknown(call)),
    }
}

fn kept(warm: &Warm) -> Value {
    json!({
        "RequestedProvisionedConcurrentExecutions": warm.instances,
        "Status": if warm.busy > 0 { "IN_PROGRESS" } else { "READY" },
    })
}
