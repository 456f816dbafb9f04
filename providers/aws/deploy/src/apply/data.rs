//! Queues, buckets, tables, topics.

use std::collections::HashMap;

use aws_sdk_dynamodb::types as dynamodb;
use aws_sdk_s3::types as s3;
use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use serde_json::json;
use xcloud_core::{Error, Result};

use super::{Work, built, until};
use crate::error::{failed, optional};
use crate::wanted::{ARTIFACTS, is_large};

/// The attribute of every item that tells it from the others.
pub(crate) const KEY: &str = "key";
/// How long messages that were put aside are kept: as long as SQS can, two weeks.
const ASIDE: &str = "1209600";

fn queue_name(work: &Work<'_>, kind: &str) -> String {
    match kind {
        "dead-letters" => work.names.dead_letters(work.name),
        "failures" => work.names.failures(work.name),
        _ => work.names.queue(work.name),
    }
}

/// Makes or corrects a queue.
pub(super) async fn queue(work: &Work<'_>, kind: &str) -> Result<()> {
    let name = queue_name(work, kind);
    let sqs = work.session.write.sqs();
    let attributes = attributes(work, kind != "queue");
    if work.creates() {
        let create = sqs.create_queue().queue_name(&name).set_attributes(Some(attributes.clone()));
        let create = create.set_tags(Some(work.tags().into_iter().collect()));
        if work.made(create.send().await.map_err(failed("sqs:CreateQueue", &name)))?.is_some() {
            return Ok(());
        }
    }
    let set = sqs.set_queue_attributes().queue_url(work.names.queue_url(&name));
    set.set_attributes(Some(attributes)).send().await.map_err(failed("sqs:SetQueueAttributes", &name))?;
    Ok(())
}

fn attributes(work: &Work<'_>, aside: bool) -> HashMap<Attribute, String> {
    if aside {
        return HashMap::from([(Attribute::MessageRetentionPeriod, ASIDE.to_owned())]);
    }
    let mut all = HashMap::new();
    if let Some(attempts) = work.number("max_attempts") {
        let target = work.names.queue_arn(&work.names.dead_letters(work.name));
        let policy = json!({ "deadLetterTargetArn": target, "maxReceiveCount": attempts });
        all.insert(Attribute::RedrivePolicy, policy.to_string());
    }
    if let Some(seconds) = work.number("visibility_timeout_seconds") {
        all.insert(Attribute::VisibilityTimeout, seconds.to_string());
    }
    all
}

pub(super) async fn delete_queue(work: &Work<'_>, kind: &str) -> Result<()> {
    let name = queue_name(work, kind);
    let gone = work.session.write.sqs().delete_queue().queue_url(work.names.queue_url(&name)).send().await;
    optional(gone.map_err(failed("sqs:DeleteQueue", &name)))?;
    Ok(())
}

/// Makes a bucket. Nobody but the account can read it: AWS blocks public access of new buckets.
pub(super) async fn bucket(work: &Work<'_>) -> Result<()> {
    let bucket = work.names.bucket(work.name);
    let client = work.session.write.s3();
    if work.creates() {
        let mut create = client.create_bucket().bucket(&bucket);
        if work.names.region != "us-east-1" {
            let place = s3::BucketLocationConstraint::from(work.names.region.as_str());
            let place = s3::CreateBucketConfiguration::builder().location_constraint(place).build();
            create = create.create_bucket_configuration(place);
        }
        work.made(create.send().await.map_err(failed("s3:CreateBucket", &bucket)))?;
    }
    let tags =
        work.tags().into_iter().map(|(key, value)| built(s3::Tag::builder().key(key).value(value).build()));
    let tags = built(s3::Tagging::builder().set_tag_set(Some(tags.collect::<Result<_>>()?)).build())?;
    let put = client.put_bucket_tagging().bucket(&bucket).tagging(tags);
    put.send().await.map_err(failed("s3:PutBucketTagging", &bucket))?;
    Ok(())
}

/// Puts a package that is too large for a call into the stage's bucket; `None` for one that is not.
pub(super) async fn uploaded(work: &Work<'_>) -> Result<Option<(String, String)>> {
    let Some(artifact) = work.desired.artifact.as_ref().filter(|_| is_large(work.desired)) else {
        return Ok(None);
    };
    let digest = artifact.sha256();
    let (bucket, key) = (work.names.bucket(ARTIFACTS), format!("{digest}.zip"));
    let body = aws_sdk_s3::primitives::ByteStream::from(artifact.bytes.clone());
    let put = work.session.write.s3().put_object().bucket(&bucket).key(&key).body(body).send().await;
    put.map_err(failed("s3:PutObject", &bucket))?;
    Ok(Some((bucket, key)))
}

