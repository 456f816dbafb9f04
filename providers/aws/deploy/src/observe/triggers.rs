//! What calls a function.

use aws_sdk_lambda::types::EventSourceMappingConfiguration;
use serde_json::Value;
use xcloud_core::Result;
use xcloud_core::spec::{HTTP_FUNCTION, TriggerSpec};
use xcloud_deploy::Resource;

use super::{Look, found};
use crate::error::{failed, optional};
use crate::names::ALIAS;
use crate::permission::Statement;
use crate::wanted::{Fields, MAX_CONCURRENCY, id, is_async};

/// All of a function that is there.
pub(super) async fn observe(look: &Look<'_>, name: &str) -> Result<Vec<Resource>> {
    let (statements, warm) = tokio::try_join!(statements(look, name), warm(look, name))?;
    let mut all: Vec<Resource> = warm.into_iter().collect();
    if name == HTTP_FUNCTION {
        all.extend(url(look, &statements).await?);
        return Ok(all);
    }
    let (retries, mapping, schedule, notification, subscription) = tokio::try_join!(
        retries(look, name),
        mapping(look, name),
        schedule(look, name),
        notification(look, name, &statements),
        subscription(look, name, &statements),
    )?;
    all.extend([retries, mapping, schedule, notification, subscription].into_iter().flatten());
    Ok(all)
}

/// Who may call the alias, by its resource policy.
async fn statements(look: &Look<'_>, name: &str) -> Result<Vec<Statement>> {
    let resource = look.names.function(name);
    let asked =
        look.session.read.lambda().get_policy().function_name(&resource).qualifier(ALIAS).send().await;
    let policy = optional(asked.map_err(failed("lambda:GetPolicy", &resource)))?;
    Ok(policy.and_then(|policy| policy.policy).map(|policy| Statement::all(&policy)).unwrap_or_default())
}

async fn url(look: &Look<'_>, statements: &[Statement]) -> Result<Option<Resource>> {
    let resource = look.names.function(HTTP_FUNCTION);
    let asked = look.session.read.lambda().get_function_url_config();
    let asked = asked.function_name(&resource).qualifier(ALIAS).send().await;
    let Some(url) = optional(asked.map_err(failed("lambda:GetFunctionUrlConfig", &resource)))? else {
        return Ok(None);
    };
    let mode = url.invoke_mode.as_ref().map_or("BUFFERED", |mode| mode.as_str());
    let public = Statement::PUBLIC.iter().all(|id| statements.iter().any(|s| s.id == *id));
    let none = Statement::PUBLIC.iter().all(|id| statements.iter().all(|s| s.id != *id));
    let fields = Fields::from([
        ("auth".to_owned(), url.auth_type.as_str().into()),
        ("invoke_mode".to_owned(), mode.into()),
        // Half of it is neither.
        (
            "public".to_owned(),
            if public {
                true.into()
            } else if none {
                false.into()
            } else {
                Value::Null
            },
        ),
        ("url".to_owned(), url.function_url.as_str().into()),
    ]);
    Ok(Some(found("url", HTTP_FUNCTION, fields, vec![id("function", HTTP_FUNCTION)])))
}

async fn warm(look: &Look<'_>, name: &str) -> Result<Option<Resource>> {
    // With the function goes what keeps it warm.
    if look.wanted(name).is_none() {
        return Ok(None);
    }
    let resource = look.names.function(name);
    let asked = look.session.read.lambda().get_provisioned_concurrency_config();
    let asked = asked.function_name(&resource).qualifier(ALIAS).send().await;
    let warm = optional(asked.map_err(failed("lambda:GetProvisionedConcurrencyConfig", &resource)))?;
    let Some(instances) = warm.and_then(|warm| warm.requested_provisioned_concurrent_executions) else {
        return Ok(None);
    };
    let fields = Fields::from([("instances".to_owned(), Value::from(instances))]);
    Ok(Some(found("warm", name, fields, vec![id("function", name)])))
}

