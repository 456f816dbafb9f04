//! Queues, buckets, tables, topics.

use std::collections::BTreeSet;

use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use serde_json::Value;
use xcloud_core::Result;
use xcloud_core::spec::FunctionSpec;
use xcloud_deploy::Resource;

use super::{Look, foreign, found, ours};
use crate::error::{failed, optional};
use crate::names::FAILURES;
use crate::wanted::{ARTIFACTS, Fields, id, is_async, is_large};

/// All of them.
pub(super) async fn all(look: &Look<'_>) -> Result<Vec<Resource>> {
    let (queues, failures, buckets, tables, topics) =
        tokio::try_join!(queues(look), failures(look), buckets(look), tables(look), topics(look))?;
    Ok([queues, failures, buckets, tables, topics].into_iter().flatten().collect())
}

/// The wanted names, then those of the stage's other things whose ARNs begin with `start`.
fn named(
    look: &Look<'_>,
    (kind, wanted): (&str, &[String]),
    start: &str,
    own: impl Fn(&str) -> String,
) -> Vec<String> {
    let existing = |name: &&String| look.desired.existing.contains_key(&id(kind, name));
    let mut all: Vec<_> = wanted.iter().filter(|name| !existing(name)).cloned().collect();
    let taken: BTreeSet<_> = wanted.iter().map(|name| own(name)).collect();
    let others = look.tagged.iter().filter_map(|arn| arn.strip_prefix(start));
    let others = others.filter(|resource| !resource.contains(['/', ':']) && !taken.contains(*resource));
    all.extend(others.filter_map(|resource| look.names.logical(resource)).map(str::to_owned));
    all
}

async fn queues(look: &Look<'_>) -> Result<Vec<Resource>> {
    let start = look.names.queue_arn("");
    let mut all = Vec::new();
    let mut seen = BTreeSet::new();
    for name in named(look, ("queue", &look.desired.spec.queues), &start, |name| look.names.queue(name)) {
        // A queue that is wanted may be called as it likes.
        let wanted = look.desired.spec.queues.contains(&name);
        if !wanted && name.ends_with(FAILURES) {
            continue;
        }
        let name = name.strip_suffix("_dead").unwrap_or(&name).to_owned();
        if seen.insert(name.clone()) {
            all.extend(queue(look, &name).await?);
        }
    }
    Ok(all)
}

/// The queues for what Lambda has given up on: of the functions that are to have one, and of those that had.
async fn failures(look: &Look<'_>) -> Result<Vec<Resource>> {
    let of = |function: &&FunctionSpec| is_async(&function.trigger);
    let wanted = look.desired.spec.functions.iter().filter(of).map(|function| function.name.clone());
    let start = look.names.queue_arn("");
    let there = look.tagged.iter().filter_map(|arn| look.names.logical(arn.strip_prefix(&start)?));
    let there = there.filter(|name| !look.desired.spec.queues.iter().any(|queue| queue == name));
    let there = there.filter_map(|name| name.strip_suffix(FAILURES)).map(str::to_owned);
    let functions: BTreeSet<String> = wanted.chain(there).collect();
    let mut all = Vec::new();
    for function in functions {
        if let Some((_, data)) = one_queue(look, &look.names.failures(&function)).await? {
            all.push(Resource { data, ..found("failures", &function, Fields::new(), Vec::new()) });
        }
    }
    Ok(all)
}

/// A queue, and the one for what was put aside.
async fn queue(look: &Look<'_>, name: &str) -> Result<Vec<Resource>> {
    let (own, dead) = (look.names.queue(name), look.names.dead_letters(name));
    let (own, dead) = tokio::try_join!(one_queue(look, &own), one_queue(look, &dead))?;
    let holds = |queue: &Option<(Fields, bool)>| queue.as_ref().is_some_and(|(_, holds)| *holds);
    let (own_holds, any_holds) = (holds(&own), holds(&own) || holds(&dead));
    let mut all = Vec::new();
    if dead.is_some() {
        // Where the queue stays, so does what it hands its failures to.
        let aside = found("dead-letters", name, Fields::new(), Vec::new());
        all.push(Resource { data: any_holds, ..aside });
    }
    if let Some((fields, _)) = own {
        let needs = vec![id("dead-letters", name)];
        all.push(Resource { data: own_holds, ..found("queue", name, fields, needs) });
    }
    Ok(all)
}

