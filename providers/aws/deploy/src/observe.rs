//! What is: asked of each service by the names that are wanted, and by the stage's tags for what is wanted no longer.

mod data;
pub(crate) mod function;
pub(crate) mod triggers;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_lambda::operation::get_function::GetFunctionOutput;
use aws_sdk_resourcegroupstagging::types::TagFilter;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::Value;
use xcloud_core::spec::{FunctionSpec, HTTP_FUNCTION};
use xcloud_core::{Error, Result};
use xcloud_deploy::{Desired, Observed, Resource, Serving};

use crate::client::Session;
use crate::error::failed;
use crate::names::{Names, PROJECT_TAG, STAGE_TAG};
use crate::wanted::Fields;

/// How many functions are asked about at once.
const AT_ONCE: usize = 8;

/// Published versions among the observed resources: `published/<function>/<number>`. A plan looks them up and does not
/// show them.
pub(crate) const PUBLISHED: &str = "published/";

/// What several questions are answered from.
pub(crate) struct Look<'a> {
    pub(crate) session: &'a Session,
    pub(crate) names: &'a Names,
    pub(crate) desired: &'a Desired,
    /// The stage's resources by ARN, as far as the tagging service knows by now.
    pub(crate) tagged: BTreeSet<String>,
    /// The stage's roles by name: who may take them on.
    pub(crate) roles: BTreeMap<String, Value>,
    /// Log groups by name: the days that a line is kept.
    pub(crate) groups: BTreeMap<String, Option<i32>>,
    /// The function that was asked about before all this, by its name in the app, and what there was.
    pub(crate) first: Option<(String, Option<GetFunctionOutput>)>,
}

/// Asks for everything.
///
/// # Errors
/// What AWS answered; [`xcloud_core::ErrorKind::Conflict`] for a wanted name that something else has.
pub(crate) async fn observe(session: &Session, names: &Names, desired: &Desired) -> Result<Observed> {
    let first = first(session, names, desired).await?;
    let look = Look { first, ..Look::bulk(session, names, desired).await? };
    let (data, functions) = tokio::try_join!(data::all(&look), functions(&look))?;
    let url = functions.iter().find(|r| r.id == "url/http").and_then(|r| r.fields.get("url"));
    let url = url.and_then(Value::as_str).map(|url| url.trim_end_matches('/').to_owned());
    Ok(Observed { resources: data.into_iter().chain(functions).collect(), url })
}

/// What the aliases of an observation say that serves; `None` where a wanted function has none yet.
pub(crate) fn serving(desired: &Desired, observed: &Observed, names: &Names) -> Option<Vec<Serving>> {
    let versions = crate::plan::published(observed);
    let one = |function: &FunctionSpec| {
        let name = function.name.as_str();
        let alias = observed.resources.iter().find(|r| r.id == crate::wanted::id("alias", name))?;
        let number: u64 = alias.fields.get("published")?.as_str()?.parse().ok()?;
        let version = versions.get(name)?.iter().find(|(published, _)| published.number == number);
        Some(Serving {
            name: name.to_owned(),
            resource: names.function(name),
            version: version.map(|(published, _)| published.label.version()),
            url: observed.url.clone().filter(|_| name == HTTP_FUNCTION),
        })
    };
    let mut all: Vec<_> = desired.spec.functions.iter().map(one).collect::<Option<_>>()?;
    all.sort_by_key(|serving| (serving.name != HTTP_FUNCTION, serving.name.clone()));
    Some(all)
}

/// The function that guards a deployment is looked at before all else: whoever writes to it after that is found out by
/// its revision, and whoever has done so before is seen in all that follows.
async fn first(
    session: &Session,
    names: &Names,
    desired: &Desired,
) -> Result<Option<(String, Option<GetFunctionOutput>)>> {
    let Some(first) = desired.spec.functions.first() else { return Ok(None) };
    let there = function::ask(session, &names.function(&first.name)).await?;
    Ok(Some((first.name.clone(), there)))
}

/// Functions that are wanted or there, with what is theirs.
async fn functions(look: &Look<'_>) -> Result<Vec<Resource>> {
    let found: Vec<Vec<Resource>> = stream::iter(look.functions())
        .map(|name| async move { function::observe(look, &name).await })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}

impl<'a> Look<'a> {
    /// Asks what one call answers for all.
    pub(crate) async fn bulk(session: &'a Session, names: &'a Names, desired: &'a Desired) -> Result<Self> {
        let (tagged, roles, groups) =
            tokio::try_join!(tagged(session, names), roles(session, names), groups(session, names))?;
        Ok(Self { session, names, desired, tagged, roles, groups, first: None })
    }

