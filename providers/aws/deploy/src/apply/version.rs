//! Versions and the alias that traffic goes to.

use aws_sdk_lambda::types as lambda;
use xcloud_core::{Error, ErrorKind, Result};

use super::function::{binary, code_sha256, ready, still_holds};
use super::{Work, busy, until};
use crate::client::Session;
use crate::error::{failed, optional};
use crate::label::{Label, app_digest};
use crate::names::ALIAS;
use crate::observe::function as observed;
use crate::plan::{fits, prune};
use crate::wanted::versioned;

/// Publishes what the function is now.
pub(super) async fn publish(work: &Work<'_>) -> Result<()> {
    let function = work.function();
    let label = label(work)?;
    let mut made = one(work, &function, &label).await?;
    // Lambda gives back the last version when nothing has changed since; if that one bears another number, the number is
    // what is to change.
    if Label::parse(made.1.as_deref().unwrap_or_default()).as_ref() != Some(&label) {
        let update = work.session.write.lambda().update_function_configuration().function_name(&function);
        let update = update.description(format!("{label} {}", work.memory.run)).send().await;
        update.map_err(failed("lambda:UpdateFunctionConfiguration", &function))?;
        ready(&work.session.read, &function, None).await?;
        made = one(work, &function, &label).await?;
    }
    // What gets traffic is waited for where it gets it: a deployment that was killed here has left it to the next.
    if work.desired.no_traffic {
        ready(&work.session.read, &function, Some(&made.0)).await.map(drop)
    } else {
        Ok(())
    }
}

async fn one(work: &Work<'_>, function: &str, label: &Label) -> Result<(String, Option<String>)> {
    let publish = work.session.write.lambda().publish_version().function_name(function);
    let publish = publish.code_sha256(code_sha256(work)).description(label.to_string()).send().await;
    let publish = publish.map_err(failed("lambda:PublishVersion", function)).map_err(|error| {
        // Other code than this deployment has just brought.
        let other =
            error.kind() == ErrorKind::Config && error.message().to_lowercase().contains("codesha256");
        if other { busy(error) } else { error }
    })?;
    let version =
        publish.version.ok_or_else(|| Error::handler("Lambda published a version without a number"))?;
    Ok((version, publish.description))
}

fn number(work: &Work<'_>) -> Result<u64> {
    let number = work.text("version").and_then(|version| version.strip_prefix('v')?.parse().ok());
    number.ok_or_else(|| Error::handler(format!("{} has no version in its plan", work.change.resource)))
}

fn label(work: &Work<'_>) -> Result<Label> {
    Ok(Label { number: number(work)?, binary: binary(work), app: app_digest(work.desired, work.names) })
}

/// Lambda's number of the version that this deployment has published: the newest of its number, as it is to be.
async fn published(work: &Work<'_>, function: &str) -> Result<String> {
    let number = number(work)?;
    let listed = work.session.read.lambda().list_versions_by_function().function_name(function);
    let listed = listed.into_paginator().items().send().try_collect().await;
    let listed = listed.map_err(failed("lambda:ListVersionsByFunction", function))?;
    let mut all: Vec<_> =
        listed.iter().filter_map(|config| Some((observed::published(config)?, config))).collect();
    all.retain(|((_, label), _)| label.number == number);
    all.sort_by_key(|((version, _), _)| std::cmp::Reverse(version.parse::<u64>().unwrap_or_default()));
    if all.is_empty() {
        return Err(Error::unavailable(format!("{function} has no version v{number} yet")));
    }
    // Two deployments at once may give the same number, and the one may write what the other then publishes.
    // What every deployment gives alike is not asked for: there are emulators that do not keep it.
    let alike = |path: &String| ["handler", "log_format", "runtime"].contains(&path.as_str());
    let mut wanted = versioned(work.desired, work.names, work.spec()?);
    wanted.retain(|path, _| !alike(path));
    let fits = |config| {
        fits(&observed::fields_of(work.desired, work.name, config), &wanted, work.desired, work.name)
    };
    let version =
        all.into_iter().find(|(_, config)| fits(config)).map(|((version, _), _)| version.to_owned());
    version.ok_or_else(|| {
        busy(Error::conflict(format!("v{number} of {function} is not what this one has made")))
    })
}

