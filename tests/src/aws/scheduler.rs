//! EventBridge Scheduler's schedules, in the default group.

use serde_json::json;

use super::state::{State, arn};
use super::wire::{Call, Failure, Outcome, Reply, missing};

pub(super) fn answer(state: &mut State, call: &Call) -> Outcome {
    let name = call.part(1).to_owned();
    let there = state.schedules.contains_key(&name);
    let found =
        Reply::Json(200, json!({ "ScheduleArn": arn("scheduler", &format!("schedule/default/{name}")) }));
    match call.operation.as_str() {
        "CreateSchedule" if there => {
            Err(Failure::new(409, "ConflictException", format!("Schedule {name} already exists.")))
        }
        "CreateSchedule" => put(state, call, &name).map(|()| found),
        _ if !there => {
            let message = format!("Schedule {name} does not exist.");
            Err(Failure::new(404, "ResourceNotFoundException", message))
        }
        "UpdateSchedule" => put(state, call, &name).map(|()| found),
        "GetSchedule" => Ok(Reply::Json(200, state.schedules[&name].clone())),
        "DeleteSchedule" => {
            state.schedules.remove(&name);
            Ok(Reply::Json(200, json!({})))
        }
        _ => Err(Failure::unknown(call)),
    }
}

/// An update says everything anew, as a create does.
fn put(state: &mut State, call: &Call, name: &str) -> Result<(), Failure> {
    call.need("ScheduleExpression")?;
    for required in ["Target", "FlexibleTimeWindow"] {
        call.body.get(required).ok_or_else(|| missing(required))?;
    }
    let role = call.body["Target"]["RoleArn"].as_str().unwrap_or_default();
    if !state.assumable(role, "scheduler.amazonaws.com") {
        let message =
            "The execution role you provide must allow AWS EventBridge Scheduler to assume the role.";
        return Err(Failure::new(400, "ValidationException", message));
    }
    let mut schedule = call.body.clone();
    schedule["Name"] = name.into();
    if schedule["State"].is_null() {
        schedule["State"] = "ENABLED".into();
    }
    if let Some(all) = schedule.as_object_mut() {
        all.remove("ClientToken");
    }
    state.schedules.insert(name.to_owned(), schedule);
    Ok(())
}
