//! A function: its code and settings, its published versions, its alias.

use std::collections::BTreeSet;

use aws_sdk_lambda::operation::get_function::GetFunctionOutput;
use aws_sdk_lambda::types::FunctionConfiguration;
use serde_json::{Value, json};
use xcloud_core::Result;
use xcloud_core::spec::TriggerSpec;
use xcloud_deploy::{Desired, Resource, Secret};

use super::{Look, PUBLISHED, foreign, found, ours, triggers};
use crate::client::Session;
use crate::error::{failed, optional};
use crate::label::Label;
use crate::names::{ALIAS, POLICY};
use crate::wanted::{Fields, SECRETS, given_role, id};

/// Everything of a function: nothing, if nothing is there.
pub(super) async fn observe(look: &Look<'_>, name: &str) -> Result<Vec<Resource>> {
    let resource = look.names.function(name);
    let (role, group, there) = tokio::try_join!(roles(look, name), log_group(look, name), async {
        match &look.first {
            Some((first, there)) if first == name => Ok(there.clone()),
            _ => ask(look.session, &resource).await,
        }
    })?;
    let mut all = role;
    all.extend(group);
    let Some(answer) = there else {
        all.extend(triggers::schedule(look, name).await?);
        return Ok(all);
    };
    let tags = answer.tags.unwrap_or_default();
    if !ours(look.names, |key| tags.get(key).cloned()) {
        return if look.wanted(name).is_some() {
            Err(foreign(look.names, "function", &resource))
        } else {
            Ok(all)
        };
    }
    let config = answer.configuration.unwrap_or_else(|| FunctionConfiguration::builder().build());
    let mut fields = fields_of(look.desired, name, &config);
    let reserved = answer.concurrency.and_then(|c| c.reserved_concurrent_executions);
    fields.extend(reserved.map(|n| ("max_instances".to_owned(), Value::from(n))));
    fields.extend(config.revision_id.clone().map(|id| ("revision".to_owned(), Value::from(id))));
    let label = config.description.as_deref().and_then(Label::parse);
    fields.extend(label.map(|label| ("deployment".to_owned(), Value::from(label.version()))));
    let needs = ["role", "log-group", "failures"].map(|kind| id(kind, name)).to_vec();
    all.push(found("function", name, fields, needs));
    if look.wanted(name).is_some() {
        let (versions, alias) = tokio::try_join!(versions(look, name), alias(look, name))?;
        all.extend(versions);
        all.extend(alias);
    }
    all.extend(triggers::observe(look, name).await?);
    Ok(all)
}

/// What Lambda says of a function, if it is there.
pub(super) async fn ask(session: &Session, resource: &str) -> Result<Option<GetFunctionOutput>> {
    let asked = session.read.lambda().get_function().function_name(resource).send().await;
    optional(asked.map_err(failed("lambda:GetFunction", resource)))
}

/// The roles by the stage's path.
async fn roles(look: &Look<'_>, name: &str) -> Result<Vec<Resource>> {
    let mut all = Vec::new();
    let kinds = [("role", look.names.function(name)), ("schedule-role", look.names.schedule_role(name))];
    for (kind, role) in kinds {
        let trust = match look.roles.get(&role) {
            Some(trust) => Some(trust.clone()),
            None if needs_role(look, kind, name) => unlisted(look, &role).await?,
            None => None,
        };
        let Some(trust) = trust else { continue };
        let mut fields = Fields::from([("trust".to_owned(), trust)]);
        // What a role says that nobody wants any more does not matter.
        if look.wanted(name).is_some() {
            let asked = look.session.read.iam().get_role_policy().role_name(&role).policy_name(POLICY).send();
            let policy = optional(asked.await.map_err(failed("iam:GetRolePolicy", &role)))?;
            let policy = policy.map(|policy| super::document(Some(&policy.policy_document)));
            fields.extend(policy.map(|policy| ("policy".to_owned(), policy)));
        }
        all.push(found(kind, name, fields, Vec::new()));
    }
    Ok(all)
}

fn needs_role(look: &Look<'_>, kind: &str, name: &str) -> bool {
    look.wanted(name).is_some_and(|function| match kind {
        "role" => given_role(look.desired, name).is_none(),
        _ => matches!(function.trigger, TriggerSpec::Schedule { .. }),
    })
}

/// Who may take on a role that is to be made, if it is there and not listed yet. Roles' names are the account's, whatever their
/// path: one under another path is somebody else's.
async fn unlisted(look: &Look<'_>, role: &str) -> Result<Option<Value>> {
    let asked = look.session.read.iam().get_role().role_name(role).send().await;
    let asked = optional(asked.map_err(failed("iam:GetRole", role)))?;
    let Some(there) = asked.and_then(|asked| asked.role) else { return Ok(None) };
    if there.path != look.names.role_path() {
        return Err(foreign(look.names, "role", role));
    }
    Ok(Some(super::document(there.assume_role_policy_document())))
}

