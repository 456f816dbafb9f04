//! CloudWatch Logs' groups.

use serde_json::json;

use super::state::{Group, State, arn};
use super::wire::{Call, Failure, Outcome, Reply};

pub(super) fn answer(state: &mut State, call: &Call) -> Outcome {
    match call.operation.as_str() {
        "CreateLogGroup" => {
            let name = call.need("logGroupName")?;
            if state.groups.contains_key(name) {
                let message = "The specified log group already exists";
                return Err(Failure::new(400, "ResourceAlreadyExistsException", message));
            }
            let tags = super::sqs::tags_of(call.body.get("tags"));
            state.groups.insert(name.to_owned(), Group { retention: None, tags });
        }
        "PutRetentionPolicy" => {
            let days = call.body["retentionInDays"].as_i64();
            group(state, call)?.retention =
                Some(days.ok_or_else(|| super::wire::missing("retentionInDays"))?);
        }
        "DeleteLogGroup" => {
            group(state, call)?;
            state.groups.remove(call.text("logGroupName"));
        }
        "ListTagsForResource" => {
            let name = call.need("resourceArn")?.split(":log-group:").nth(1).unwrap_or_default();
            let none =
                || Failure::new(400, "ResourceNotFoundException", "The specified resource does not exist.");
            let group = state.groups.get(name).ok_or_else(none)?;
            return Ok(Reply::Json(200, json!({ "tags": group.tags })));
        }
        "DescribeLogGroups" => return Ok(describe(state, call)),
        _ => return Err(Failure::unknown(call)),
    }
    Ok(Reply::Json(200, json!({})))
}

fn group<'a>(state: &'a mut State, call: &Call) -> Result<&'a mut Group, Failure> {
    let name = call.need("logGroupName")?;
    let none = || Failure::new(400, "ResourceNotFoundException", "The specified log group does not exist.");
    state.groups.get_mut(name).ok_or_else(none)
}

fn describe(state: &State, call: &Call) -> Reply {
    let prefix = call.text("logGroupNamePrefix");
    let groups = state.groups.iter().filter(|(name, _)| name.starts_with(prefix));
    let one = |(name, group): (&String, &Group)| {
        let mut one = json!({ "logGroupName": name, "arn": arn("logs", &format!("log-group:{name}:*")) });
        if let Some(days) = group.retention {
            one["retentionInDays"] = days.into();
        }
        one
    };
    Reply::Json(200, json!({ "logGroups": groups.map(one).collect::<Vec<_>>() }))
}