    /// The functions' names in the app: the wanted ones in their order, then what else is there.
    pub(crate) fn functions(&self) -> Vec<String> {
        let mut all: Vec<String> = self.desired.spec.functions.iter().map(|f| f.name.clone()).collect();
        let wanted: BTreeSet<_> = all.iter().map(|name| self.names.function(name)).collect();
        let mut others = BTreeSet::new();
        let start = self.names.function_arn("");
        let tagged = self.tagged.iter().filter_map(|arn| arn.strip_prefix(&start));
        let roles = self.roles.keys().map(|role| role.strip_suffix(".schedule").unwrap_or(role));
        for resource in tagged.chain(roles).filter(|resource| !wanted.contains(*resource)) {
            others.extend(self.names.logical(resource).map(str::to_owned));
        }
        all.extend(others);
        all
    }

    /// Whether an ARN is known to be the stage's.
    pub(crate) fn is_tagged(&self, arn: &str) -> bool {
        self.tagged.contains(arn)
    }

    /// The wanted function of this name.
    pub(crate) fn wanted(&self, function: &str) -> Option<&FunctionSpec> {
        self.desired.spec.function(function)
    }
}

/// Whether tags are the stage's.
pub(crate) fn ours(names: &Names, get: impl Fn(&str) -> Option<String>) -> bool {
    get(PROJECT_TAG).as_deref() == Some(names.stage.project.as_str())
        && get(STAGE_TAG).as_deref() == Some(names.stage.stage.as_str())
}

/// A name that is taken.
pub(crate) fn foreign(names: &Names, what: &str, name: &str) -> Error {
    let message = format!(
        "the {what} {name} is there already and is not this stage's: it has no tags {PROJECT_TAG}={} and {STAGE_TAG}={}",
        names.stage.project, names.stage.stage
    );
    Error::conflict(message)
        .with("hint", "remove it, or deploy under another project or stage name; xcloud never takes over what is not its own")
}

async fn tagged(session: &Session, names: &Names) -> Result<BTreeSet<String>> {
    let filter = |key: &str, value: &str| TagFilter::builder().key(key).values(value).build();
    let pages = session
        .read
        .tagging()
        .get_resources()
        .tag_filters(filter(PROJECT_TAG, &names.stage.project))
        .tag_filters(filter(STAGE_TAG, &names.stage.stage))
        .into_paginator()
        .items()
        .send()
        .try_collect()
        .await
        .map_err(failed("tag:GetResources", "the stage's tags"))?;
    Ok(pages.into_iter().filter_map(|mapping| mapping.resource_arn).collect())
}

async fn roles(session: &Session, names: &Names) -> Result<BTreeMap<String, Value>> {
    let path = names.role_path();
    let roles = session.read.iam().list_roles().path_prefix(&path).into_paginator().items().send();
    let roles = roles.try_collect().await.map_err(failed("iam:ListRoles", &path))?;
    let trust = |role: &aws_sdk_iam::types::Role| document(role.assume_role_policy_document());
    Ok(roles.iter().map(|role| (role.role_name.clone(), trust(role))).collect())
}

async fn groups(session: &Session, names: &Names) -> Result<BTreeMap<String, Option<i32>>> {
    let prefix = names.log_group(&names.prefix());
    let groups = session.read.logs().describe_log_groups().log_group_name_prefix(&prefix);
    let groups = groups.into_paginator().items().send().try_collect().await;
    let groups = groups.map_err(failed("logs:DescribeLogGroups", &prefix))?;
    Ok(groups.into_iter().filter_map(|g| Some((g.log_group_name?, g.retention_in_days))).collect())
}

/// IAM writes its documents percent-encoded.
pub(crate) fn document(text: Option<&str>) -> Value {
    let text = text.unwrap_or_default();
    let plain = serde_json::from_str(text);
    plain.or_else(|_| serde_json::from_slice(&percent_decoded(text))).unwrap_or_default()
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.filter(|_| *first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

/// A resource that is there.
pub(crate) fn found(kind: &str, name: &str, fields: Fields, needs: Vec<String>) -> Resource {
    Resource { id: crate::wanted::id(kind, name), fields, data: false, needs }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_in_both_forms() {
        let expected = serde_json::json!({ "a": "b c" });
        assert_eq!(document(Some(r#"{"a":"b c"}"#)), expected);
        assert_eq!(document(Some("%7B%22a%22%3A%22b%20c%22%7D")), expected);
        assert_eq!(document(Some("%7")), Value::Null);
    }
}
