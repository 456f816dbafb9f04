//! What serves: each function's published versions, and where its alias goes.

use std::collections::BTreeMap;

use aws_sdk_lambda::types as lambda;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use xcloud_core::{Error, Result};
use xcloud_deploy::Desired;

use crate::client::Session;
use crate::error::{failed, optional};
use crate::label::Label;
use crate::names::{ALIAS, Names};
use crate::observe::Look;
use crate::plan::Published;

/// A function that is deployed.
#[derive(Debug)]
pub(crate) struct Live {
    /// Its name in the app.
    pub(crate) name: String,
    /// Its name at AWS.
    pub(crate) resource: String,
    /// What is published, the newest first.
    pub(crate) versions: Vec<(Published, lambda::FunctionConfiguration)>,
    /// Where its traffic goes.
    pub(crate) alias: Option<Alias>,
}

/// The alias that traffic goes to.
#[derive(Debug)]
pub(crate) struct Alias {
    /// Lambda's number of the version that has the most of it.
    pub(crate) number: u64,
    /// Lambda's numbers of others, with their shares of 1.
    pub(crate) others: BTreeMap<u64, f64>,
    /// What it was when it was read.
    pub(crate) revision: Option<String>,
}

impl Live {
    /// The version that the alias is at, if xcloud has published it.
    pub(crate) fn serving(&self) -> Option<&Published> {
        let number = self.alias.as_ref()?.number;
        self.versions.iter().map(|(published, _)| published).find(|published| published.number == number)
    }

    pub(crate) fn config_serving(&self) -> Option<&lambda::FunctionConfiguration> {
        let number = self.alias.as_ref()?.number;
        self.versions.iter().find(|(published, _)| published.number == number).map(|(_, config)| config)
    }

    /// What the function is in a version of the app: what was published in it, or last before it.
    pub(crate) fn at(&self, version: u64) -> Option<&(Published, lambda::FunctionConfiguration)> {
        self.versions
            .iter()
            .filter(|(p, _)| p.label.number <= version)
            .max_by_key(|(p, _)| (p.label.number, p.number))
    }
}

/// All functions of a stage.
///
/// # Errors
/// [`xcloud_core::ErrorKind::NotFound`] when there are none.
pub(crate) async fn live(session: &Session, names: &Names) -> Result<Vec<Live>> {
    let desired = Desired::nothing(names.stage.clone());
    let look = Look::bulk(session, names, &desired).await?;
    let found: Vec<Option<Live>> = stream::iter(look.functions())
        .map(|name| async move { read(session, names, &name).await })
        .buffered(8)
        .try_collect()
        .await?;
    let mut found: Vec<Live> = found.into_iter().flatten().collect();
    found.sort_by_key(|live| (live.name != xcloud_core::spec::HTTP_FUNCTION, live.name.clone()));
    if found.is_empty() {
        return Err(missing(names));
    }
    Ok(found)
}

fn missing(names: &Names) -> Error {
    let message = format!(
        "{}-{} is not deployed to AWS (account {}, {})",
        names.stage.project, names.stage.stage, names.account, names.region
    );
    Error::not_found(message)
        .with("hint", "`xcloud deploy -p aws` does that; is it the right region and account?")
}

/// One function.
///
/// # Errors
/// [`xcloud_core::ErrorKind::NotFound`] with the functions that there are.
pub(crate) async fn one(session: &Session, names: &Names, name: &str) -> Result<Live> {
    match read(session, names, name).await? {
        Some(found) => Ok(found),
        None => {
            let known: Vec<_> = live(session, names).await?.into_iter().map(|live| live.name).collect();
            let message = format!("no function `{name}` is deployed; there is {}", known.join(", "));
            Err(Error::not_found(message))
        }
    }
}

async fn read(session: &Session, names: &Names, name: &str) -> Result<Option<Live>> {
    let resource = names.function(name);
    let (versions, alias) = tokio::try_join!(versions(session, &resource), alias(session, &resource))?;
    Ok(versions.map(|versions| Live { name: name.to_owned(), resource, versions, alias }))
}

async fn versions(
    session: &Session,
    resource: &str,
) -> Result<Option<Vec<(Published, lambda::FunctionConfiguration)>>> {
    let listed = session.read.lambda().list_versions_by_function().function_name(resource);
    let listed = listed.into_paginator().items().send().try_collect().await;
    let listed = optional(listed.map_err(failed("lambda:ListVersionsByFunction", resource)))?;
    let one = |config: lambda::FunctionConfiguration| {
        let label = Label::parse(config.description()?)?;
        Some((Published { number: config.version()?.parse().ok()?, label }, config))
    };
    Ok(listed.map(|listed| {
        let mut all: Vec<_> = listed.into_iter().filter_map(one).collect();
        all.sort_by_key(|(published, _)| std::cmp::Reverse(published.number));
        all
    }))
}

async fn alias(session: &Session, resource: &str) -> Result<Option<Alias>> {
    let asked = session.read.lambda().get_alias().function_name(resource).name(ALIAS).send().await;
    let alias = optional(asked.map_err(failed("lambda:GetAlias", resource)))?;
    Ok(alias.and_then(|alias| {
        let weights = alias.routing_config.and_then(|routing| routing.additional_version_weights);
        let weights = weights.into_iter().flatten();
        Some(Alias {
            number: alias.function_version?.parse().ok()?,
            others: weights.filter_map(|(number, share)| Some((number.parse().ok()?, share))).collect(),
            revision: alias.revision_id,
        })
    }))
}
