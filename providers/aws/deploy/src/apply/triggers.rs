//! What calls a function's alias.

use aws_sdk_lambda::types as lambda;
use aws_sdk_s3::types as s3;
use aws_sdk_scheduler::types as scheduler;
use xcloud_core::spec::{HTTP_FUNCTION, TriggerSpec};
use xcloud_core::{Error, ErrorKind, Result};

use super::{Work, built, until};
use crate::error::{failed, optional};
use crate::names::ALIAS;
use crate::observe::triggers::{mapping_of, subscription_of};
use crate::permission::Statement;
use crate::wanted::MAX_CONCURRENCY;

/// A statement of the alias's resource policy that is to be there.
struct Permission<'a> {
    id: &'a str,
    action: &'a str,
    principal: &'a str,
    source: Option<String>,
    account: Option<&'a str>,
}

/// Adds it; that it is there already is fine.
async fn allow(work: &Work<'_>, permission: Permission<'_>) -> Result<()> {
    let function = work.function();
    let public = permission.id == Statement::PUBLIC[0];
    let add = work.session.write.lambda().add_permission().function_name(&function).qualifier(ALIAS);
    let add = add
        .statement_id(permission.id)
        .action(permission.action)
        .principal(permission.principal)
        .set_source_arn(permission.source)
        .set_source_account(permission.account.map(str::to_owned))
        .set_function_url_auth_type(public.then_some(lambda::FunctionUrlAuthType::None))
        .set_invoked_via_function_url((permission.id == Statement::PUBLIC[1]).then_some(true));
    match add.send().await.map_err(failed("lambda:AddPermission", &function)) {
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
        added => added.map(drop),
    }
}

async fn disallow(work: &Work<'_>, id: &str) -> Result<()> {
    let function = work.function();
    let remove = work.session.write.lambda().remove_permission().function_name(&function);
    let gone = remove.qualifier(ALIAS).statement_id(id).send().await;
    optional(gone.map_err(failed("lambda:RemovePermission", &function)))?;
    Ok(())
}

/// The function's URL, and who may call it.
pub(super) async fn url(work: &Work<'_>) -> Result<()> {
    let function = work.function();
    let public = work.spec()?.settings.public == Some(true);
    let auth = if public { lambda::FunctionUrlAuthType::None } else { lambda::FunctionUrlAuthType::AwsIam };
    let streams = crate::wanted::streams(work.desired, work.name);
    let mode = if streams { lambda::InvokeMode::ResponseStream } else { lambda::InvokeMode::Buffered };
    let lambda = work.session.write.lambda();
    // Who becomes private is so before anything else; who becomes public is so at last.
    if !public && !work.creates() {
        for id in Statement::PUBLIC {
            disallow(work, id).await?;
        }
    }
    let mut update = !work.creates();
    if work.creates() {
        let create = lambda.create_function_url_config().function_name(&function).qualifier(ALIAS);
        let create = create.auth_type(auth.clone()).invoke_mode(mode.clone()).send().await;
        update = work.made(create.map_err(failed("lambda:CreateFunctionUrlConfig", &function)))?.is_none();
    }
    if update && (work.field("auth").is_some() || work.field("invoke_mode").is_some()) {
        let update = lambda.update_function_url_config().function_name(&function).qualifier(ALIAS);
        let update = update.auth_type(auth).invoke_mode(mode).send().await;
        update.map_err(failed("lambda:UpdateFunctionUrlConfig", &function))?;
    }
    if public {
        for (id, action) in
            Statement::PUBLIC.into_iter().zip(["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"])
        {
            allow(work, Permission { id, action, principal: "*", source: None, account: None }).await?;
        }
    }
    Ok(())
}

pub(super) async fn delete_url(work: &Work<'_>) -> Result<()> {
    let function = work.names.function(HTTP_FUNCTION);
    let gone = work.session.write.lambda().delete_function_url_config().function_name(&function);
    let gone = gone.qualifier(ALIAS).send().await;
    optional(gone.map_err(failed("lambda:DeleteFunctionUrlConfig", &function)))?;
    Ok(())
}