/// How often Lambda itself tries, and where an event goes then.
async fn retries(look: &Look<'_>, name: &str) -> Result<Option<Resource>> {
    // With the function goes what is said of it. One that never had such events is not asked about.
    let Some(function) = look.wanted(name) else { return Ok(None) };
    let failures = look.names.queue_arn(&look.names.failures(name));
    if !is_async(&function.trigger) && !look.is_tagged(&failures) {
        return Ok(None);
    }
    let resource = look.names.function(name);
    let asked = look.session.read.lambda().get_function_event_invoke_config();
    let asked = asked.function_name(&resource).qualifier(ALIAS).send().await;
    let asked = optional(asked.map_err(failed("lambda:GetFunctionEventInvokeConfig", &resource)))?;
    let Some(config) = asked else { return Ok(None) };
    let target = config.destination_config().and_then(|to| to.on_failure()).and_then(|to| to.destination());
    let mut fields = Fields::from([("failures".to_owned(), Value::from(target.unwrap_or_default()))]);
    let retries = config.maximum_retry_attempts();
    fields.extend(retries.map(|n| ("max_attempts".to_owned(), Value::from(n + 1))));
    Ok(Some(found("async", name, fields, vec![id("function", name), id("failures", name)])))
}

/// The event source mapping of the alias.
pub(crate) async fn mapping_of(
    look: &crate::client::Clients,
    resource: &str,
) -> Result<Vec<EventSourceMappingConfiguration>> {
    let listed = look.lambda().list_event_source_mappings().function_name(format!("{resource}:{ALIAS}"));
    let listed = listed.into_paginator().items().send().try_collect().await;
    let listed = optional(listed.map_err(failed("lambda:ListEventSourceMappings", resource)))?;
    let going = |mapping: &EventSourceMappingConfiguration| mapping.state() == Some("Deleting");
    Ok(listed.unwrap_or_default().into_iter().filter(|mapping| !going(mapping)).collect())
}

async fn mapping(look: &Look<'_>, name: &str) -> Result<Option<Resource>> {
    let listed = mapping_of(&look.session.read, &look.names.function(name)).await?;
    let Some(mapping) = listed.first() else { return Ok(None) };
    let source = mapping.event_source_arn().unwrap_or_default();
    // A stream's ARN is the table's, and a label that is the cloud's own.
    let source = source.split_once("/stream/").map_or(source, |(table, _)| table);
    let reports =
        mapping.function_response_types().iter().any(|kind| kind.as_str() == "ReportBatchItemFailures");
    let enabled = !matches!(mapping.state(), Some("Disabled" | "Disabling"));
    let mut fields = Fields::from([
        ("enabled".to_owned(), enabled.into()),
        ("partial_failure".to_owned(), reports.into()),
        ("source".to_owned(), source.into()),
        ("window_seconds".to_owned(), mapping.maximum_batching_window_in_seconds().unwrap_or(0).into()),
    ]);
    fields.extend(mapping.batch_size().map(|n| ("batch".to_owned(), Value::from(n))));
    let most = mapping.scaling_config().and_then(|scaling| scaling.maximum_concurrency());
    fields.extend(most.map(|n| (MAX_CONCURRENCY.to_owned(), Value::from(n))));
    // Retries of a stream; one more is the first try. -1: until it is too old.
    let retries = mapping.maximum_retry_attempts().filter(|n| *n >= 0);
    fields.extend(retries.map(|n| ("max_attempts".to_owned(), Value::from(n + 1))));
    let last = source.rsplit([':', '/']).next().unwrap_or_default();
    let last = look.names.logical(last).unwrap_or(last);
    let needs = vec![id("function", name), id("queue", last), id("table", last)];
    Ok(Some(found("mapping", name, fields, needs)))
}

pub(super) async fn schedule(look: &Look<'_>, name: &str) -> Result<Option<Resource>> {
    let wanted = look.wanted(name).is_some_and(|f| matches!(f.trigger, TriggerSpec::Schedule { .. }));
    if !wanted && !look.roles.contains_key(&look.names.schedule_role(name)) {
        return Ok(None);
    }
    let resource = look.names.function(name);
    let asked = look.session.read.scheduler().get_schedule().name(&resource).send().await;
    let Some(schedule) = optional(asked.map_err(failed("scheduler:GetSchedule", &resource)))? else {
        return Ok(None);
    };
    if schedule.description.as_deref() != Some(look.names.marker().as_str()) {
        return if wanted { Err(super::foreign(look.names, "schedule", &resource)) } else { Ok(None) };
    }
    let enabled = schedule.state.as_ref().is_none_or(|state| state.as_str() == "ENABLED");
    let fields = Fields::from([
        ("enabled".to_owned(), enabled.into()),
        ("expression".to_owned(), schedule.schedule_expression.unwrap_or_default().into()),
        (
            "timezone".to_owned(),
            schedule.schedule_expression_timezone.unwrap_or_else(|| "UTC".to_owned()).into(),
        ),
    ]);
    Ok(Some(found("schedule", name, fields, vec![id("function", name), id("schedule-role", name)])))
}

