//! The rights that whoever applies a plan needs: exactly these, as an IAM policy. Pure.
//!
//! Which action a call needs, and on what, is the Service Authorization Reference's to say
//! (<https://docs.aws.amazon.com/service-authorization/latest/reference/>).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use xcloud_core::spec::TriggerSpec;
use xcloud_deploy::{Action, Change, Desired, Plan};

use crate::names::Names;
use crate::plan::prune;
use crate::wanted::{ARTIFACTS, given_role};

/// Actions by resource.
type Rights = BTreeMap<String, BTreeSet<&'static str>>;

/// The policy of a plan: what is read to make it, and what its steps write.
pub(crate) fn policy(desired: &Desired, plan: &Plan, names: &Names) -> Value {
    let mut rights = Rights::new();
    // Lists are of everything.
    for action in [
        "iam:ListRoles",
        "lambda:ListEventSourceMappings",
        "logs:DescribeLogGroups",
        "sts:GetCallerIdentity",
        "tag:GetResources",
    ] {
        add(&mut rights, "*", &[action]);
    }
    for change in &plan.changes {
        if let Some((function, _)) = prune::number(&change.resource) {
            let versions = format!("{}:*", names.function_arn(&names.function(function)));
            add(&mut rights, &versions, &["lambda:DeleteFunction"]);
            continue;
        }
        let Some((kind, name)) = change.resource.split_once('/') else { continue };
        reads(&mut rights, names, kind, name);
        if !matches!(change.action, Action::Unchanged | Action::Kept) {
            writes(&mut rights, names, desired, change, (kind, name));
        }
    }
    document(rights)
}

fn add(rights: &mut Rights, resource: &str, actions: &[&'static str]) {
    rights.entry(resource.to_owned()).or_default().extend(actions);
}

/// Statements with the same actions become one.
fn document(rights: Rights) -> Value {
    let mut by_actions: BTreeMap<BTreeSet<&str>, Vec<String>> = BTreeMap::new();
    for (resource, actions) in rights.into_iter().filter(|(_, actions)| !actions.is_empty()) {
        by_actions.entry(actions).or_default().push(resource);
    }
    let statements = by_actions
        .into_iter()
        .map(|(actions, resources)| json!({ "Effect": "Allow", "Action": actions, "Resource": resources }));
    json!({ "Version": "2012-10-17", "Statement": statements.collect::<Vec<_>>() })
}

/// What is asked about a resource when a plan is made, and while a step waits.
fn reads(rights: &mut Rights, names: &Names, kind: &str, name: &str) {
    let function = names.function(name);
    let alias = names.alias_arn(&function);
    let mut add = |resource: &str, actions: &[&'static str]| add(rights, resource, actions);
    match kind {
        "queue" => {
            // Its dead letters are looked for where nobody consumes it any more, too.
            for queue in [names.queue(name), names.dead_letters(name)] {
                add(&names.queue_arn(&queue), &["sqs:GetQueueAttributes", "sqs:ListQueueTags"]);
            }
        }
        "dead-letters" | "failures" => {
            let queue = if kind == "failures" { names.failures(name) } else { names.dead_letters(name) };
            add(&names.queue_arn(&queue), &["sqs:GetQueueAttributes", "sqs:ListQueueTags"]);
        }
        "async" => {
            add(&names.function_arn(&function), &["lambda:GetFunctionEventInvokeConfig"]);
            add(&alias, &["lambda:GetFunctionEventInvokeConfig"]);
        }
        "bucket" | "artifacts" => {
            let bucket = names.bucket_arn(&names.bucket(name));
            add(&bucket, &["s3:GetBucketNotification", "s3:GetBucketTagging", "s3:ListBucket"]);
        }
        "table" => {
            let actions = ["dynamodb:DescribeTable", "dynamodb:ListTagsOfResource", "dynamodb:Scan"];
            add(&names.table_arn(&names.table(name)), &actions);
        }
        "topic" => {
            let actions =
                ["sns:GetTopicAttributes", "sns:ListSubscriptionsByTopic", "sns:ListTagsForResource"];
            add(&names.topic_arn(&names.topic(name)), &actions);
        }
        "role" | "schedule-role" => {
            let role = if kind == "role" { function } else { names.schedule_role(name) };
            add(&names.role_arn(&role), &["iam:GetRole", "iam:GetRolePolicy"]);
            // Of a role that is not there, or not where the stage's are, only the name is known.
            add(&names.plain_role_arn(&role), &["iam:GetRole"]);
        }
        "function" => {
            let own = ["lambda:GetAlias", "lambda:GetFunction", "lambda:ListVersionsByFunction"];
            add(&names.function_arn(&function), &own);
            add(&names.function_arn(&function), &["lambda:GetFunctionConfiguration"]);
            // The reference says the function, where the call names its alias.
            add(&names.function_arn(&function), &["lambda:GetPolicy"]);
            add(&alias, &["lambda:GetPolicy", "lambda:GetProvisionedConcurrencyConfig"]);
        }
        "version" => {
            add(&format!("{}:*", names.function_arn(&function)), &["lambda:GetFunctionConfiguration"]);
        }
        "url" => add(&names.function_arn(&function), &["lambda:GetFunctionUrlConfig"]),
        "log-group" => {
            add(&names.log_group_arn(&names.log_group(&function)), &["logs:ListTagsForResource"]);
        }
        "mapping" => add("*", &["lambda:GetEventSourceMapping"]),
        "schedule" => add(&names.schedule_arn(&function), &["scheduler:GetSchedule"]),
        _ => {}
    }
}

/// What is done to a resource.
#[derive(Clone, Copy)]
enum Done {
    Made,
    Changed,
    Gone,
}

impl Done {
    /// The actions of what is done: of making, of changing, of removing.
    fn of(
        self,
        made: &'static [&'static str],
        changed: &'static [&'static str],
        gone: &'static [&'static str],
    ) -> &'static [&'static str] {
        match self {
            Self::Made => made,
            Self::Changed => changed,
            Self::Gone => gone,
        }
    }
}

