//! The way from what is to what should be. Pure.
//!
//! Versions are published and traffic moves last: a version comes after its function, and an alias that is there comes
//! after everything else. An alias that is not there yet comes before what calls it: nothing calls it until then.

pub(crate) mod prune;

use std::collections::BTreeMap;

use serde_json::Value;
use xcloud_core::env;
use xcloud_deploy::plan::diff;
use xcloud_deploy::secret::FIELD;
use xcloud_deploy::{Action, Change, Desired, FieldChange, Observed, Plan, Resource};

use crate::label::{Label, app_digest};
use crate::names::Names;
use crate::observe::PUBLISHED;
use crate::wanted::{self, Fields, MAX_CONCURRENCY, MAX_INSTANCES, RETENTION_DAYS, SECRETS, id};

/// A published version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Published {
    /// Lambda's own number.
    pub(crate) number: u64,
    /// The app's version in it.
    pub(crate) label: Label,
}

/// What is published, by function: the newest first.
type Versions<'a> = BTreeMap<&'a str, Vec<(Published, &'a Fields)>>;

pub(crate) fn published(observed: &Observed) -> Versions<'_> {
    let mut all = Versions::new();
    for resource in &observed.resources {
        let Some(read) = read(resource) else { continue };
        all.entry(read.0).or_default().push((read.1, &resource.fields));
    }
    for versions in all.values_mut() {
        versions.sort_by_key(|(published, _)| std::cmp::Reverse(published.number));
    }
    all
}

fn read(resource: &Resource) -> Option<(&str, Published)> {
    let (function, number) = resource.id.strip_prefix(PUBLISHED)?.split_once('/')?;
    let label = Label::parse(resource.fields.get("label")?.as_str()?)?;
    Some((function, Published { number: number.parse().ok()?, label }))
}

/// Compares. Of each function's published versions the newest `keep` stay, and those that have traffic.
pub(crate) fn plan(desired: &Desired, observed: &Observed, names: &Names, keep: usize) -> Plan {
    let versions = published(observed);
    let number = number(desired, names, &versions);
    let mut there: Vec<Resource> =
        observed.resources.iter().filter(|r| !r.id.starts_with(PUBLISHED)).cloned().collect();
    let mut wanted = wanted::resources(desired, names);
    for resource in &mut wanted {
        let now = there.iter().find(|other| other.id == resource.id);
        complete(resource, now, desired);
    }
    for function in &desired.spec.functions {
        let target = resolve(&function.name, &mut wanted, &mut there, &versions, (desired, number));
        let all = versions.get(function.name.as_str()).map(Vec::as_slice).unwrap_or_default();
        let old = prune::old(&function.name, &target, all, (&there, &wanted), keep);
        there.extend(old);
    }
    let mut plan = diff("aws", &wanted, &there, desired.delete_data);
    prune::reasons(&mut plan, keep);
    order(&mut plan);
    guard(&mut plan, desired, &there, number);
    plan
}

/// The number of the app's version that this deployment publishes, if it does: the newest's where that is the same app
/// and was not finished, else the next.
fn number(desired: &Desired, names: &Names, versions: &Versions<'_>) -> u64 {
    let newest = versions.values().flatten().map(|(published, _)| &published.label).max_by_key(|l| l.number);
    match newest {
        Some(label) if label.app == app_digest(desired, names) => label.number,
        Some(label) => label.number + 1,
        None => 1,
    }
}

/// What is only set where nothing is, and what is to go.
fn complete(resource: &mut Resource, now: Option<&Resource>, desired: &Desired) {
    let Some((kind, name)) = resource.id.split_once('/') else { return };
    match kind {
        "log-group" if now.is_none_or(|now| !now.fields.contains_key("retention_days")) => {
            resource.fields.insert("retention_days".to_owned(), RETENTION_DAYS.into());
        }
        "function" => {
            let there = now;
            let now = now.iter().flat_map(|now| now.fields.keys());
            let gone: Vec<_> =
                now.filter(|path| goes(path, &resource.fields, desired, name)).cloned().collect();
            resource.fields.extend(gone.into_iter().map(|path| (path, Value::Null)));
            // It takes from what the account's other functions have: what nobody asks for goes, also if made by hand.
            let reserved = MAX_INSTANCES.to_owned();
            if there.is_some_and(|there| there.fields.contains_key(&reserved)) {
                resource.fields.entry(reserved).or_insert(Value::Null);
            }
        }
        "mapping" => {
            let most = MAX_CONCURRENCY.to_owned();
            if now.is_some_and(|now| now.fields.contains_key(&most)) {
                resource.fields.entry(most).or_insert(Value::Null);
            }
        }
        _ => {}
    }
}

/// Whether a field is a variable that is set and not configured any more. Without any `env` in the configuration, the
/// user's own stay.
fn goes(path: &str, wanted: &Fields, desired: &Desired, name: &str) -> bool {
    let configured = desired.spec.function(name).is_some_and(|f| f.settings.env.is_some());
    let variable = path.strip_prefix("env.");
    let own =
        variable.is_some_and(|v| v.starts_with(env::QUEUE_PREFIX) || v == SECRETS || v == env::HTTP_STREAM);
    let theirs = variable.is_some() && configured;
    (path.starts_with(FIELD) || own || theirs) && !wanted.contains_key(path)
}

/// Whether a function's version is as it is to be.
pub(crate) fn fits(fields: &Fields, wanted: &Fields, desired: &Desired, name: &str) -> bool {
    wanted.iter().all(|(path, value)| fields.get(path).unwrap_or(&Value::Null) == value)
        && !fields.keys().any(|path| goes(path, wanted, desired, name))
}

