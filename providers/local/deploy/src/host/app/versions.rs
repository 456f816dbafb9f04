//! Versions of an app: which there are, which one is current, what each gets of the traffic.

use xcloud_core::{Error, ErrorKind, Result};

use super::{App, Record, unchanged};
use crate::host::api::versions::{Change, Rollback, Shift, VersionView, VersionsView};
use crate::host::weights::{Weights, check};

impl App {
    /// The versions that can serve.
    pub(crate) fn versions(&self) -> VersionsView {
        let record = self.record();
        let version = |release: &super::Release| {
            let restored = record.restored(release.version)?;
            Some(VersionView {
                version: release.version,
                created: release.created.clone(),
                manifest: release.manifest.clone(),
                restored,
                secrets: record.digests(release.version),
            })
        };
        VersionsView {
            current: record.version,
            versions: record.releases.iter().filter_map(version).collect(),
            routes: record.routes(),
        }
    }

    /// Makes an earlier version current: its code, environment, memory and timeouts; triggers, scaling and resources
    /// stay as they are configured. Its instances are ready before it gets a call.
    ///
    /// # Errors
    /// There is no such version, it does not start, or someone else changed the app meanwhile; nothing has changed then.
    pub(crate) async fn rollback(&self, rollback: &Rollback) -> Result<()> {
        let _changing = self.change()?;
        let mut record = self.record();
        unchanged(&record, rollback.base)?;
        make_current(&mut record, rollback.version)?;
        self.change_to(record, None).await
    }

    /// Shifts traffic between versions. They are ready before they get a call.
    ///
    /// # Errors
    /// There is no such version or function, the shares are too many, or a version does not start; nothing has changed
    /// then.
    pub(crate) async fn shift(&self, shift: &Shift) -> Result<()> {
        let _changing = self.change()?;
        let mut record = self.record();
        let functions = functions(&record, shift.function.as_deref())?;
        match &shift.change {
            Change::Set(weights) => set(&mut record, &functions, weights)?,
            Change::Abort => record.traffic.retain(|name, _| !functions.contains(name)),
            Change::Promote(version) => {
                let version = match version {
                    Some(version) => *version,
                    None => candidate(&record, &functions)?,
                };
                match &shift.function {
                    None => make_current(&mut record, version)?,
                    Some(_) if version == record.version => {
                        record.traffic.retain(|name, _| !functions.contains(name));
                    }
                    Some(_) => set(&mut record, &functions, &Weights::from([(version, 100)]))?,
                }
            }
        }
        record.prune();
        self.change_to(record, None).await
    }
}

fn functions(record: &Record, only: Option<&str>) -> Result<Vec<String>> {
    let all: Vec<_> = record.routes().into_keys().collect();
    match only {
        None if all.is_empty() => Err(Error::not_found("nothing is deployed")),
        None => Ok(all),
        Some(name) if all.iter().any(|known| known == name) => Ok(vec![name.to_owned()]),
        Some(name) => Err(Error::not_found(format!("no function `{name}`; there is {}", all.join(", ")))),
    }
}

fn known(record: &Record, version: u64) -> Result<()> {
    if record.release(version).is_some() {
        return Ok(());
    }
    let kept: Vec<_> = record.releases.iter().map(|release| format!("v{}", release.version)).collect();
    Err(Error::not_found(format!("there is no version v{version}; kept are {}", kept.join(", "))))
}

fn make_current(record: &mut Record, version: u64) -> Result<()> {
    known(record, version)?;
    record.manifest = record.restored(version);
    record.version = version;
    let release = record.releases.iter_mut().find(|release| release.version == version && release.waiting);
    if let Some(release) = release {
        // Its triggers come into service with it.
        record.manifest = Some(release.manifest.clone());
        release.waiting = false;
    }
    record.traffic.clear();
    Ok(())
}

fn set(record: &mut Record, functions: &[String], weights: &Weights) -> Result<()> {
    check(weights, record.version)?;
    weights.keys().try_for_each(|version| known(record, *version))?;
    let has = |version: u64, function: &String| {
        record.release(version).is_some_and(|r| r.manifest.functions.iter().any(|f| f.name == *function))
    };
    for version in weights.keys() {
        if !functions.iter().any(|function| has(*version, function)) {
            let message = format!("v{version} has no function {}", functions.join(", "));
            return Err(Error::new(ErrorKind::Config, message));
        }
    }
    let mut shares = record.traffic.clone();
    for function in functions {
        let own = weights.iter().filter(|(version, percent)| **percent > 0 && has(**version, function));
        let own: Weights = own.map(|(version, percent)| (*version, *percent)).collect();
        if own.is_empty() {
            shares.remove(function);
        } else {
            shares.insert(function.clone(), own);
        }
    }
    record.traffic = shares;
    Ok(())
}

/// The one version beside the current that has a share.
fn candidate(record: &Record, functions: &[String]) -> Result<u64> {
    let mut others: Vec<u64> = record
        .traffic
        .iter()
        .filter(|(f, _)| functions.contains(f))
        .flat_map(|(_, w)| w.keys().copied())
        .collect();
    others.sort_unstable();
    others.dedup();
    match others[..] {
        [one] => Ok(one),
        [] => Err(Error::new(ErrorKind::Config, "no version beside the current one has a share: name one")),
        _ => {
            let names: Vec<_> = others.iter().map(|version| format!("v{version}")).collect();
            let message = format!("{} have shares: name the one to promote", names.join(" and "));
            Err(Error::new(ErrorKind::Config, message))
        }
    }
}
