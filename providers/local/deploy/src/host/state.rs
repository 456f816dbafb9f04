//! What the host's servers share: the apps, the wish to end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::watch;
use xcloud_core::{Error, Result};

use super::api::{HostInfo, is_app_key};
use super::app::{App, Record};
use super::cgroup::Groups;
use super::deployment::Place;
use crate::config::Paths;

/// The host.
pub(crate) struct Host {
    pub(crate) paths: Paths,
    pub(crate) info: HostInfo,
    groups: Option<Arc<Groups>>,
    apps: Mutex<BTreeMap<String, Arc<App>>>,
    pub(crate) stop: watch::Sender<bool>,
    /// Where metrics are served for Prometheus.
    pub(crate) prometheus: OnceLock<String>,
}

impl Host {
    /// With `groups` the kernel holds the instances' limits.
    pub(crate) fn new(paths: Paths, info: HostInfo, groups: Option<Arc<Groups>>) -> Arc<Self> {
        let (apps, stop) = (Mutex::default(), watch::Sender::new(false));
        Arc::new(Self { paths, info, groups, apps, stop, prometheus: OnceLock::new() })
    }

    /// Brings back every app. One that cannot come back is logged and does not keep the others away.
    pub(crate) async fn restore(&self) -> Result<()> {
        let directory = self.paths.apps();
        let failed = crate::error::io(format!("cannot read {}", directory.display()));
        for entry in std::fs::read_dir(&directory).map_err(failed)? {
            let name = entry?.file_name();
            let Some(key) = name.to_str().filter(|key| is_app_key(key)) else { continue };
            let result = match Record::read(&self.paths.app(key)) {
                Ok(Some(record)) => self.insert(key, record).restore().await,
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                super::log(&format!("app {key}: {error}"));
            }
        }
        Ok(())
    }

    fn insert(&self, key: &str, record: Record) -> Arc<App> {
        let place = Place::new(&self.paths, key, self.groups.clone());
        let app = App::new(place, record);
        self.lock().insert(key.to_owned(), Arc::clone(&app));
        app
    }

    /// An app that is there.
    pub(crate) fn app(&self, key: &str) -> Result<Arc<App>> {
        let found = self.lock().get(key).cloned();
        found.ok_or_else(|| Error::not_found(format!("no app {key} is deployed here")))
    }

    /// An app that is there, or a new one without anything.
    pub(crate) fn app_or_new(&self, key: &str) -> Result<Arc<App>> {
        if !is_app_key(key) {
            return Err(Error::bad_request(format!("{key:?} is not the key of an app")));
        }
        if let Some(app) = self.lock().get(key) {
            return Ok(Arc::clone(app));
        }
        Ok(self.insert(key, Record::default()))
    }

    pub(crate) fn forget(&self, key: &str) {
        self.lock().remove(key);
    }

    pub(crate) fn apps(&self) -> Vec<Arc<App>> {
        self.lock().values().cloned().collect()
    }

    /// Who the host is, and what it has now.
    pub(crate) fn describe(&self) -> HostInfo {
        let apps = self.apps();
        let messages = apps.iter().flat_map(|app| app.view().queues).map(|queue| queue.waiting).sum();
        let keys = apps.iter().filter(|app| app.record().manifest.is_some());
        let apps = keys.map(|app| app.place().key.clone()).collect();
        HostInfo { apps, messages, ..self.info.clone() }
    }

    /// Ports that belong to other apps, whether these run or not.
    pub(crate) fn ports_but(&self, key: &str) -> Vec<u16> {
        let others = self.apps();
        others.iter().filter(|app| app.place().key != key).filter_map(|app| app.record().port).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<App>>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