/// A bucket goes when it is empty: so it is emptied, versions and all. The plan has made sure that somebody wants that.
pub(super) async fn delete_bucket(work: &Work<'_>) -> Result<()> {
    let bucket = work.names.bucket(work.name);
    let client = work.session.write.s3();
    loop {
        let listed = work.session.read.s3().list_object_versions().bucket(&bucket).send().await;
        let Some(listed) = optional(listed.map_err(failed("s3:ListBucketVersions", &bucket)))? else {
            return Ok(());
        };
        let versions = listed.versions().iter().map(|v| (v.key(), v.version_id()));
        let markers = listed.delete_markers().iter().map(|m| (m.key(), m.version_id()));
        let one = |(key, version): (Option<&str>, Option<&str>)| {
            let builder = s3::ObjectIdentifier::builder().key(key.unwrap_or_default());
            built(builder.set_version_id(version.filter(|v| *v != "null").map(str::to_owned)).build())
        };
        let all: Vec<_> = versions.chain(markers).map(one).collect::<Result<_>>()?;
        if all.is_empty() {
            break;
        }
        let delete = built(s3::Delete::builder().set_objects(Some(all)).quiet(true).build())?;
        let gone = client.delete_objects().bucket(&bucket).delete(delete).send().await;
        gone.map_err(failed("s3:DeleteObject", &bucket))?;
    }
    let gone = client.delete_bucket().bucket(&bucket).send().await;
    optional(gone.map_err(failed("s3:DeleteBucket", &bucket)))?;
    Ok(())
}

/// What it means that a table cannot be made because it is there: one on its way out makes room soon.
async fn there_already(work: &Work<'_>, table: &str) -> Result<Error> {
    let asked = work.session.read.dynamodb().describe_table().table_name(table).send().await;
    let status = optional(asked.map_err(failed("dynamodb:DescribeTable", table)))?;
    let status = status.and_then(|answer| answer.table?.table_status);
    Ok(match status {
        Some(dynamodb::TableStatus::Deleting) | None => {
            Error::unavailable(format!("the table {table} is still being deleted"))
        }
        Some(_) => Error::conflict(format!("the table {table} is there already")),
    })
}

/// Makes a table, or begins the stream of its changes.
pub(super) async fn table(work: &Work<'_>) -> Result<()> {
    let table = work.names.table(work.name);
    let client = work.session.write.dynamodb();
    let stream = dynamodb::StreamSpecification::builder()
        .stream_enabled(true)
        .stream_view_type(dynamodb::StreamViewType::NewAndOldImages)
        .build();
    let stream = built(stream)?;
    let wanted = work.field("stream").is_some_and(|view| !view.is_null());
    let exists = if work.creates() {
        let tags =
            work.tags().into_iter().map(|(k, v)| built(dynamodb::Tag::builder().key(k).value(v).build()));
        let attribute = dynamodb::AttributeDefinition::builder().attribute_name(KEY);
        let key = dynamodb::KeySchemaElement::builder().attribute_name(KEY).key_type(dynamodb::KeyType::Hash);
        let create = client
            .create_table()
            .table_name(&table)
            .billing_mode(dynamodb::BillingMode::PayPerRequest)
            .attribute_definitions(built(attribute.attribute_type(dynamodb::ScalarAttributeType::S).build())?)
            .key_schema(built(key.build())?)
            .set_stream_specification(wanted.then(|| stream.clone()))
            .set_tags(Some(tags.collect::<Result<_>>()?));
        let made = create.send().await;
        // That it is there already has the code of what passes; here it does not.
        let made = match made {
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_in_use_exception()) => {
                Err(there_already(work, &table).await?)
            }
            made => made.map_err(failed("dynamodb:CreateTable", &table)),
        };
        work.made(made)?.is_none()
    } else {
        true
    };
    // One that a try before has made has its stream.
    if exists && wanted && !work.creates() {
        let update = client.update_table().table_name(&table).stream_specification(stream);
        match update.send().await.map_err(failed("dynamodb:UpdateTable", &table)) {
            // A try before began it, and its answer was lost.
            Err(error) if work.attempt > 1 && error.message().contains("already has an enabled stream") => {}
            updated => updated.map(drop)?,
        }
    }
    until(|| async {
        let asked = work.session.read.dynamodb().describe_table().table_name(&table).send().await;
        let asked = asked.map_err(failed("dynamodb:DescribeTable", &table))?;
        let active = asked.table.is_some_and(|t| t.table_status == Some(dynamodb::TableStatus::Active));
        Ok(active.then_some(()))
    })
    .await
}

pub(super) async fn delete_table(work: &Work<'_>) -> Result<()> {
    let table = work.names.table(work.name);
    let gone = work.session.write.dynamodb().delete_table().table_name(&table).send().await;
    optional(gone.map_err(failed("dynamodb:DeleteTable", &table)))?;
    Ok(())
}

pub(super) async fn topic(work: &Work<'_>) -> Result<()> {
    let topic = work.names.topic(work.name);
    let tags = work.tags().into_iter();
    let tags = tags.map(|(k, v)| built(aws_sdk_sns::types::Tag::builder().key(k).value(v).build()));
    let create = work.session.write.sns().create_topic().name(&topic);
    let create = create.set_tags(Some(tags.collect::<Result<_>>()?)).send().await;
    work.made(create.map_err(failed("sns:CreateTopic", &topic)))?;
    Ok(())
}

pub(super) async fn delete_topic(work: &Work<'_>) -> Result<()> {
    let topic = work.names.topic(work.name);
    let arn = work.names.topic_arn(&topic);
    let gone = work.session.write.sns().delete_topic().topic_arn(arn).send().await;
    optional(gone.map_err(failed("sns:DeleteTopic", &topic)))?;
    Ok(())
}
