//! Roles and log groups.

use aws_sdk_iam::types::Tag;
use serde_json::Value;
use xcloud_core::Result;

use super::{Work, built};
use crate::error::{failed, optional};
use crate::names::POLICY;
use crate::observe::foreign;
use crate::role;

fn name(work: &Work<'_>, schedule: bool) -> String {
    if schedule { work.names.schedule_role(work.name) } else { work.function() }
}

/// Makes or corrects a role: who may take it on, and what it may do.
pub(super) async fn role(work: &Work<'_>, schedule: bool) -> Result<()> {
    let name = name(work, schedule);
    let (trust, policy) = documents(work, schedule)?;
    let iam = work.session.write.iam();
    if work.creates() {
        let tags =
            work.tags().into_iter().map(|(key, value)| built(Tag::builder().key(key).value(value).build()));
        let create = iam
            .create_role()
            .role_name(&name)
            .path(work.names.role_path())
            .description(work.names.marker())
            .assume_role_policy_document(trust.to_string())
            .set_tags(Some(tags.collect::<Result<_>>()?));
        if work.made(create.send().await.map_err(failed("iam:CreateRole", &name)))?.is_none() {
            // A try before has made it, if it is under the stage's path; else somebody else has.
            let there = work.session.read.iam().get_role().role_name(&name).send().await;
            let there = there.map_err(failed("iam:GetRole", &name))?;
            if there.role.is_some_and(|role| role.path != work.names.role_path()) {
                return Err(foreign(work.names, "role", &name));
            }
        }
    } else if work.field("trust").is_some() {
        let update = iam.update_assume_role_policy().role_name(&name).policy_document(trust.to_string());
        update.send().await.map_err(failed("iam:UpdateAssumeRolePolicy", &name))?;
    }
    if work.field("policy").is_some() {
        let put = iam.put_role_policy().role_name(&name).policy_name(POLICY);
        put.policy_document(policy.to_string()).send().await.map_err(failed("iam:PutRolePolicy", &name))?;
    }
    Ok(())
}

fn documents(work: &Work<'_>, schedule: bool) -> Result<(Value, Value)> {
    Ok(match schedule {
        true => (role::trust("scheduler.amazonaws.com"), role::schedule_policy(work.names, work.name)),
        false => (role::trust("lambda.amazonaws.com"), role::policy(work.names, work.spec()?)),
    })
}

/// A role goes when it has no policies any more.
pub(super) async fn delete(work: &Work<'_>, schedule: bool) -> Result<()> {
    let name = name(work, schedule);
    let iam = work.session.write.iam();
    let policy = iam.delete_role_policy().role_name(&name).policy_name(POLICY).send().await;
    optional(policy.map_err(failed("iam:DeleteRolePolicy", &name)))?;
    optional(iam.delete_role().role_name(&name).send().await.map_err(failed("iam:DeleteRole", &name)))?;
    Ok(())
}

/// Makes a log group, or sets how long it keeps a line.
pub(super) async fn log_group(work: &Work<'_>) -> Result<()> {
    let group = work.names.log_group(&work.function());
    let logs = work.session.write.logs();
    if work.creates() {
        let create = logs.create_log_group().log_group_name(&group);
        let create = create.set_tags(Some(work.tags().into_iter().collect()));
        work.made(create.send().await.map_err(failed("logs:CreateLogGroup", &group)))?;
    }
    if let Some(days) = work.number("retention_days") {
        let put = logs.put_retention_policy().log_group_name(&group).retention_in_days(days);
        put.send().await.map_err(failed("logs:PutRetentionPolicy", &group))?;
    }
    Ok(())
}

pub(super) async fn delete_log_group(work: &Work<'_>) -> Result<()> {
    let group = work.names.log_group(&work.function());
    let gone = work.session.write.logs().delete_log_group().log_group_name(&group).send().await;
    optional(gone.map_err(failed("logs:DeleteLogGroup", &group)))?;
    Ok(())
}
