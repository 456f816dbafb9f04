//! The tagging service: what bears which tags. IAM's roles are not its.

use serde_json::{Value, json};

use super::state::{State, Tags, arn};
use super::wire::{Call, Failure, Outcome, Reply};

pub(super) fn answer(state: &mut State, call: &Call) -> Outcome {
    if call.operation != "GetResources" {
        return Err(Failure::unknown(call));
    }
    let filters = call.body["TagFilters"].as_array().cloned().unwrap_or_default();
    let of = |tags: &Tags| filters.iter().all(|filter| fits(tags, filter));
    let found = tagged(state).into_iter().filter(|(_, tags)| of(tags));
    let one = |(arn, tags): (String, &Tags)| {
        let tags: Vec<_> = tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
        json!({ "ResourceARN": arn, "Tags": tags })
    };
    let all: Vec<_> = found.map(one).collect();
    Ok(Reply::Json(200, json!({ "PaginationToken": "", "ResourceTagMappingList": all })))
}

fn fits(tags: &Tags, filter: &Value) -> bool {
    let value = filter["Key"].as_str().and_then(|key| tags.get(key));
    let values = filter["Values"].as_array().cloned().unwrap_or_default();
    value.is_some_and(|value| values.is_empty() || values.iter().any(|other| other == value.as_str()))
}

/// Everything that has tags, by its ARN.
pub(super) fn tagged(state: &State) -> Vec<(String, &Tags)> {
    let mut all: Vec<(String, &Tags)> = Vec::new();
    all.extend(state.functions.iter().map(|(n, f)| (arn("lambda", &format!("function:{n}")), &f.tags)));
    let mapping = |uuid: &String| arn("lambda", &format!("event-source-mapping:{uuid}"));
    all.extend(state.mappings.iter().map(|(uuid, m)| (mapping(uuid), &m.tags)));
    all.extend(state.queues.iter().map(|(name, queue)| (arn("sqs", name), &queue.tags)));
    all.extend(state.buckets.iter().map(|(name, bucket)| (format!("arn:aws:s3:::{name}"), &bucket.tags)));
    all.extend(state.tables.iter().map(|(n, t)| (arn("dynamodb", &format!("table/{n}")), &t.tags)));
    all.extend(state.topics.iter().map(|(name, topic)| (arn("sns", name), &topic.tags)));
    all.extend(state.groups.iter().map(|(n, g)| (arn("logs", &format!("log-group:{n}")), &g.tags)));
    all
}
