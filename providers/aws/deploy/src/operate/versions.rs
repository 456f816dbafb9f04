//! Versions of the app, the way back, and shares of the traffic.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_lambda::types as lambda;
use serde_json::Value;
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::plan::diff;
use xcloud_deploy::{Desired, Resource, Rollback, Stage, Traffic, Version};

use super::live::{Live, live, one};
use crate::Aws;
use crate::apply::move_alias;
use crate::client::Session;
use crate::observe::function::fields_of;
use crate::wanted::{Fields, id};

/// All versions, the oldest first.
pub(crate) async fn versions(aws: &Aws, stage: &Stage) -> Result<Vec<Version>> {
    let (session, names) = aws.session(stage).await?;
    Ok(of(&live(session, &names).await?))
}

/// The numbers of the app's versions.
fn numbers(functions: &[Live]) -> BTreeSet<u64> {
    functions.iter().flat_map(|f| &f.versions).map(|(published, _)| published.label.number).collect()
}

/// The app's version in which a function is what Lambda has under this number: the newest, for it may be the same in
/// several.
fn app_version(function: &Live, number: u64, all: &BTreeSet<u64>) -> Option<u64> {
    let is = |version: &&u64| function.at(**version).is_some_and(|(published, _)| published.number == number);
    all.iter().rev().find(is).copied()
}

/// The version that all functions are at: the oldest of theirs.
fn current(functions: &[Live], all: &BTreeSet<u64>) -> Option<u64> {
    let of = |function: &Live| app_version(function, function.alias.as_ref()?.number, all);
    functions.iter().filter_map(of).min()
}

fn of(functions: &[Live]) -> Vec<Version> {
    let all = numbers(functions);
    let current = current(functions, &all);
    all.iter().map(|number| version(functions, *number, current, &all)).collect()
}

fn version(functions: &[Live], number: u64, current: Option<u64>, all: &BTreeSet<u64>) -> Version {
    let mut weights = BTreeMap::new();
    for function in functions {
        for (version, share) in shares(function, current, all) {
            if version == number {
                weights.insert(function.name.clone(), share);
            }
        }
    }
    let published = |f: &Live| f.versions.iter().find(|(p, _)| p.label.number == number).cloned();
    let made = functions.iter().find_map(published);
    let inside = functions.iter().filter(|f| f.at(number).is_some());
    Version {
        provider: "aws".to_owned(),
        version: format!("v{number}"),
        digest: made.as_ref().map(|(published, _)| published.label.binary.clone()).unwrap_or_default(),
        created: made.and_then(|(_, config)| config.last_modified).unwrap_or_default(),
        traffic: weights.values().copied().max().unwrap_or(0),
        functions: inside.map(|f| f.name.clone()).collect(),
        current: Some(number) == current,
        weights,
    }
}

/// A function's shares in percent, by version of the app.
fn shares(function: &Live, current: Option<u64>, all: &BTreeSet<u64>) -> Vec<(u64, u32)> {
    let Some(alias) = &function.alias else { return Vec::new() };
    // Where the function is the same in the current version, it is that one's.
    let named =
        |number: u64| match current.filter(|c| function.at(*c).is_some_and(|(p, _)| p.number == number)) {
            Some(current) => Some(current),
            None => app_version(function, number, all),
        };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 1 in percent")]
    let percent = |share: f64| (share * 100.0).round().clamp(0.0, 100.0) as u32;
    let others: Vec<_> = alias.others.iter().map(|(number, share)| (*number, percent(*share))).collect();
    let rest = 100 - others.iter().map(|(_, share)| share).sum::<u32>().min(100);
    let own = std::iter::once((alias.number, rest));
    own.chain(others).filter_map(|(number, share)| Some((named(number)?, share))).collect()
}

/// `v4` or `4`.
fn number(text: &str) -> Result<u64> {
    text.strip_prefix('v').unwrap_or(text).parse().map_err(|_| {
        let message = format!("{text:?} is not a version; versions are named like v4");
        Error::new(ErrorKind::Config, message)
    })
}

fn known(all: &BTreeSet<u64>, number: u64) -> Result<u64> {
    if all.contains(&number) {
        return Ok(number);
    }
    let kept: Vec<_> = all.iter().map(|number| format!("v{number}")).collect();
    Err(Error::not_found(format!("there is no version v{number}; kept are {}", kept.join(", "))))
}

/// The way back. Changes nothing.
pub(crate) async fn plan_rollback(aws: &Aws, stage: &Stage, to: Option<&str>) -> Result<Rollback> {
    let (session, names) = aws.session(stage).await?;
    let functions = live(session, &names).await?;
    let all = numbers(&functions);
    let from = current(&functions, &all).ok_or_else(|| Error::not_found("nothing has traffic yet"))?;
    let to = match to {
        Some(text) => known(&all, number(text)?)?,
        None => {
            let before = all.range(..from).next_back().copied();
            before.ok_or_else(|| Error::not_found(format!("no version before v{from} is kept")))?
        }
    };
    let desired = Desired::nothing(stage.clone());
    let mut stays = vec!["triggers, scaling, queues and tables stay as they are configured".to_owned()];
    let (mut now, mut then) = (Vec::new(), Vec::new());
    for function in &functions {
        let Some((published, config)) = function.at(to) else {
            stays.push(format!("function/{} is not in v{to} and stays as it is", function.name));
            continue;
        };
        let serving = function.config_serving();
        now.extend(serving.map(|config| side(&desired, function, config, from)));
        let mut after = side(&desired, function, config, to);
        if function.alias.as_ref().is_some_and(|alias| alias.number == published.number) {
            after.fields.insert("version".to_owned(), format!("v{from}").into());
        }
        // What the version does not have goes.
        for path in serving.map(|config| fields_of(&desired, &function.name, config)).into_iter().flatten() {
            after.fields.entry(path.0).or_insert(Value::Null);
        }
        then.push(after);
    }
    let plan = diff("aws", &then, &now, false);
    Ok(Rollback { from: format!("v{from}"), to: format!("v{to}"), plan, stays })
}

