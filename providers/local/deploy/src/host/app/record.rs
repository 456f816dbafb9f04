//! What is kept of an app on disk: `app.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use xcloud_core::spec::{FunctionSpec, Settings};
use xcloud_core::text::rfc3339;
use xcloud_core::{Error, ErrorKind, Result};

use crate::error::io;
use crate::host::api::Manifest;
use crate::host::api::secrets::{Digests, Vault, digests, salt};
use crate::host::events;
use crate::host::weights::{Weights, complete};

/// Versions that are kept where the configuration does not say.
const KEEP_VERSIONS: u32 = 10;

/// An app as it is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The current version: it gets all traffic that was not given to others. 0 before the first publish.
    pub(crate) version: u64,
    /// The newest version's number; the next one's is the number after it.
    #[serde(default)]
    pub(crate) newest: u64,
    pub(crate) port: Option<u16>,
    /// What is configured now: functions and their triggers, and the current version's code and settings.
    pub(crate) manifest: Option<Manifest>,
    #[serde(default)]
    pub(crate) queues: BTreeSet<String>,
    #[serde(default)]
    pub(crate) tables: BTreeSet<String>,
    #[serde(default)]
    pub(crate) buckets: BTreeSet<String>,
    #[serde(default)]
    pub(crate) topics: BTreeSet<String>,
    /// The queues of functions' events.
    #[serde(default)]
    pub(crate) inboxes: BTreeSet<String>,
    /// Versions that can serve, the oldest first.
    #[serde(default)]
    pub(crate) releases: Vec<Release>,
    /// By function: shares of versions that are not the current one.
    #[serde(default)]
    pub(crate) traffic: BTreeMap<String, Weights>,
    /// Of the digests that are told of secrets.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) salt: String,
}

/// A version as it was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Release {
    pub(crate) version: u64,
    /// RFC 3339.
    pub(crate) created: String,
    pub(crate) manifest: Manifest,
    /// Beside the manifest, which others are shown.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) secrets: Vault,
    /// It was published without traffic and has never been current: what is configured is not yet what it says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) waiting: bool,
}

impl Release {
    /// A version that is published now.
    pub(crate) fn new(version: u64, manifest: Manifest, secrets: Vault) -> Self {
        let created = rfc3339(SystemTime::now());
        Self { version, created, manifest, secrets, waiting: false }
    }

    fn has(&self, function: &str) -> bool {
        self.manifest.functions.iter().any(|f| f.name == function)
    }
}