/// What a step may call.
fn writes(
    rights: &mut Rights,
    names: &Names,
    desired: &Desired,
    change: &Change,
    (kind, name): (&str, &str),
) {
    let done = match change.action {
        Action::Create => Done::Made,
        Action::Delete => Done::Gone,
        _ => Done::Changed,
    };
    let function = names.function(name);
    let arn = names.function_arn(&function);
    match kind {
        "queue" | "dead-letters" | "failures" => {
            let queue = match kind {
                "queue" => names.queue(name),
                "failures" => names.failures(name),
                _ => names.dead_letters(name),
            };
            let made = &["sqs:CreateQueue", "sqs:SetQueueAttributes", "sqs:TagQueue"];
            let actions = done.of(made, &["sqs:SetQueueAttributes"], &["sqs:DeleteQueue"]);
            add(rights, &names.queue_arn(&queue), actions);
        }
        "bucket" | "artifacts" => bucket(rights, names, name, done),
        "table" => {
            let made = &["dynamodb:CreateTable", "dynamodb:TagResource", "dynamodb:UpdateTable"];
            let actions = done.of(made, &["dynamodb:UpdateTable"], &["dynamodb:DeleteTable"]);
            add(rights, &names.table_arn(&names.table(name)), actions);
        }
        "topic" => {
            let actions = done.of(&["sns:CreateTopic", "sns:TagResource"], &[], &["sns:DeleteTopic"]);
            add(rights, &names.topic_arn(&names.topic(name)), actions);
        }
        "role" | "schedule-role" => {
            let role = if kind == "role" { function } else { names.schedule_role(name) };
            let made = &["iam:CreateRole", "iam:PutRolePolicy", "iam:TagRole"];
            let changed = &["iam:PutRolePolicy", "iam:UpdateAssumeRolePolicy"];
            let actions = done.of(made, changed, &["iam:DeleteRole", "iam:DeleteRolePolicy"]);
            add(rights, &names.role_arn(&role), actions);
        }
        "log-group" => {
            let made = &["logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:TagResource"];
            let actions = done.of(made, &["logs:PutRetentionPolicy"], &["logs:DeleteLogGroup"]);
            add(rights, &names.log_group_arn(&names.log_group(&function)), actions);
        }
        "function" => function_rights(rights, names, desired, (change, name), done),
        "version" => add(rights, &arn, &["lambda:PublishVersion", "lambda:UpdateFunctionConfiguration"]),
        "alias" => {
            let actions =
                done.of(&["lambda:CreateAlias", "lambda:UpdateAlias"], &["lambda:UpdateAlias"], &[]);
            add(rights, &arn, actions);
        }
        _ => trigger(rights, names, desired, (kind, name), done),
    }
}