/// A function's alias as it is with a version.
fn side(
    desired: &Desired,
    function: &Live,
    config: &lambda::FunctionConfiguration,
    version: u64,
) -> Resource {
    let mut fields: Fields = fields_of(desired, &function.name, config);
    fields.insert("version".to_owned(), format!("v{version}").into());
    Resource { id: id("alias", &function.name), fields, data: false, needs: Vec::new() }
}

/// Goes back: every alias to what its function was then. One that cannot go takes the others back with it.
pub(crate) async fn rollback(aws: &Aws, stage: &Stage, rollback: &Rollback) -> Result<()> {
    let (session, names) = aws.session(stage).await?;
    let functions = live(session, &names).await?;
    let all = numbers(&functions);
    if current(&functions, &all).map(|n| format!("v{n}")).as_deref() != Some(rollback.from.as_str()) {
        return Err(Error::conflict("another version is current by now; nothing has changed"));
    }
    let to = number(&rollback.to)?;
    let mut gone: Vec<&Live> = Vec::new();
    for function in &functions {
        let Some((published, _)) = function.at(to) else { continue };
        if let Err(error) = go(session, function, published.number, None).await {
            for other in gone {
                if let Some(alias) = &other.alias {
                    restore(session, other, alias).await;
                }
            }
            return Err(error);
        }
        gone.push(function);
    }
    Ok(())
}

async fn restore(session: &Session, function: &Live, alias: &super::live::Alias) {
    let routing = routing(&alias.others);
    // The error that is told is the one that came first.
    drop(move_alias(session, &function.resource, &alias.number.to_string(), Some(routing), None).await);
}

fn routing(others: &BTreeMap<u64, f64>) -> lambda::AliasRoutingConfiguration {
    let weights = others.iter().map(|(number, share)| (number.to_string(), *share)).collect();
    lambda::AliasRoutingConfiguration::builder().set_additional_version_weights(Some(weights)).build()
}

/// Lets a function's alias go to a version, and another have a share. Somebody else's move in between is a conflict.
async fn go(session: &Session, function: &Live, number: u64, other: Option<(u64, f64)>) -> Result<()> {
    let Some(alias) = &function.alias else { return Ok(()) };
    let others: BTreeMap<_, _> = other.into_iter().collect();
    if alias.number == number && alias.others == others {
        return Ok(());
    }
    let revision = alias.revision.clone();
    move_alias(session, &function.resource, &number.to_string(), Some(routing(&others)), revision).await
}

/// Shifts traffic of one function, or of all.
pub(crate) async fn traffic(
    aws: &Aws,
    stage: &Stage,
    function: Option<&str>,
    traffic: &Traffic,
) -> Result<Vec<Version>> {
    let (session, names) = aws.session(stage).await?;
    let functions = live(session, &names).await?;
    let all = numbers(&functions);
    if let Some(name) = function {
        one(session, &names, name).await?;
    }
    let mut moves = Vec::new();
    for live in functions.iter().filter(|live| function.is_none_or(|name| live.name == name)) {
        moves.extend(shift(live, traffic, &all)?.map(|(number, other)| (live, number, other)));
    }
    if moves.is_empty() && matches!(traffic, Traffic::Promote(None)) {
        return Err(Error::new(ErrorKind::Config, "no version beside the current one has a share: name one"));
    }
    for (live, number, other) in moves {
        go(session, live, number, other).await?;
    }
    versions(aws, stage).await
}

/// Lambda's number of the version that an alias goes to, and of another with its share of 1.
type Move = (u64, Option<(u64, f64)>);

/// Where a function's alias is to go, and what else is to have a share; `None` where nothing is to change.
fn shift(live: &Live, traffic: &Traffic, all: &BTreeSet<u64>) -> Result<Option<Move>> {
    let Some(alias) = &live.alias else { return Ok(None) };
    let find = |text: &str| -> Result<u64> {
        let version = known(all, number(text)?)?;
        let found = live.at(version).map(|(published, _)| published.number);
        found.ok_or_else(|| Error::not_found(format!("function {} is not in {text}", live.name)))
    };
    match traffic {
        Traffic::Abort => Ok(Some((alias.number, None))),
        Traffic::Promote(Some(version)) => Ok(Some((find(version)?, None))),
        Traffic::Promote(None) => Ok(alias.others.keys().next().map(|number| (*number, None))),
        Traffic::Set(shares) => {
            let [(version, percent)] = shares.as_slice() else {
                let message = "Lambda splits traffic between two versions: name one beside the current";
                return Err(Error::new(ErrorKind::Config, message));
            };
            let other = find(version)?;
            if *percent > 100 {
                return Err(Error::new(ErrorKind::Config, format!("{version} cannot get {percent} percent")));
            }
            let share = f64::from(*percent) / 100.0;
            Ok(match (other == alias.number, *percent) {
                // The same code in both versions: nothing to split.
                (true, _) => None,
                (false, 0) => Some((alias.number, None)),
                (false, 100) => Some((other, None)),
                (false, _) => Some((alias.number, Some((other, share)))),
            })
        }
    }
}