/// The event source mapping of a queue or of a table's stream.
pub(super) async fn mapping(work: &Work<'_>) -> Result<()> {
    let function = work.function();
    let mut known = mapping_of(&work.session.read, &function).await?;
    if work.field("source").is_some() && !known.is_empty() && !work.creates() {
        // A mapping keeps its source for life.
        delete_mapping(work).await?;
        known.clear();
    }
    let uuid = match known.first().and_then(|mapping| mapping.uuid()) {
        Some(uuid) if work.creates() && work.attempt == 1 => {
            return Err(super::busy(Error::conflict(format!(
                "the mapping {uuid} of {function} is there already"
            ))));
        }
        Some(uuid) => {
            update_mapping(work, uuid).await?;
            uuid.to_owned()
        }
        None => create_mapping(work).await?,
    };
    until(|| async {
        let asked = work.session.read.lambda().get_event_source_mapping().uuid(&uuid).send().await;
        let asked = asked.map_err(failed("lambda:GetEventSourceMapping", &function))?;
        Ok(matches!(asked.state(), Some("Enabled" | "Disabled")).then_some(()))
    })
    .await
}

/// Its settings as they should be, changed or not.
struct Mapping {
    batch: Option<i32>,
    window: i32,
    most: Option<lambda::ScalingConfig>,
    retries: Option<i32>,
}

impl Mapping {
    fn of(work: &Work<'_>) -> Result<Self> {
        let function = work.spec()?;
        let wanted = crate::wanted::mapping_fields(work.names, function);
        let number = |path: &str| wanted.get(path).and_then(|n| i32::try_from(n.as_i64()?).ok());
        Ok(Self {
            batch: number("batch"),
            window: number("window_seconds").unwrap_or(0),
            most: number(MAX_CONCURRENCY)
                .map(|n| lambda::ScalingConfig::builder().maximum_concurrency(n).build()),
            retries: number("max_attempts").map(|n| n - 1),
        })
    }
}

async fn create_mapping(work: &Work<'_>) -> Result<String> {
    let function = work.function();
    let alias = work.names.alias_arn(&function);
    let Mapping { batch, window, most, retries } = Mapping::of(work)?;
    let create = work.session.write.lambda().create_event_source_mapping();
    let create = create
        .function_name(alias)
        .enabled(true)
        .set_batch_size(batch)
        .set_scaling_config(most)
        .function_response_types(lambda::FunctionResponseType::ReportBatchItemFailures)
        .set_tags(Some(work.tags().into_iter().collect()));
    let create = match &work.spec()?.trigger {
        TriggerSpec::Change { table } => create
            .event_source_arn(stream(work, table).await?)
            // From the first change that is there: none is lost between the stream's beginning and this.
            .starting_position(lambda::EventSourcePosition::TrimHorizon)
            .bisect_batch_on_function_error(true)
            .set_maximum_retry_attempts(retries),
        TriggerSpec::Queue { queue, .. } => create
            .event_source_arn(work.names.queue_arn(&work.names.queue(queue)))
            .maximum_batching_window_in_seconds(window),
        _ => return Err(Error::handler(format!("{} has no source", work.change.resource))),
    };
    let made = create.send().await.map_err(failed("lambda:CreateEventSourceMapping", &function));
    let made = made.map_err(|e| if e.kind() == ErrorKind::Conflict { super::busy(e) } else { e })?;
    made.uuid.ok_or_else(|| Error::handler("Lambda made an event source mapping without an id"))
}

async fn update_mapping(work: &Work<'_>, uuid: &str) -> Result<()> {
    let function = work.function();
    let Mapping { batch, window, most, retries } = Mapping::of(work)?;
    let queue = matches!(work.spec()?.trigger, TriggerSpec::Queue { .. });
    let update = work.session.write.lambda().update_event_source_mapping().uuid(uuid);
    // Without any the most is as it was; an empty one takes it away.
    let gone = || work.field(MAX_CONCURRENCY).map(|_| lambda::ScalingConfig::builder().build());
    let most = most.or_else(gone);
    let update = update
        .function_name(work.names.alias_arn(&function))
        .enabled(true)
        .set_batch_size(batch)
        .set_scaling_config(most)
        .set_maximum_batching_window_in_seconds(queue.then_some(window))
        .set_maximum_retry_attempts(retries)
        .function_response_types(lambda::FunctionResponseType::ReportBatchItemFailures);
    update.send().await.map_err(failed("lambda:UpdateEventSourceMapping", &function))?;
    Ok(())
}

/// The ARN of a table's newest stream.
async fn stream(work: &Work<'_>, table: &str) -> Result<String> {
    let table = work.names.table(table);
    let asked = work.session.read.dynamodb().describe_table().table_name(&table).send().await;
    let asked = asked.map_err(failed("dynamodb:DescribeTable", &table))?;
    let stream = asked.table.and_then(|table| table.latest_stream_arn);
    stream.ok_or_else(|| Error::unavailable(format!("the table {table} has no stream yet")))
}