/// Its fields, and whether it holds messages.
async fn one_queue(look: &Look<'_>, queue: &str) -> Result<Option<(Fields, bool)>> {
    let url = look.names.queue_url(queue);
    let sqs = look.session.read.sqs();
    let asked = sqs.get_queue_attributes().queue_url(&url).attribute_names(Attribute::All).send().await;
    let Some(answer) = optional(asked.map_err(failed("sqs:GetQueueAttributes", queue)))? else {
        return Ok(None);
    };
    if !look.is_tagged(&look.names.queue_arn(queue)) {
        let tags = sqs.list_queue_tags().queue_url(&url).send().await;
        let tags = tags.map_err(failed("sqs:ListQueueTags", queue))?.tags.unwrap_or_default();
        if !ours(look.names, |key| tags.get(key).cloned()) {
            return Err(foreign(look.names, "queue", queue));
        }
    }
    let attributes = answer.attributes.unwrap_or_default();
    let number = |name: &Attribute| attributes.get(name).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    let holding = [
        Attribute::ApproximateNumberOfMessages,
        Attribute::ApproximateNumberOfMessagesNotVisible,
        Attribute::ApproximateNumberOfMessagesDelayed,
    ];
    let mut fields = Fields::new();
    fields.insert("visibility_timeout_seconds".to_owned(), number(&Attribute::VisibilityTimeout).into());
    let redrive =
        attributes.get(&Attribute::RedrivePolicy).and_then(|r| serde_json::from_str::<Value>(r).ok());
    // A number, or a number in a text: both are met.
    let attempts = redrive.as_ref().map(|r| &r["maxReceiveCount"]);
    let attempts = attempts.and_then(|n| n.as_u64().or_else(|| n.as_str()?.parse().ok()));
    fields.extend(attempts.map(|n| ("max_attempts".to_owned(), Value::from(n))));
    Ok(Some((fields, holding.iter().any(|name| number(name) > 0))))
}

async fn buckets(look: &Look<'_>) -> Result<Vec<Resource>> {
    let start = look.names.bucket_arn("");
    let mut wanted = look.desired.spec.buckets.clone();
    if is_large(look.desired) {
        wanted.push(ARTIFACTS.to_owned());
    }
    let mut all = Vec::new();
    for name in named(look, ("bucket", &wanted), &start, |name| look.names.bucket(name)) {
        let is_wanted = wanted.contains(&name);
        let tail = format!("-{}-{}", look.names.account, look.names.region);
        let name = name.strip_suffix(&tail).unwrap_or(&name).to_owned();
        all.extend(bucket(look, &name, is_wanted).await?);
    }
    Ok(all)
}

async fn bucket(look: &Look<'_>, name: &str, wanted: bool) -> Result<Option<Resource>> {
    let bucket = look.names.bucket(name);
    let mut tagged = true;
    if !look.is_tagged(&look.names.bucket_arn(&bucket)) {
        let Some(tags) = bucket_tags(look, &bucket).await? else { return Ok(None) };
        let get = |key: &str| tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.clone());
        // The account and the region are in its name: without tags and without objects it is one of ours whose making
        // was cut off.
        tagged = !tags.is_empty();
        let begun = !tagged && holds(look, &bucket).await? == Some(false);
        if !begun && !ours(look.names, get) {
            return Err(foreign(look.names, "bucket", &bucket));
        }
    }
    // Packages are ours; and what users have put in matters only where it is to go.
    let data = match (name == ARTIFACTS, wanted) {
        (true, _) => false,
        (_, true) => true,
        (_, false) => match holds(look, &bucket).await? {
            Some(holds) => holds,
            None => return Ok(None),
        },
    };
    let kind = if name == ARTIFACTS { "artifacts" } else { "bucket" };
    let fields = Fields::from([("tagged".to_owned(), tagged.into())]);
    Ok(Some(Resource { data, ..found(kind, name, fields, Vec::new()) }))
}

