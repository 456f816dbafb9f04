//! Versions, rollback and traffic in terms of the host's control socket.

use serde_json::Value;
use xcloud_core::spec::FunctionSpec;
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::plan::diff;
use xcloud_deploy::{Resource, Rollback, Stage, Traffic, Version, secret};

use crate::Local;
use crate::client::app_path;
use crate::host::api::versions::{Change, Rollback as GoBack, Shift, VersionView, VersionsView};
use crate::host::api::{HostSettings, Manifest, app_key};
use crate::observe::{function_resource, queue_resource, secret_field, table_resource};

pub(crate) async fn versions(local: &Local, stage: &Stage) -> Result<Vec<Version>> {
    let view = view(local, stage).await?;
    Ok(view.versions.iter().map(|one| version(&view, one)).collect())
}

async fn view(local: &Local, stage: &Stage) -> Result<VersionsView> {
    local.deployed(stage)?;
    local.control.get(&app_path(&app_key(stage)?, "/versions")).await
}

fn version(view: &VersionsView, one: &VersionView) -> Version {
    let share = |(name, weights): (&String, &std::collections::BTreeMap<u64, u32>)| {
        Some((name.clone(), *weights.get(&one.version)?))
    };
    let weights: std::collections::BTreeMap<_, _> = view.routes.iter().filter_map(share).collect();
    Version {
        provider: "local".to_owned(),
        version: format!("v{}", one.version),
        digest: one.manifest.binary_sha256.clone(),
        created: one.created.clone(),
        traffic: weights.values().copied().max().unwrap_or(0),
        functions: one.manifest.functions.iter().map(|f| f.name.clone()).collect(),
        current: one.version == view.current,
        weights,
    }
}

/// `v4` or `4`.
fn number(text: &str) -> Result<u64> {
    text.strip_prefix('v').unwrap_or(text).parse().map_err(|_| {
        let message = format!("{text:?} is not a version; versions are named like v4");
        Error::new(ErrorKind::Config, message)
    })
}

pub(crate) async fn plan_rollback(local: &Local, stage: &Stage, to: Option<&str>) -> Result<Rollback> {
    let view = view(local, stage).await?;
    let to = match to {
        Some(name) => number(name)?,
        None => before(&view)?,
    };
    let find = |version| view.versions.iter().find(|one| one.version == version);
    let kept: Vec<_> = view.versions.iter().map(|one| format!("v{}", one.version)).collect();
    let missing = || Error::not_found(format!("there is no version v{to}; kept are {}", kept.join(", ")));
    let target = find(to).ok_or_else(missing)?;
    let current = find(view.current).ok_or_else(missing)?;
    Ok(Rollback {
        from: format!("v{}", view.current),
        to: format!("v{to}"),
        plan: diff("local", &wanted(target, current), &resources(current), false),
        stays: stays(&target.manifest, &current.restored),
    })
}

/// The newest version that is older than the current one.
fn before(view: &VersionsView) -> Result<u64> {
    let older = view.versions.iter().map(|one| one.version).filter(|version| *version < view.current).max();
    older.ok_or_else(|| Error::not_found(format!("no version before v{} is kept", view.current)))
}

fn resources(view: &VersionView) -> Vec<Resource> {
    let manifest = &view.restored;
    let queues = manifest.queues.iter().map(|name| queue_resource(name, None, true));
    let tables = manifest.tables.iter().map(|name| table_resource(name, None, true));
    let of = |function: &FunctionSpec| {
        let mut resource = function_resource(function, manifest.code(), &manifest.host);
        let secrets = view.secrets.get(&function.name).into_iter().flatten();
        resource.fields.extend(secrets.map(|(name, told)| (secret_field(name), told.as_str().into())));
        resource
    };
    queues.chain(tables).chain(manifest.functions.iter().map(of)).collect()
}

/// As it will be. What the version does not have in a function's environment goes; functions that it lacks stay where
/// they are.
fn wanted(target: &VersionView, current: &VersionView) -> Vec<Resource> {
    let now = resources(current);
    let mut wanted = resources(target);
    for resource in &mut wanted {
        let Some(now) = now.iter().find(|now| now.id == resource.id) else { continue };
        let name = resource.id.strip_prefix("function/");
        if name.is_some_and(|name| function(&target.manifest, name).is_none()) {
            resource.fields.clone_from(&now.fields);
            continue;
        }
        for path in now.fields.keys().filter(|path| restores(path)) {
            resource.fields.entry(path.clone()).or_insert(Value::Null);
        }
    }
    wanted
}

/// Whether a rollback restores this field of a function.
fn restores(path: &str) -> bool {
    path.starts_with("env.")
        || path.starts_with(secret::FIELD)
        || path == "memory_mb"
        || path == "timeout_seconds"
}

fn function<'a>(manifest: &'a Manifest, name: &str) -> Option<&'a FunctionSpec> {
    manifest.functions.iter().find(|f| f.name == name)
}

/// What the versions differ in and a rollback leaves alone.
fn stays(then: &Manifest, now: &Manifest) -> Vec<String> {
    let mut stays = vec!["triggers, scaling, queues and tables stay as they are configured".to_owned()];
    for f in &now.functions {
        let Some(old) = function(then, &f.name) else {
            stays.push(format!(
                "function/{} is not in that version and is served by the newest that has it",
                f.name
            ));
            continue;
        };
        let fields = |f: &FunctionSpec| function_resource(f, ("", None), &HostSettings::default()).fields;
        let (old, new) = (fields(old), fields(f));
        let differing = new.iter().filter(|(path, value)| !restores(path) && old.get(*path) != Some(value));
        for (path, value) in differing {
            let old = old.get(path).unwrap_or(&Value::Null);
            stays.push(format!("function/{}: {path} stays {value} (it was {old})", f.name));
        }
    }
    for f in then.functions.iter().filter(|f| function(now, &f.name).is_none()) {
        stays.push(format!("function/{} is not configured any more and does not come back", f.name));
    }
    stays
}

pub(crate) async fn rollback(local: &Local, stage: &Stage, rollback: &Rollback) -> Result<()> {
    let body = GoBack { version: number(&rollback.to)?, base: number(&rollback.from)? };
    let path = app_path(&app_key(stage)?, "/versions/rollback");
    local.control.post::<Value>(&path, &body).await.map(drop)
}

pub(crate) async fn traffic(
    local: &Local,
    stage: &Stage,
    function: Option<&str>,
    traffic: &Traffic,
) -> Result<Vec<Version>> {
    local.deployed(stage)?;
    let change = match traffic {
        Traffic::Set(shares) => {
            let share = |(version, percent): &(String, u32)| Ok((number(version)?, *percent));
            Change::Set(shares.iter().map(share).collect::<Result<_>>()?)
        }
        Traffic::Promote(version) => Change::Promote(version.as_deref().map(number).transpose()?),
        Traffic::Abort => Change::Abort,
    };
    let body = Shift { function: function.map(str::to_owned), change };
    let path = app_path(&app_key(stage)?, "/versions/traffic");
    local.control.post::<Value>(&path, &body).await?;
    versions(local, stage).await
}