pub(super) async fn delete_mapping(work: &Work<'_>) -> Result<()> {
    let function = work.function();
    for mapping in mapping_of(&work.session.read, &function).await? {
        let Some(uuid) = mapping.uuid() else { continue };
        let gone = work.session.write.lambda().delete_event_source_mapping().uuid(uuid).send().await;
        optional(gone.map_err(failed("lambda:DeleteEventSourceMapping", &function)))?;
    }
    until(|| async { Ok(mapping_of(&work.session.read, &function).await?.is_empty().then_some(())) }).await
}

/// How often Lambda itself tries, and where an event goes then. What else is said there stays.
pub(super) async fn retries(work: &Work<'_>) -> Result<()> {
    let function = work.function();
    let wanted = crate::wanted::async_fields(work.names, work.spec()?);
    let most = wanted.get("max_attempts").and_then(|n| i32::try_from(n.as_i64()? - 1).ok());
    let failures = wanted.get("failures").and_then(|arn| arn.as_str()).map(str::to_owned);
    let failures = lambda::OnFailure::builder().set_destination(failures).build();
    let asked = work.session.read.lambda().get_function_event_invoke_config();
    let asked = asked.function_name(&function).qualifier(ALIAS).send().await;
    let now = optional(asked.map_err(failed("lambda:GetFunctionEventInvokeConfig", &function)))?;
    let age = now.as_ref().and_then(|now| now.maximum_event_age_in_seconds());
    let success = now.and_then(|now| now.destination_config?.on_success);
    let target = lambda::DestinationConfig::builder().on_failure(failures).set_on_success(success);
    let put = work.session.write.lambda().put_function_event_invoke_config();
    let put = put.function_name(&function).qualifier(ALIAS).set_maximum_retry_attempts(most);
    let put = put.set_maximum_event_age_in_seconds(age).destination_config(target.build()).send().await;
    put.map(drop).map_err(failed("lambda:PutFunctionEventInvokeConfig", &function))
}

pub(super) async fn delete_retries(work: &Work<'_>) -> Result<()> {
    let function = work.function();
    let gone = work.session.write.lambda().delete_function_event_invoke_config();
    let gone = gone.function_name(&function).qualifier(ALIAS).send().await;
    optional(gone.map_err(failed("lambda:DeleteFunctionEventInvokeConfig", &function))).map(drop)
}

pub(super) async fn schedule(work: &Work<'_>) -> Result<()> {
    let name = work.function();
    let role = work.names.role_arn(&work.names.schedule_role(work.name));
    let target = scheduler::Target::builder().arn(work.names.alias_arn(&name)).role_arn(role);
    let target = built(target.build())?;
    let exact = scheduler::FlexibleTimeWindow::builder().mode(scheduler::FlexibleTimeWindowMode::Off);
    let exact = built(exact.build())?;
    let wanted = crate::wanted::schedule_fields(work.spec()?);
    let text = |path: &str| wanted.get(path).and_then(|value| value.as_str()).map(str::to_owned);
    let client = work.session.write.scheduler();
    if work.creates() {
        let create = client
            .create_schedule()
            .name(&name)
            .description(work.names.marker())
            .set_schedule_expression(text("expression"))
            .set_schedule_expression_timezone(text("timezone"))
            .target(target.clone())
            .flexible_time_window(exact.clone())
            .send()
            .await;
        if work.made(create.map_err(failed("scheduler:CreateSchedule", &name)))?.is_some() {
            return Ok(());
        }
    }
    let update = client
        .update_schedule()
        .name(&name)
        .description(work.names.marker())
        .set_schedule_expression(text("expression"))
        .set_schedule_expression_timezone(text("timezone"))
        .state(scheduler::ScheduleState::Enabled)
        .target(target)
        .flexible_time_window(exact);
    update.send().await.map_err(failed("scheduler:UpdateSchedule", &name))?;
    Ok(())
}

pub(super) async fn delete_schedule(work: &Work<'_>) -> Result<()> {
    let name = work.function();
    let gone = work.session.write.scheduler().delete_schedule().name(&name).send().await;
    optional(gone.map_err(failed("scheduler:DeleteSchedule", &name)))?;
    Ok(())
}