/// Makes the alias, or lets it go to another version.
pub(super) async fn alias(work: &Work<'_>) -> Result<()> {
    still_holds(work).await?;
    let function = work.function();
    let version = published(work, &function).await?;
    ready(&work.session.read, &function, Some(&version)).await?;
    if work.creates() {
        let create = work.session.write.lambda().create_alias().function_name(&function).name(ALIAS);
        let create = create.function_version(&version).send().await;
        if work.made(create.map_err(failed("lambda:CreateAlias", &function)))?.is_some() {
            return Ok(());
        }
    }
    let routing = Some(lambda::AliasRoutingConfiguration::builder().build());
    // Another revision than the plan was made of is another deployment's doing, or that of a try of ours before.
    let seen = work.memory.revision(&work.names.alias_arn(&function)).filter(|_| !work.creates());
    match move_alias(work.session, &function, &version, routing, seen).await {
        Err(error) if error.kind() == ErrorKind::Conflict => {
            let asked =
                work.session.read.lambda().get_alias().function_name(&function).name(ALIAS).send().await;
            let now = asked.map_err(failed("lambda:GetAlias", &function))?;
            let moved = now.function_version() == Some(version.as_str());
            if work.attempt > 1 && moved { Ok(()) } else { Err(busy(error)) }
        }
        moved => moved,
    }
}

/// Lets the alias go to a version; `routing` replaces the shares of others, an empty one clears them.
pub(crate) async fn move_alias(
    session: &Session,
    function: &str,
    version: &str,
    routing: Option<lambda::AliasRoutingConfiguration>,
    revision: Option<String>,
) -> Result<()> {
    // Without the map the service leaves the shares as they are.
    let routing = routing.map(|routing| match routing.additional_version_weights() {
        Some(_) => routing,
        None => lambda::AliasRoutingConfiguration::builder()
            .set_additional_version_weights(Some(Default::default()))
            .build(),
    });
    let update = session.write.lambda().update_alias().function_name(function).name(ALIAS);
    let update = update.function_version(version).set_routing_config(routing).set_revision_id(revision);
    update.send().await.map_err(failed("lambda:UpdateAlias", function))?;
    Ok(())
}

/// Keeps instances of the alias's version warm.
pub(super) async fn warm(work: &Work<'_>) -> Result<()> {
    let function = work.function();
    let Some(instances) = work.number("instances") else { return Ok(()) };
    if instances == 0 {
        return delete_warm(work).await;
    }
    let put = work.session.write.lambda().put_provisioned_concurrency_config().function_name(&function);
    let put = put.qualifier(ALIAS).provisioned_concurrent_executions(instances).send().await;
    put.map_err(failed("lambda:PutProvisionedConcurrencyConfig", &function))?;
    until(|| async {
        let asked = work.session.read.lambda().get_provisioned_concurrency_config();
        let asked = asked.function_name(&function).qualifier(ALIAS).send().await;
        let asked = asked.map_err(failed("lambda:GetProvisionedConcurrencyConfig", &function))?;
        match asked.status() {
            Some(lambda::ProvisionedConcurrencyStatusEnum::Failed) => {
                let reason = asked.status_reason().unwrap_or("no reason was given");
                Err(Error::new(ErrorKind::Config, format!("{function} is not kept warm: {reason}")))
            }
            status => Ok((status == Some(&lambda::ProvisionedConcurrencyStatusEnum::Ready)).then_some(())),
        }
    })
    .await
}

pub(super) async fn delete_warm(work: &Work<'_>) -> Result<()> {
    let function = work.function();
    let gone = work.session.write.lambda().delete_provisioned_concurrency_config();
    let gone = gone.function_name(&function).qualifier(ALIAS).send().await;
    optional(gone.map_err(failed("lambda:DeleteProvisionedConcurrencyConfig", &function)))?;
    Ok(())
}

/// Removes a version that is no longer kept.
pub(super) async fn delete(work: &Work<'_>) -> Result<()> {
    let Some((function, number)) = prune::number(&work.change.resource) else {
        return Err(Error::handler(format!("{} is not a version that can go", work.change.resource)));
    };
    let function = work.names.function(function);
    let gone = work.session.write.lambda().delete_function().function_name(&function);
    let gone = gone.qualifier(number).send().await;
    optional(gone.map_err(failed("lambda:DeleteFunction", &function)))?;
    Ok(())
}