fn bucket(rights: &mut Rights, names: &Names, name: &str, done: Done) {
    let bucket = names.bucket_arn(&names.bucket(name));
    let made = &["s3:CreateBucket", "s3:PutBucketTagging"];
    let gone = &["s3:DeleteBucket", "s3:ListBucketVersions"];
    add(rights, &bucket, done.of(made, &["s3:PutBucketTagging"], gone));
    let objects = done.of(&[], &[], &["s3:DeleteObject", "s3:DeleteObjectVersion"]);
    if !objects.is_empty() {
        add(rights, &format!("{bucket}/*"), objects);
    }
}

fn function_rights(
    rights: &mut Rights,
    names: &Names,
    desired: &Desired,
    (change, name): (&Change, &str),
    done: Done,
) {
    let function = names.function(name);
    let arn = names.function_arn(&function);
    let changes = |path: &str| change.fields.iter().any(|field| field.path == path);
    let made = &["lambda:CreateFunction", "lambda:TagResource"];
    add(rights, &arn, done.of(made, &["lambda:UpdateFunctionConfiguration"], &["lambda:DeleteFunction"]));
    if matches!(done, Done::Gone) {
        return;
    }
    if changes("code_sha256") || changes("arch") {
        add(rights, &arn, &["lambda:UpdateFunctionCode"]);
        if crate::wanted::is_large(desired) {
            let objects = format!("{}/*", names.bucket_arn(&names.bucket(ARTIFACTS)));
            add(rights, &objects, &["s3:GetObject", "s3:PutObject"]);
        }
    }
    if changes("max_instances") {
        add(rights, &arn, &["lambda:DeleteFunctionConcurrency", "lambda:PutFunctionConcurrency"]);
    }
    if changes("role") {
        let role = given_role(desired, name).map_or_else(|| names.role_arn(&function), str::to_owned);
        add(rights, &role, &["iam:PassRole"]);
    }
}

fn trigger(rights: &mut Rights, names: &Names, desired: &Desired, (kind, name): (&str, &str), done: Done) {
    let function = names.function(name);
    let arn = names.function_arn(&function);
    let permissions = done.of(
        &["lambda:AddPermission"],
        &["lambda:AddPermission", "lambda:RemovePermission"],
        &["lambda:GetPolicy", "lambda:RemovePermission"],
    );
    match kind {
        "url" => {
            let made =
                &["lambda:AddPermission", "lambda:CreateFunctionUrlConfig", "lambda:UpdateFunctionUrlConfig"];
            let changed =
                &["lambda:AddPermission", "lambda:RemovePermission", "lambda:UpdateFunctionUrlConfig"];
            let actions = done.of(made, changed, &["lambda:DeleteFunctionUrlConfig"]);
            add(rights, &arn, actions);
            add(rights, &names.alias_arn(&function), actions);
        }
        "mapping" => {
            // What they are bound to is a condition, not a resource: the mapping itself has an id that nobody knows yet.
            let made = &["lambda:CreateEventSourceMapping", "lambda:TagResource"];
            let changed = &[
                "lambda:CreateEventSourceMapping",
                "lambda:DeleteEventSourceMapping",
                "lambda:TagResource",
                "lambda:UpdateEventSourceMapping",
            ];
            add(rights, "*", done.of(made, changed, &["lambda:DeleteEventSourceMapping"]));
        }
        "schedule" => {
            let changed = &["scheduler:UpdateSchedule"];
            let actions = done.of(
                &["scheduler:CreateSchedule", "scheduler:UpdateSchedule"],
                changed,
                &["scheduler:DeleteSchedule"],
            );
            add(rights, &names.schedule_arn(&function), actions);
            if !matches!(done, Done::Gone) {
                add(rights, &names.role_arn(&names.schedule_role(name)), &["iam:PassRole"]);
            }
        }
        "notification" => {
            add(rights, &arn, permissions);
            add(rights, &names.alias_arn(&function), permissions);
            for bucket in sources(names, desired, name) {
                let bucket = names.bucket_arn(&bucket);
                add(rights, &bucket, &["s3:GetBucketNotification", "s3:PutBucketNotification"]);
            }
        }
        "subscription" => {
            add(rights, &arn, permissions);
            add(rights, &names.alias_arn(&function), permissions);
            for topic in sources(names, desired, name) {
                let topic = names.topic_arn(&topic);
                add(rights, &topic, done.of(&["sns:Subscribe"], &["sns:Subscribe"], &[]));
            }
            // A subscription's name is not of a kind that rights are given for.
            add(rights, "*", done.of(&[], &["sns:Unsubscribe"], &["sns:Unsubscribe"]));
        }
        "async" => {
            let made = &["lambda:PutFunctionEventInvokeConfig"];
            for resource in [arn, names.alias_arn(&function)] {
                add(rights, &resource, done.of(made, made, &["lambda:DeleteFunctionEventInvokeConfig"]));
            }
        }
        "warm" => {
            let made =
                &["lambda:DeleteProvisionedConcurrencyConfig", "lambda:PutProvisionedConcurrencyConfig"];
            add(rights, &names.alias_arn(&function), done.of(made, made, made));
        }
        _ => {}
    }
}