async fn notification(look: &Look<'_>, name: &str, statements: &[Statement]) -> Result<Option<Resource>> {
    let wanted = match look.wanted(name).map(|f| &f.trigger) {
        Some(TriggerSpec::Object { bucket, .. }) => Some(look.names.bucket(bucket)),
        _ => None,
    };
    // The right to call says which bucket it was; where that is another one, both are to change.
    let allowed = Statement::source_of(statements, Statement::OBJECTS);
    let allowed = allowed.and_then(|arn| arn.rsplit(':').next()).map(str::to_owned);
    let Some(bucket) = allowed.clone().or_else(|| wanted.clone()) else { return Ok(None) };
    let asked = look.session.read.s3().get_bucket_notification_configuration().bucket(&bucket).send().await;
    let answer = optional(asked.map_err(failed("s3:GetBucketNotification", &bucket)))?;
    let resource = look.names.function(name);
    let all = answer.as_ref().map(|answer| answer.lambda_function_configurations()).unwrap_or_default();
    let own = all.iter().find(|c| c.id() == Some(resource.as_str()));
    if own.is_none() && (allowed.is_none() || allowed == wanted) {
        return Ok(None);
    }
    let events = own.map(|own| own.events()).unwrap_or_default();
    let mut events: Vec<_> = events.iter().map(|event| event.as_str().to_owned()).collect();
    events.sort();
    let fields = Fields::from([
        ("bucket".to_owned(), if allowed.is_some() { bucket.as_str().into() } else { Value::Null }),
        ("events".to_owned(), events.into()),
    ]);
    let logical = bucket.strip_suffix(&format!("-{}-{}", look.names.account, look.names.region));
    let logical = look.names.logical(logical.unwrap_or(&bucket)).unwrap_or(&bucket).to_owned();
    Ok(Some(found("notification", name, fields, vec![id("function", name), id("bucket", &logical)])))
}

async fn subscription(look: &Look<'_>, name: &str, statements: &[Statement]) -> Result<Option<Resource>> {
    let wanted = match look.wanted(name).map(|f| &f.trigger) {
        Some(TriggerSpec::Topic { topic }) => Some(look.names.topic_arn(&look.names.topic(topic))),
        _ => None,
    };
    let allowed = Statement::source_of(statements, Statement::TOPIC).map(str::to_owned);
    let Some(topic) = allowed.clone().or_else(|| wanted.clone()) else { return Ok(None) };
    let endpoint = look.names.alias_arn(&look.names.function(name));
    let own = subscription_of(&look.session.read, &topic, &endpoint).await?;
    if own.is_none() && (allowed.is_none() || allowed == wanted) {
        return Ok(None);
    }
    let topic_now = if allowed.is_some() { topic.as_str().into() } else { Value::Null };
    let fields = Fields::from([("topic".to_owned(), topic_now)]);
    let last = topic.rsplit(':').next().unwrap_or_default();
    let last = look.names.logical(last).unwrap_or(last);
    Ok(Some(found("subscription", name, fields, vec![id("function", name), id("topic", last)])))
}

/// The ARN of the subscription that calls this endpoint.
pub(crate) async fn subscription_of(
    clients: &crate::client::Clients,
    topic: &str,
    endpoint: &str,
) -> Result<Option<String>> {
    let listed = clients.sns().list_subscriptions_by_topic().topic_arn(topic);
    let listed = listed.into_paginator().items().send().try_collect().await;
    let listed = optional(listed.map_err(failed("sns:ListSubscriptionsByTopic", topic)))?;
    let own = listed.into_iter().flatten().find(|s| s.endpoint() == Some(endpoint));
    Ok(own.and_then(|subscription| subscription.subscription_arn))
}