/// Which published version a function's alias is to have: the one it has or the newest, where that is as wanted, else
/// a new one.
struct Target {
    /// Lambda's number, if it is there.
    number: Option<u64>,
    /// The app's version: `v7`.
    version: String,
    /// Lambda's number of the version that the alias has.
    current: Option<u64>,
    /// What people call that one.
    shown: String,
}

impl Target {
    fn of(
        name: &str,
        wanted: &Fields,
        there: &[Resource],
        versions: &[(Published, &Fields)],
        (desired, number): (&Desired, u64),
    ) -> Self {
        let alias = there.iter().find(|r| r.id == id("alias", name));
        let current = alias.and_then(|alias| alias.fields.get("published")?.as_str()?.parse::<u64>().ok());
        let fits = |fields: &Fields| fits(fields, wanted, desired, name);
        let of_alias = versions.iter().find(|(published, _)| Some(published.number) == current);
        let mut candidates = of_alias.into_iter().chain(versions.first());
        let chosen = candidates.find(|(_, fields)| fits(fields)).map(|(published, _)| published);
        let lambdas = || format!("Lambda's version {}", current.unwrap_or_default());
        Self {
            number: chosen.map(|published| published.number),
            version: chosen.map_or_else(|| format!("v{number}"), |published| published.label.version()),
            current,
            shown: of_alias.map_or_else(lambdas, |(published, _)| published.label.version()),
        }
    }

    fn is_there(&self) -> bool {
        self.number.is_some() && self.number == self.current
    }
}

/// Writes into the resources which version there is, and which there is to be.
fn resolve(
    name: &str,
    wanted: &mut [Resource],
    there: &mut Vec<Resource>,
    versions: &Versions<'_>,
    (desired, number): (&Desired, u64),
) -> Target {
    let versions = versions.get(name).map(Vec::as_slice).unwrap_or_default();
    let fields = wanted.iter().find(|r| r.id == id("version", name)).map(|r| r.fields.clone());
    let target = Target::of(name, &fields.unwrap_or_default(), there, versions, (desired, number));
    let version = Fields::from([("version".to_owned(), Value::from(target.version.as_str()))]);
    if let Some(alias) = there.iter_mut().find(|r| r.id == id("alias", name)) {
        let shown = if target.is_there() { &target.version } else { &target.shown };
        alias.fields.insert("version".to_owned(), shown.as_str().into());
    }
    for resource in wanted.iter_mut() {
        if resource.id == id("version", name) {
            resource.fields.clone_from(&version);
        } else if resource.id == id("alias", name) && !(desired.no_traffic && target.current.is_some()) {
            resource.fields.clone_from(&version);
            // A new version ends what was tried with another one.
            if target.current.is_some() && !target.is_there() {
                resource.fields.insert("weights".to_owned(), Value::Null);
            }
        }
    }
    if target.number.is_some() {
        there.push(Resource { id: id("version", name), fields: version, data: false, needs: Vec::new() });
    }
    target
}

/// An alias that is there moves after everything else; until it does, what calls it needs not wait for it.
fn order(plan: &mut Plan) {
    let moves = |change: &Change| change.resource.starts_with("alias/") && change.action == Action::Update;
    let moving: Vec<String> = plan.changes.iter().filter(|c| moves(c)).map(|c| c.resource.clone()).collect();
    let others: Vec<String> = plan
        .changes
        .iter()
        .filter(|c| !moves(c) && !c.resource.starts_with("warm/") && c.action != Action::Delete)
        .map(|c| c.resource.clone())
        .collect();
    for change in &mut plan.changes {
        if moves(change) {
            change.after.extend(others.iter().cloned());
        } else if !change.resource.starts_with("warm/") {
            change.after.retain(|id| !moving.contains(id));
        }
        // What is wanted no longer goes once the new serves.
        if change.action == Action::Delete {
            change.after.extend(moving.iter().cloned());
        }
    }
}

/// Lets the plan begin with a write that only one of two deployments can make: the first function's.
fn guard(plan: &mut Plan, desired: &Desired, there: &[Resource], number: u64) {
    let Some(name) = desired.spec.functions.first().map(|f| f.name.as_str()) else { return };
    let first = id("function", name);
    if plan.is_empty() {
        return;
    }
    let before = there.iter().find(|r| r.id == first).and_then(|r| r.fields.get("deployment")).cloned();
    let Some(at) = plan.changes.iter().position(|c| c.resource == first) else { return };
    let needed: Vec<String> =
        plan.changes.iter().filter(|c| is_needed(c)).map(|c| c.resource.clone()).collect();
    let change = &mut plan.changes[at];
    if change.action == Action::Unchanged {
        change.action = Action::Update;
        change.reason = "keeps other deployments out".to_owned();
    }
    change.fields.push(FieldChange {
        path: "deployment".to_owned(),
        before: before.unwrap_or_default(),
        after: format!("v{number}").into(),
    });
    // Of two deployments at once the one that loses is to have written nothing: what the function can be made without
    // waits, until its version.
    let (kept, waits): (Vec<_>, Vec<_>) =
        std::mem::take(&mut change.after).into_iter().partition(|id| needed.contains(id));
    change.after = kept;
    let version = id("version", name);
    if let Some(version) = plan.changes.iter_mut().find(|c| c.resource == version) {
        version.after.extend(waits);
    }
    plan.guard = Some(first);
}

/// What Lambda asks for when a function is made: its role, and where its package lies. That a role is there already and
/// says something else is not such.
fn is_needed(change: &Change) -> bool {
    let trust = || change.fields.iter().any(|field| field.path == "trust");
    match change.resource.split('/').next() {
        Some("artifacts") => true,
        Some("role") => change.action == Action::Create || trust(),
        _ => false,
    }
}

#[cfg(test)]
pub(crate) mod tests;
