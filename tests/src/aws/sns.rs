//! SNS's topics and subscriptions.

use super::state::{State, Topic, arn};
use super::wire::xml::{element, leaf};
use super::wire::{Call, Failure, Outcome, Reply};

pub(super) fn answer(state: &mut State, call: &Call) -> Outcome {
    match call.operation.as_str() {
        "CreateTopic" => {
            let name = call.need("Name")?.to_owned();
            let tags = super::iam::tags(call);
            let topic_arn = arn("sns", &name);
            let topic =
                state.topics.entry(name).or_insert_with(|| Topic { tags: tags.clone(), ..Topic::default() });
            if topic.tags != tags {
                let message = "Invalid parameter: Tags Reason: Topic already exists with different tags";
                return Err(Failure::new(400, "InvalidParameter", message));
            }
            Ok(Reply::Result(leaf("TopicArn", &topic_arn)))
        }
        "ListTagsForResource" => {
            let topic = topic(state, call.need("ResourceArn")?);
            let topic =
                topic.ok_or_else(|| Failure::new(404, "ResourceNotFound", "Resource does not exist"))?;
            let tag = |(key, value): (&String, &String)| {
                element("member", &(leaf("Key", key) + &leaf("Value", value)))
            };
            let tags: String = topic.tags.iter().map(tag).collect();
            Ok(Reply::Result(element("Tags", &tags)))
        }
        "Unsubscribe" => {
            let subscription = call.need("SubscriptionArn")?;
            for topic in state.topics.values_mut() {
                topic.subscriptions.remove(subscription);
            }
            Ok(Reply::Result(String::new()))
        }
        "DeleteTopic" => {
            state.topics.remove(last(call.need("TopicArn")?));
            Ok(Reply::Result(String::new()))
        }
        "Subscribe" => subscribe(state, call),
        _ => of_topic(state, call),
    }
}

fn of_topic(state: &State, call: &Call) -> Outcome {
    let topic_arn = call.need("TopicArn")?;
    let topic = topic(state, topic_arn).ok_or_else(none)?;
    match call.operation.as_str() {
        "GetTopicAttributes" => {
            let entry = element("entry", &(leaf("key", "TopicArn") + &leaf("value", topic_arn)));
            Ok(Reply::Result(element("Attributes", &entry)))
        }
        "ListSubscriptionsByTopic" => {
            let one = |(subscription, endpoint): (&String, &String)| {
                let of = [
                    leaf("TopicArn", topic_arn),
                    leaf("Protocol", "lambda"),
                    leaf("SubscriptionArn", subscription),
                    leaf("Endpoint", endpoint),
                ];
                element("member", &of.concat())
            };
            let all: String = topic.subscriptions.iter().map(one).collect();
            Ok(Reply::Result(element("Subscriptions", &all)))
        }
        _ => Err(Failure::unknown(call)),
    }
}

/// An endpoint that is subscribed has its subscription already.
fn subscribe(state: &mut State, call: &Call) -> Outcome {
    let (topic_arn, endpoint) = (call.need("TopicArn")?, call.need("Endpoint")?);
    let made = format!("{topic_arn}:{}", state.id());
    let topic = state.topics.get_mut(last(topic_arn)).ok_or_else(none)?;
    let there = topic.subscriptions.iter().find(|(_, other)| *other == endpoint).map(|(arn, _)| arn.clone());
    let subscription = there.unwrap_or(made);
    topic.subscriptions.insert(subscription.clone(), endpoint.to_owned());
    Ok(Reply::Result(leaf("SubscriptionArn", &subscription)))
}

fn topic<'a>(state: &'a State, arn: &str) -> Option<&'a Topic> {
    state.topics.get(last(arn))
}

fn last(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or_default()
}

fn none() -> Failure {
    Failure::new(404, "NotFound", "Topic does not exist")
}
