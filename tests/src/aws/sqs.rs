//! SQS's queues.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::state::{ACCOUNT, Queue, REGION, State, Tags, arn};
use super::wire::{Call, Failure, Outcome, Reply};

/// What a queue has where nothing is said.
const DEFAULTS: [(&str, &str); 4] = [
    ("VisibilityTimeout", "30"),
    ("MessageRetentionPeriod", "345600"),
    ("DelaySeconds", "0"),
    ("ReceiveMessageWaitTimeSeconds", "0"),
];

pub(super) fn answer(state: &mut State, call: &Call) -> Outcome {
    if call.operation == "CreateQueue" {
        return create(state, call);
    }
    let name = call.need("QueueUrl")?.rsplit('/').next().unwrap_or_default().to_owned();
    let queue = state.queues.get(&name).ok_or_else(none)?.clone();
    match call.operation.as_str() {
        "GetQueueAttributes" => {
            let mut all = queue.attributes;
            all.insert("QueueArn".to_owned(), arn("sqs", &name));
            for waiting in ["", "NotVisible", "Delayed"] {
                all.insert(format!("ApproximateNumberOfMessages{waiting}"), "0".to_owned());
            }
            Ok(Reply::Json(200, json!({ "Attributes": all })))
        }
        "ListQueueTags" => Ok(Reply::Json(200, json!({ "Tags": queue.tags }))),
        "SetQueueAttributes" => {
            let given = attributes(call);
            valid(state, &given)?;
            if let Some(queue) = state.queues.get_mut(&name) {
                queue.attributes.extend(given);
            }
            Ok(Reply::Json(200, json!({})))
        }
        "DeleteQueue" => {
            state.queues.remove(&name);
            Ok(Reply::Json(200, json!({})))
        }
        _ => Err(Failure::unknown(call)),
    }
}

/// The same queue again is the one that is there; with other attributes it is refused.
fn create(state: &mut State, call: &Call) -> Outcome {
    let name = call.need("QueueName")?;
    let given = attributes(call);
    let url = json!({ "QueueUrl": format!("https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}") });
    if let Some(queue) = state.queues.get(name) {
        let same = given.iter().all(|(key, value)| queue.attributes.get(key) == Some(value));
        let message = "A queue already exists with the same name and a different value for attributes";
        let exists = Failure::new(400, "QueueNameExists|QueueAlreadyExists", message);
        return if same { Ok(Reply::Json(200, url)) } else { Err(exists) };
    }
    valid(state, &given)?;
    let mut attributes: BTreeMap<_, _> =
        DEFAULTS.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    attributes.extend(given);
    let tags = call.body.get("tags").or_else(|| call.body.get("Tags"));
    state.queues.insert(name.to_owned(), Queue { attributes, tags: tags_of(tags) });
    Ok(Reply::Json(200, url))
}

fn attributes(call: &Call) -> BTreeMap<String, String> {
    let given = call.body["Attributes"].as_object().into_iter().flatten();
    given.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// Where what was put aside goes has to be there.
fn valid(state: &State, given: &BTreeMap<String, String>) -> Result<(), Failure> {
    let Some(policy) = given.get("RedrivePolicy") else { return Ok(()) };
    let value: Value = serde_json::from_str(policy).unwrap_or_default();
    let target = value["deadLetterTargetArn"].as_str().and_then(|arn| arn.rsplit(':').next());
    if target.is_some_and(|queue| state.queues.contains_key(queue)) {
        return Ok(());
    }
    let message = format!(
        "Value {policy} for parameter RedrivePolicy is invalid. Reason: Dead letter target does not exist."
    );
    Err(Failure::new(400, "InvalidAttributeValue|InvalidParameterValue", message))
}

/// A map of tags as the JSON protocols have it.
pub(super) fn tags_of(value: Option<&Value>) -> Tags {
    let all = value.and_then(Value::as_object).into_iter().flatten();
    all.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn none() -> Failure {
    let code = "QueueDoesNotExist|AWS.SimpleQueueService.NonExistentQueue";
    Failure::new(400, code, "The specified queue does not exist.")
}