/// The buckets or topics that a function is, or has been, called by: its own, one that somebody else has made, and, for
/// one that it is called by no longer, all of the stage's.
fn sources(names: &Names, desired: &Desired, function: &str) -> Vec<String> {
    let own = desired.spec.function(function).and_then(|function| match &function.trigger {
        TriggerSpec::Object { bucket, .. } => Some(names.bucket(bucket)),
        TriggerSpec::Topic { topic } => Some(names.topic(topic)),
        _ => None,
    });
    let all = format!("{}*", names.prefix());
    own.filter(|own| !own.starts_with(&names.prefix())).into_iter().chain([all]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::for_tests;
    use crate::plan::tests::{create, orders};

    #[test]
    fn versions_that_go_and_buckets_of_others_are_in_it() {
        let (mut desired, mut plan) = (orders(), create());
        plan.changes[0].action = Action::Delete;
        plan.changes[0].resource = "version/http/3".to_owned();
        let on = xcloud_core::spec::ObjectFilter::Created;
        desired.spec.functions[0].trigger = TriggerSpec::Object { bucket: "in".to_owned(), on };
        desired.existing.insert("bucket/in".to_owned(), "theirs".to_owned());
        plan.changes[1].action = Action::Create;
        plan.changes[1].resource = "notification/http".to_owned();
        let names = Names { existing: desired.existing.clone(), ..for_tests() };
        let policy = policy(&desired, &plan, &names);
        let statements = policy["Statement"].as_array().unwrap();
        let on = |action: &str| {
            let has = |s: &&Value| s["Action"].as_array().unwrap().contains(&json!(action));
            statements.iter().find(has).map(|s| s["Resource"].to_string()).unwrap_or_default()
        };
        assert!(on("lambda:DeleteFunction").contains("function:shop-dev-http:*"), "{policy:#}");
        assert!(on("s3:PutBucketNotification").contains("arn:aws:s3:::theirs\""), "{policy:#}");
    }

    #[test]
    fn a_first_deployment_needs_to_make_and_nothing_to_remove() {
        let (desired, plan) = (orders(), create());
        let policy = policy(&desired, &plan, &for_tests());
        let text = policy.to_string();
        for action in [
            "lambda:CreateFunction",
            "iam:CreateRole",
            "iam:PassRole",
            "sqs:CreateQueue",
            "lambda:PublishVersion",
        ] {
            assert!(text.contains(action), "{action} is not in {policy:#}");
        }
        assert!(!text.contains("Delete") && !text.contains("s3:"), "{policy:#}");
        let statements = policy["Statement"].as_array().unwrap();
        let everywhere: Vec<_> = statements.iter().filter(|s| s["Resource"] == json!(["*"])).collect();
        assert_eq!(
            everywhere.iter().map(|s| &s["Action"]).collect::<Vec<_>>(),
            [&json!([
                "iam:ListRoles",
                "lambda:CreateEventSourceMapping",
                "lambda:GetEventSourceMapping",
                "lambda:ListEventSourceMappings",
                "lambda:TagResource",
                "logs:DescribeLogGroups",
                "sts:GetCallerIdentity",
                "tag:GetResources"
            ])]
        );
    }
}