/// A bucket's notifications are one document that others write too: read, changed where it is ours, written.
pub(super) async fn notification(work: &Work<'_>) -> Result<()> {
    let TriggerSpec::Object { bucket, on } = &work.spec()?.trigger else { return Ok(()) };
    let (function, bucket) = (work.function(), work.names.bucket(bucket));
    let permission = Permission {
        id: Statement::OBJECTS,
        action: "lambda:InvokeFunction",
        principal: "s3.amazonaws.com",
        source: Some(work.names.bucket_arn(&bucket)),
        account: Some(&work.names.account),
    };
    // The right to call is of one bucket: another's goes, with what calls from there.
    if !work.creates() && work.field("bucket").is_some() {
        delete_notification(work).await?;
    }
    allow(work, permission).await?;
    let events = crate::wanted::object_events(*on).into_iter().map(s3::Event::from);
    let own = s3::LambdaFunctionConfiguration::builder()
        .id(&function)
        .lambda_function_arn(work.names.alias_arn(&function))
        .set_events(Some(events.collect()));
    rewrite(work, &bucket, Some(built(own.build())?)).await
}

async fn rewrite(work: &Work<'_>, bucket: &str, own: Option<s3::LambdaFunctionConfiguration>) -> Result<()> {
    let _alone = work.memory.notifications.lock().await;
    let asked = work.session.read.s3().get_bucket_notification_configuration().bucket(bucket).send().await;
    let Some(now) = optional(asked.map_err(failed("s3:GetBucketNotification", bucket)))? else {
        return Ok(());
    };
    let function = work.function();
    let others = now.lambda_function_configurations.unwrap_or_default();
    let others = others.into_iter().filter(|other| other.id() != Some(function.as_str()));
    let all: Vec<_> = others.chain(own).collect();
    let whole = s3::NotificationConfiguration::builder()
        .set_topic_configurations(now.topic_configurations)
        .set_queue_configurations(now.queue_configurations)
        .set_event_bridge_configuration(now.event_bridge_configuration)
        .set_lambda_function_configurations(Some(all));
    let put = work.session.write.s3().put_bucket_notification_configuration().bucket(bucket);
    let put = put.notification_configuration(whole.build()).send().await;
    put.map_err(failed("s3:PutBucketNotification", bucket))?;
    Ok(())
}

pub(super) async fn delete_notification(work: &Work<'_>) -> Result<()> {
    let function = work.function();
    let asked =
        work.session.read.lambda().get_policy().function_name(&function).qualifier(ALIAS).send().await;
    let policy = optional(asked.map_err(failed("lambda:GetPolicy", &function)))?.and_then(|p| p.policy);
    let statements = policy.map(|policy| Statement::all(&policy)).unwrap_or_default();
    if let Some(bucket) =
        Statement::source_of(&statements, Statement::OBJECTS).and_then(|a| a.rsplit(':').next())
    {
        rewrite(work, bucket, None).await?;
    }
    disallow(work, Statement::OBJECTS).await
}

pub(super) async fn subscription(work: &Work<'_>) -> Result<()> {
    let TriggerSpec::Topic { topic } = &work.spec()?.trigger else { return Ok(()) };
    let function = work.function();
    let topic = work.names.topic_arn(&work.names.topic(topic));
    let permission = Permission {
        id: Statement::TOPIC,
        action: "lambda:InvokeFunction",
        principal: "sns.amazonaws.com",
        source: Some(topic.clone()),
        account: None,
    };
    if !work.creates() {
        delete_subscription(work).await?;
    }
    allow(work, permission).await?;
    // Subscribing an endpoint that is subscribed gives back the one that is there.
    let subscribe = work.session.write.sns().subscribe().topic_arn(&topic).protocol("lambda");
    let subscribe = subscribe.endpoint(work.names.alias_arn(&function)).send().await;
    subscribe.map_err(failed("sns:Subscribe", &topic))?;
    Ok(())
}

pub(super) async fn delete_subscription(work: &Work<'_>) -> Result<()> {
    let function = work.function();
    let asked =
        work.session.read.lambda().get_policy().function_name(&function).qualifier(ALIAS).send().await;
    let policy = optional(asked.map_err(failed("lambda:GetPolicy", &function)))?.and_then(|p| p.policy);
    let statements = policy.map(|policy| Statement::all(&policy)).unwrap_or_default();
    if let Some(topic) = Statement::source_of(&statements, Statement::TOPIC) {
        let endpoint = work.names.alias_arn(&function);
        if let Some(arn) = subscription_of(&work.session.read, topic, &endpoint).await? {
            let gone = work.session.write.sns().unsubscribe().subscription_arn(arn).send().await;
            optional(gone.map_err(failed("sns:Unsubscribe", topic)))?;
        }
    }
    disallow(work, Statement::TOPIC).await
}
