//! Resource policies: who may call a function.

use serde_json::{Value, json};

use super::super::state::{State, arn};
use super::super::wire::{Call, Failure, Outcome, Reply};
use super::{Function, absent, conflict, function, named, split};

pub(super) fn answer(state: &mut State, call: &Call) -> Outcome {
    let (name, qualifier) = named(call);
    let function = function(state, &name)?;
    qualified(function, &name, qualifier.as_deref())?;
    let qualifier = qualifier.unwrap_or_default();
    let resource = if qualifier.is_empty() { name } else { format!("{name}:{qualifier}") };
    let resource = arn("lambda", &format!("function:{resource}"));
    match call.operation.as_str() {
        "AddPermission" => add(function, call, qualifier, &resource),
        "GetPolicy" => {
            let statements =
                function.policies.get(&qualifier).filter(|all| !all.is_empty()).ok_or_else(none)?;
            let policy = json!({ "Version": "2012-10-17", "Id": "default", "Statement": statements });
            Ok(Reply::Json(200, json!({ "Policy": policy.to_string(), "RevisionId": "0" })))
        }
        "RemovePermission" => {
            let statements = function.policies.entry(qualifier).or_default();
            let at = statements.iter().position(|statement| statement["Sid"] == call.part(4));
            statements.remove(at.ok_or_else(none)?);
            Ok(Reply::Empty(204))
        }
        _ => Err(Failure::unknown(call)),
    }
}

fn add(function: &mut Function, call: &Call, qualifier: String, resource: &str) -> Outcome {
    let statements = function.policies.entry(qualifier).or_default();
    let id = call.need("StatementId")?;
    let (action, principal) = (call.need("Action")?, call.need("Principal")?);
    if statements.iter().any(|statement| statement["Sid"] == id) {
        let message =
            format!("The statement id ({id}) provided already exists. Please provide a new statement id");
        return Err(conflict(&message));
    }
    let principal = if principal == "*" { json!("*") } else { json!({ "Service": principal }) };
    let mut statement = json!({
        "Sid": id,
        "Effect": "Allow",
        "Principal": principal,
        "Action": action,
        "Resource": resource,
    });
    let conditions = conditions(call);
    if conditions.as_object().is_some_and(|all| !all.is_empty()) {
        statement["Condition"] = conditions;
    }
    statements.push(statement.clone());
    Ok(Reply::Json(201, json!({ "Statement": statement.to_string() })))
}

fn conditions(call: &Call) -> Value {
    let mut all = json!({});
    for (member, operator, key) in [
        ("SourceAccount", "StringEquals", "AWS:SourceAccount"),
        ("FunctionUrlAuthType", "StringEquals", "lambda:FunctionUrlAuthType"),
        ("SourceArn", "ArnLike", "AWS:SourceArn"),
    ] {
        if let Some(value) = call.body[member].as_str() {
            all[operator][key] = value.into();
        }
    }
    if call.body["InvokedViaFunctionUrl"] == true {
        all["Bool"]["lambda:InvokedViaFunctionUrl"] = "true".into();
    }
    all
}

/// Whether a function by its ARN lets a service call it.
pub(crate) fn lets_call(state: &State, function_arn: &str, service: &str) -> bool {
    let (name, qualifier) = split(function_arn);
    let policies = state.functions.get(&name).map(|function| &function.policies);
    let statements = policies.and_then(|all| all.get(&qualifier.unwrap_or_default()));
    statements.into_iter().flatten().any(|statement| statement["Principal"]["Service"] == service)
}

/// A qualifier has to be an alias or a version that is there.
pub(super) fn qualified(function: &Function, name: &str, qualifier: Option<&str>) -> Result<(), Failure> {
    let Some(qualifier) = qualifier else { return Ok(()) };
    let number = qualifier.parse::<u64>().ok();
    let there = function.aliases.contains_key(qualifier)
        || number.is_some_and(|number| function.versions.contains_key(&number));
    there.then_some(()).ok_or_else(|| absent(&format!("{name}:{qualifier}")))
}

fn none() -> Failure {
    Failure::new(404, "ResourceNotFoundException", "The resource you requested does not exist.")
}