impl Record {
    /// Reads a record; `None` when there is none.
    pub(crate) fn read(directory: &Path) -> Result<Option<Self>> {
        let path = directory.join("app.json");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io(format!("cannot read {}", path.display()))(e)),
        };
        let record: Self = serde_json::from_slice(&bytes).map_err(|e| {
            let message = format!("{} is damaged: {e}; deploy the app again", path.display());
            Error::new(ErrorKind::Config, message)
        })?;
        Ok(Some(record.completed()))
    }

    /// A record of before there were several versions names one.
    fn completed(mut self) -> Self {
        self.newest = self.newest.max(self.version);
        if let Some(manifest) = self.manifest.clone()
            && self.releases.is_empty()
        {
            let created = String::new();
            self.releases.push(Release { created, ..Release::new(self.version, manifest, Vault::new()) });
        }
        self
    }

    /// Whole or not at all, and on disk when it returns.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        let path = directory.join("app.json");
        let failed = || format!("cannot write {}", path.display());
        std::fs::create_dir_all(directory).map_err(io(failed()))?;
        let new = directory.join("app.json.new");
        let bytes = serde_json::to_vec_pretty(self)?;
        let mut options = std::fs::File::options();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&new).map_err(io(failed()))?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(io(failed()))?;
        std::fs::rename(&new, &path).map_err(io(failed()))
    }

    /// A version that is kept.
    pub(crate) fn release(&self, version: u64) -> Option<&Release> {
        self.releases.iter().find(|release| release.version == version)
    }

    /// What is told of a version's secrets.
    pub(crate) fn digests(&self, version: u64) -> Digests {
        self.release(version).map(|release| digests(&self.salt, &release.secrets)).unwrap_or_default()
    }

    /// By function that is configured: the shares of all versions that serve it, 100 in all. One that the current
    /// version does not have is served by the newest one that has it.
    pub(crate) fn routes(&self) -> BTreeMap<String, Weights> {
        let functions = self.manifest.iter().flat_map(|manifest| &manifest.functions);
        let route = |function: &FunctionSpec| {
            let home = self.home(&function.name)?;
            let has = |version: u64| self.release(version).is_some_and(|r| r.has(&function.name));
            let mut given = self.traffic.get(&function.name).cloned().unwrap_or_default();
            given.retain(|version, _| *version != home && has(*version));
            Some((function.name.clone(), complete(&given, home)))
        };
        functions.filter_map(route).collect()
    }

    fn home(&self, function: &str) -> Option<u64> {
        let has = |release: &&Release| release.has(function);
        let current = self.release(self.version).filter(has);
        current.or_else(|| self.releases.iter().rev().find(has)).map(|release| release.version)
    }

    /// The manifest from which a version runs beside what is configured now: code, environment, memory and timeout are
    /// the version's, everything else the configuration's.
    pub(crate) fn restored(&self, version: u64) -> Option<Manifest> {
        let old = &self.release(version)?.manifest;
        let mut manifest = self.manifest.clone()?;
        manifest.package.clone_from(&old.package);
        manifest.binary_sha256.clone_from(&old.binary_sha256);
        manifest.files_sha256.clone_from(&old.files_sha256);
        for function in &mut manifest.functions {
            let Some(then) = old.functions.iter().find(|f| f.name == function.name) else { continue };
            function.sends.clone_from(&then.sends);
            function.tables.clone_from(&then.tables);
            function.settings = Settings {
                memory_mb: then.settings.memory_mb,
                timeout_seconds: then.settings.timeout_seconds,
                env: then.settings.env.clone(),
                ..std::mem::take(&mut function.settings)
            };
        }
        Some(manifest)
    }

    /// What a version needs is there from now on.
    pub(crate) fn add(&mut self, manifest: &Manifest) {
        self.queues.extend(manifest.queues.iter().cloned());
        self.tables.extend(manifest.tables.iter().cloned());
        self.buckets.extend(manifest.buckets.iter().cloned());
        self.topics.extend(manifest.topics.iter().cloned());
        self.inboxes.extend(events::inboxes(manifest));
        if self.salt.is_empty() {
            self.salt = salt();
        }
    }

    /// A new version is current and gets everything.
    pub(crate) fn make_current(&mut self, release: Release) {
        self.version = release.version;
        self.topics = release.manifest.topics.iter().cloned().collect();
        self.manifest = Some(release.manifest.clone());
        self.releases.push(release);
        self.traffic.clear();
    }

    /// Forgets the oldest versions, but none that has traffic.
    pub(crate) fn prune(&mut self) {
        let keep = self.manifest.as_ref().and_then(|m| m.host.keep_versions).unwrap_or(KEEP_VERSIONS);
        let keep = usize::try_from(keep).unwrap_or(usize::MAX).max(1);
        let serving: BTreeSet<u64> = self.routes().into_values().flat_map(Weights::into_keys).collect();
        let old = self.releases.len().saturating_sub(keep);
        let mut at = 0;
        self.releases.retain(|release| {
            at += 1;
            at > old || serving.contains(&release.version)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xcloud_core::spec::TriggerSpec;

    fn manifest(package: &str, functions: &[&str]) -> Manifest {
        let function = |name: &&str| FunctionSpec {
            name: (*name).to_owned(),
            trigger: TriggerSpec::Raw,
            sends: Vec::new(),
            tables: Vec::new(),
            settings: Settings { memory_mb: package.parse().ok(), ..Settings::default() },
        };
        Manifest {
            package: package.to_owned(),
            functions: functions.iter().map(function).collect(),
            ..Manifest::default()
        }
    }

    /// Versions 1, 2, …, each with its own package; the last one is current.
    fn record(versions: &[&[&str]]) -> Record {
        let mut record = Record::default();
        for (functions, version) in versions.iter().zip(1_u64..) {
            let manifest = manifest(&version.to_string(), functions);
            record.manifest = Some(manifest.clone());
            record.releases.push(Release::new(version, manifest, Vault::new()));
            (record.version, record.newest) = (version, version);
        }
        record
    }

    #[test]
    fn a_function_that_the_current_version_lacks_is_served_by_the_newest_that_has_it() {
        let mut record = record(&[&["a"], &["a", "b"], &["a", "b"]]);
        record.version = 1;
        let routes = record.routes();
        assert_eq!(routes["a"], Weights::from([(1, 100)]));
        assert_eq!(routes["b"], Weights::from([(3, 100)]));
    }

    #[test]
    fn shares_of_versions_that_are_gone_fall_to_the_current_one() {
        let mut record = record(&[&["a"], &["a"]]);
        record.traffic.insert("a".to_owned(), Weights::from([(1, 10), (9, 40)]));
        assert_eq!(record.routes()["a"], Weights::from([(1, 10), (2, 90)]));
    }

    #[test]
    fn no_version_with_traffic_is_pruned() {
        let mut record = record(&[&["a"][..]; 15]);
        record.traffic.insert("a".to_owned(), Weights::from([(2, 10)]));
        record.prune();
        let kept: Vec<_> = record.releases.iter().map(|r| r.version).collect();
        assert_eq!(kept, [2, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    }

    #[test]
    fn a_rollback_restores_code_and_memory_and_leaves_the_scaling() {
        let mut record = record(&[&["a"], &["a"]]);
        if let Some(manifest) = &mut record.manifest {
            manifest.functions[0].settings.max_instances = Some(3);
        }
        let old = record.restored(1).unwrap();
        let settings = &old.functions[0].settings;
        assert_eq!(
            (old.package.as_str(), settings.memory_mb, settings.max_instances),
            ("1", Some(1), Some(3))
        );
    }

    #[test]
    fn a_record_of_one_version_is_read() {
        let text = r#"{"version":3,"port":8700,"manifest":{"package":"p","binary_sha256":"s","functions":[],"queues":[]}}"#;
        let record: Record = serde_json::from_str(text).unwrap();
        let record = record.completed();
        assert_eq!((record.newest, record.releases[0].version), (3, 3));
    }
}