/// None: there is no such bucket.
async fn bucket_tags(look: &Look<'_>, bucket: &str) -> Result<Option<Vec<aws_sdk_s3::types::Tag>>> {
    match look.session.read.s3().get_bucket_tagging().bucket(bucket).send().await {
        Ok(tags) => Ok(Some(tags.tag_set)),
        Err(error) if error.as_service_error().is_some_and(|e| e.meta().code() == Some("NoSuchTagSet")) => {
            Ok(Some(Vec::new()))
        }
        Err(error) => optional(Err(failed("s3:GetBucketTagging", bucket)(error))),
    }
}

/// Whether a bucket has an object; None: there is no such bucket.
async fn holds(look: &Look<'_>, bucket: &str) -> Result<Option<bool>> {
    let listed = look.session.read.s3().list_objects_v2().bucket(bucket).max_keys(1).send().await;
    let listed = optional(listed.map_err(failed("s3:ListBucket", bucket)))?;
    Ok(listed.map(|listed| !listed.contents().is_empty()))
}

async fn tables(look: &Look<'_>) -> Result<Vec<Resource>> {
    let start = look.names.table_arn("");
    let mut all = Vec::new();
    for name in named(look, ("table", &look.desired.spec.tables), &start, |name| look.names.table(name)) {
        all.extend(table(look, &name).await?);
    }
    Ok(all)
}

async fn table(look: &Look<'_>, name: &str) -> Result<Option<Resource>> {
    let table = look.names.table(name);
    let dynamodb = look.session.read.dynamodb();
    let asked = dynamodb.describe_table().table_name(&table).send().await;
    let Some(answer) = optional(asked.map_err(failed("dynamodb:DescribeTable", &table)))? else {
        return Ok(None);
    };
    let description =
        answer.table.unwrap_or_else(|| aws_sdk_dynamodb::types::TableDescription::builder().build());
    // On its way out it is not there; that its name is not free yet, the step waits for.
    if description.table_status == Some(aws_sdk_dynamodb::types::TableStatus::Deleting) {
        return Ok(None);
    }
    let arn = look.names.table_arn(&table);
    if !look.is_tagged(&arn) {
        let tags = dynamodb.list_tags_of_resource().resource_arn(&arn).send().await;
        let tags = tags.map_err(failed("dynamodb:ListTagsOfResource", &table))?.tags.unwrap_or_default();
        let get = |key: &str| tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.clone());
        if !ours(look.names, get) {
            return Err(foreign(look.names, "table", &table));
        }
    }
    let mut fields = Fields::new();
    let stream = description.stream_specification.filter(|stream| stream.stream_enabled);
    let view = stream.and_then(|stream| stream.stream_view_type);
    fields.extend(view.map(|view| ("stream".to_owned(), Value::from(view.as_str()))));
    // The count in the description is six hours old: a row says more.
    let data = if look.desired.spec.tables.iter().any(|wanted| wanted == name) {
        true
    } else {
        let rows = dynamodb.scan().table_name(&table).limit(1).send().await;
        rows.map_err(failed("dynamodb:Scan", &table))?.count > 0
    };
    Ok(Some(Resource { data, ..found("table", name, fields, Vec::new()) }))
}

async fn topics(look: &Look<'_>) -> Result<Vec<Resource>> {
    let start = look.names.topic_arn("");
    let mut all = Vec::new();
    for name in named(look, ("topic", &look.desired.spec.topics), &start, |name| look.names.topic(name)) {
        all.extend(topic(look, &name).await?);
    }
    Ok(all)
}

async fn topic(look: &Look<'_>, name: &str) -> Result<Option<Resource>> {
    let topic = look.names.topic(name);
    let arn = look.names.topic_arn(&topic);
    let sns = look.session.read.sns();
    if !look.is_tagged(&arn) {
        let tags = sns.list_tags_for_resource().resource_arn(&arn).send().await;
        let Some(tags) = optional(tags.map_err(failed("sns:ListTagsForResource", &topic)))? else {
            return Ok(None);
        };
        let tags = tags.tags.unwrap_or_default();
        let get = |key: &str| tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.clone());
        if !ours(look.names, get) {
            return Err(foreign(look.names, "topic", &topic));
        }
    }
    let asked = sns.get_topic_attributes().topic_arn(&arn).send().await;
    let there = optional(asked.map_err(failed("sns:GetTopicAttributes", &topic)))?.is_some();
    Ok(there.then(|| found("topic", name, Fields::new(), Vec::new())))
}