/// The group by the function's name: one without the stage's tags is somebody else's, such as of a function that was there
/// before.
async fn log_group(look: &Look<'_>, name: &str) -> Result<Option<Resource>> {
    let group = look.names.log_group(&look.names.function(name));
    let Some(days) = look.groups.get(&group) else { return Ok(None) };
    let arn = look.names.log_group_arn(&group);
    if !look.is_tagged(&arn) {
        let tags = look.session.read.logs().list_tags_for_resource().resource_arn(&arn).send().await;
        // A group that has just gone may still be listed.
        let tags = optional(tags.map_err(failed("logs:ListTagsForResource", &group)))?;
        let Some(tags) = tags.map(|tags| tags.tags.unwrap_or_default()) else { return Ok(None) };
        if !ours(look.names, |key| tags.get(key).cloned()) {
            let wanted = look.wanted(name).is_some();
            return if wanted { Err(foreign(look.names, "log group", &group)) } else { Ok(None) };
        }
    }
    let mut fields = Fields::new();
    fields.extend(days.map(|days| ("retention_days".to_owned(), Value::from(days))));
    // The role is how the rest is found again: it goes last.
    Ok(Some(found("log-group", name, fields, vec![id("role", name)])))
}

/// What a configuration says, in the words of a plan.
pub(crate) fn fields_of(desired: &Desired, name: &str, config: &FunctionConfiguration) -> Fields {
    let text = |value: Option<&str>| Value::from(value.unwrap_or_default());
    let arch = match config.architectures().first() {
        Some(aws_sdk_lambda::types::Architecture::Arm64) => "arm64",
        _ => "x86_64",
    };
    let log = config.logging_config().and_then(|log| log.log_format());
    let mut all = Fields::from([
        ("arch".to_owned(), arch.into()),
        ("code_sha256".to_owned(), text(config.code_sha256())),
        ("handler".to_owned(), text(config.handler())),
        ("log_format".to_owned(), log.map_or("Text", |log| log.as_str()).into()),
        ("role".to_owned(), text(config.role())),
        ("runtime".to_owned(), config.runtime().map_or("", |runtime| runtime.as_str()).into()),
    ]);
    all.extend(config.memory_size().map(|n| ("memory_mb".to_owned(), Value::from(n))));
    all.extend(config.timeout().map(|n| ("timeout_seconds".to_owned(), Value::from(n))));
    let variables = config.environment().and_then(|env| env.variables());
    let hidden = hidden(desired, name, variables.and_then(|v| v.get(SECRETS)).map(String::as_str));
    for (variable, value) in variables.into_iter().flatten() {
        match hidden.contains(variable.as_str()) {
            true => all.insert(format!("secrets.{variable}"), Secret::new(value).fingerprint()),
            false => all.insert(format!("env.{variable}"), value.as_str().into()),
        };
    }
    all
}

/// The variables that hold secrets: those that did when it was deployed, and those that are to.
fn hidden(desired: &Desired, name: &str, known: Option<&str>) -> BTreeSet<String> {
    let known = known.into_iter().flat_map(|known| known.split(',')).map(str::to_owned);
    let wanted = desired.secrets.get(name).into_iter().flatten().map(|(variable, _)| variable.clone());
    known.chain(wanted).collect()
}

/// The versions that xcloud has published.
async fn versions(look: &Look<'_>, name: &str) -> Result<Vec<Resource>> {
    let resource = look.names.function(name);
    let listed = look.session.read.lambda().list_versions_by_function().function_name(&resource);
    let listed = listed.into_paginator().items().send().try_collect().await;
    let listed = listed.map_err(failed("lambda:ListVersionsByFunction", &resource))?;
    let version = |config: &FunctionConfiguration| {
        let (number, label) = published(config)?;
        let mut fields = fields_of(look.desired, name, config);
        fields.insert("label".to_owned(), label.to_string().into());
        fields.insert("created".to_owned(), config.last_modified().unwrap_or_default().into());
        Some(found(&format!("{PUBLISHED}{name}"), number, fields, Vec::new()))
    };
    Ok(listed.iter().filter_map(version).collect())
}

/// Lambda's number of a version that xcloud has published, and what it is labelled with.
pub(crate) fn published(config: &FunctionConfiguration) -> Option<(&str, Label)> {
    let label = Label::parse(config.description()?)?;
    Some((config.version().filter(|number| *number != "$LATEST")?, label))
}

async fn alias(look: &Look<'_>, name: &str) -> Result<Option<Resource>> {
    let resource = look.names.function(name);
    let asked = look.session.read.lambda().get_alias().function_name(&resource).name(ALIAS).send().await;
    let Some(alias) = optional(asked.map_err(failed("lambda:GetAlias", &resource)))? else { return Ok(None) };
    let mut fields = Fields::new();
    fields.insert("published".to_owned(), alias.function_version.unwrap_or_default().into());
    let weights = alias.routing_config.and_then(|routing| routing.additional_version_weights);
    let weights: serde_json::Map<String, Value> =
        weights.into_iter().flatten().map(|(version, weight)| (version, json!(weight))).collect();
    if !weights.is_empty() {
        fields.insert("weights".to_owned(), weights.into());
    }
    fields.extend(alias.revision_id.map(|id| ("revision".to_owned(), Value::from(id))));

    Ok(Some(found("alias", name, fields, vec![id("function", name)])))
}
