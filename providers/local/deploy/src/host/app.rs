//! One app: its record on disk, its running version, its front.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use xcloud_core::spec::{FunctionSpec, HTTP_FUNCTION, Settings, TriggerSpec};
use xcloud_core::{Error, ErrorKind, Result};

use super::api::{AppView, Manifest, Publish, QueueView, TableView, is_name};
use super::deployment::{Deployment, Place};
use super::front::{self, Front};
use super::release;
use crate::error::io;

/// Before taking a port again that another program held when the host came back.
const PORT_PAUSE: Duration = Duration::from_secs(2);

/// What is kept on disk: `app.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) version: u64,
    pub(crate) port: Option<u16>,
    pub(crate) manifest: Option<Manifest>,
    #[serde(default)]
    pub(crate) queues: BTreeSet<String>,
    #[serde(default)]
    pub(crate) tables: BTreeSet<String>,
}

/// One app.
pub(crate) struct App {
    place: Place,
    record: Mutex<Record>,
    current: watch::Sender<Option<Arc<Deployment>>>,
    front: Mutex<Option<Front>>,
    offered: Mutex<Option<tokio::net::TcpListener>>,
    /// One change at a time; a second one is refused, not queued.
    changing: tokio::sync::Mutex<()>,
}

impl App {
    /// An app as its record says; nothing runs yet.
    pub(crate) fn new(place: Place, record: Record) -> Arc<Self> {
        Arc::new(Self {
            place,
            record: Mutex::new(record),
            current: watch::Sender::new(None),
            front: Mutex::new(None),
            offered: Mutex::new(None),
            changing: tokio::sync::Mutex::new(()),
        })
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn record(&self) -> Record {
        lock(&self.record).clone()
    }

    /// The version that serves.
    pub(crate) fn current(&self) -> Option<Arc<Deployment>> {
        self.current.borrow().clone()
    }

    /// How it is.
    pub(crate) fn view(&self) -> AppView {
        let record = self.record();
        let queue = |name: &String| {
            let counts = self.place.store.counts(name);
            QueueView { name: name.clone(), waiting: counts.waiting, dead: counts.dead }
        };
        let table = |name: &String| TableView { name: name.clone(), rows: self.place.store.rows(name) };
        AppView {
            version: record.version,
            port: record.port,
            queues: record.queues.iter().map(queue).collect(),
            tables: record.tables.iter().map(table).collect(),
            functions: self.current().map(|d| d.functions()).unwrap_or_default(),
            durability: self.place.store.durability().unwrap_or_default(),
            manifest: record.manifest,
        }
    }

    /// Brings back what ran before the host ended.
    pub(crate) async fn restore(self: Arc<Self>) -> Result<()> {
        let Record { version, port, manifest: Some(manifest), .. } = self.record() else { return Ok(()) };
        let deployment = Arc::new(Deployment::restore(&self.place, manifest, version)?);
        self.current.send_replace(Some(Arc::clone(&deployment)));
        deployment.deliver(&self.place);
        let Some(port) = port.filter(|_| deployment.runner(HTTP_FUNCTION).is_some()) else { return Ok(()) };
        let app = Arc::clone(&self);
        tokio::spawn(async move {
            // Another program may have taken the port while no host was there.
            loop {
                match front::bind(Some(port), &[]).await {
                    Ok((_, listener)) => {
                        let mut front = lock(&app.front);
                        if front.is_none() {
                            *front = Front::start(listener, app.current.subscribe()).ok();
                        }
                        return;
                    }
                    Err(error) => {
                        if let Some(runner) = deployment.runner(HTTP_FUNCTION) {
                            runner.note(&error.to_string());
                        }
                    }
                }
                tokio::time::sleep(PORT_PAUSE).await;
                let replaced = app.current().is_none_or(|now| !Arc::ptr_eq(&now, &deployment));
                if replaced {
                    return;
                }
            }
        });
        Ok(())
    }

    fn change(&self) -> Result<tokio::sync::MutexGuard<'_, ()>> {
        let busy = || Error::conflict(format!("another deployment of {} is on its way", self.place.key));
        self.changing.try_lock().map_err(|_| busy())
    }

    /// Makes a queue, if it is not there.
    pub(crate) fn create_queue(&self, name: &str) -> Result<()> {
        let _changing = self.change()?;
        let mut record = self.record();
        if record.queues.insert(name.to_owned()) {
            self.save(record)?;
        }
        Ok(())
    }

    /// What its front is to listen on, once it has one.
    pub(crate) fn offer(&self, listener: tokio::net::TcpListener) {
        *lock(&self.offered) = Some(listener);
    }

    /// Makes a table, if it is not there.
    pub(crate) fn create_table(&self, name: &str) -> Result<()> {
        let _changing = self.change()?;
        let mut record = self.record();
        if record.tables.insert(name.to_owned()) {
            self.save(record)?;
        }
        Ok(())
    }

    /// Puts a manifest into service: starts its processes beside the old ones, and only when all are ready writes it
    /// down, switches, and lets the old ones end. When anything fails before, what served before still serves.
    /// `taken` are the ports of the other apps.
    pub(crate) async fn publish(&self, publish: Publish, taken: &[u16]) -> Result<u64> {
        let _changing = self.change()?;
        let mut record = self.record();
        if record.version != publish.base {
            let message = format!(
                "version v{} was deployed meanwhile (the plan was made at v{}): plan again",
                record.version, publish.base
            );
            return Err(Error::conflict(message));
        }
        let manifest = merge(publish.manifest, record.manifest.as_ref());
        validate(&manifest, &self.place)?;
        let listener = self.listener(&record, &manifest, taken).await?;
        let version = record.version + 1;
        let deployment = Arc::new(Deployment::start(&self.place, manifest.clone(), version).await?);
        let old_queues = obsolete(&record.queues, &manifest.queues);
        let old_tables = obsolete(&record.tables, &manifest.tables);
        record.version = version;
        record.queues.extend(manifest.queues.iter().cloned());
        record.tables.extend(manifest.tables.iter().cloned());
        if let Some((port, _)) = &listener {
            record.port = Some(*port);
        }
        record.manifest = Some(manifest.clone());
        if let Err(error) = self.save(record) {
            deployment.stop().await;
            return Err(error);
        }
        self.switch(Some(deployment), listener.map(|(_, listener)| listener), Some(manifest.package))?;
        self.remove_queues(old_queues, publish.delete_data).await?;
        self.remove_tables(old_tables, publish.delete_data).await?;
        Ok(version)
    }

    /// Ends everything; queues and tables that hold something are kept unless `delete_data`. True when nothing is left.
    pub(crate) async fn destroy(&self, delete_data: bool) -> Result<bool> {
        let _changing = self.change()?;
        let mut record = self.record();
        record.manifest = None;
        self.save(record.clone())?;
        let old = self.current.send_replace(None);
        let front = lock(&self.front).take();
        if let Some(front) = front {
            front.stop().await;
        }
        if let Some(old) = old {
            old.stop().await;
        }
        self.remove_queues(record.queues.into_iter().collect(), delete_data).await?;
        self.remove_tables(record.tables.into_iter().collect(), delete_data).await?;
        let left = self.record();
        let empty = left.queues.is_empty() && left.tables.is_empty();
        if empty {
            let directory = &self.place.directory;
            std::fs::remove_dir_all(directory)
                .map_err(io(format!("cannot remove {}", directory.display())))?;
        } else {
            release::prune(&self.place.directory, "");
        }
        Ok(empty)
    }

    /// Ends the processes and leaves the record: the host ends.
    pub(crate) async fn stop(&self) {
        let front = lock(&self.front).take();
        if let Some(front) = front {
            front.stop().await;
        }
        if let Some(deployment) = self.current() {
            deployment.stop().await;
        }
    }

    async fn listener(
        &self,
        record: &Record,
        manifest: &Manifest,
        taken: &[u16],
    ) -> Result<Option<(u16, tokio::net::TcpListener)>> {
        let wanted = manifest.functions.iter().any(|f| f.name == HTTP_FUNCTION);
        if !wanted || lock(&self.front).is_some() {
            return Ok(None);
        }
        if let Some(listener) = lock(&self.offered).take() {
            return Ok(Some((listener.local_addr()?.port(), listener)));
        }
        front::bind(record.port, taken).await.map(Some)
    }

    fn switch(
        &self,
        deployment: Option<Arc<Deployment>>,
        listener: Option<tokio::net::TcpListener>,
        package: Option<String>,
    ) -> Result<()> {
        let old = self.current.send_replace(deployment.clone());
        if let Some(deployment) = &deployment {
            deployment.deliver(&self.place);
        }
        {
            let mut front = lock(&self.front);
            match (front.as_mut(), listener) {
                (Some(front), _) => front.refresh(&self.current.subscribe())?,
                (None, Some(listener)) => *front = Some(Front::start(listener, self.current.subscribe())?),
                (None, None) => {}
            }
        }
        let directory = self.place.directory.clone();
        tokio::spawn(async move {
            if let Some(old) = old {
                old.stop().await;
            }
            if let Some(package) = package {
                release::prune(&directory, &package);
            }
        });
        Ok(())
    }

    async fn remove_queues(&self, names: Vec<String>, delete_data: bool) -> Result<()> {
        for name in names {
            let counts = self.place.store.counts(&name);
            if delete_data || (counts.waiting == 0 && counts.dead == 0) {
                let mut record = self.record();
                record.queues.remove(&name);
                self.save(record)?;
                self.place.store.clear(&name).await?;
            }
        }
        Ok(())
    }

    async fn remove_tables(&self, names: Vec<String>, delete_data: bool) -> Result<()> {
        for name in names {
            if delete_data || self.place.store.rows(&name) == 0 {
                let mut record = self.record();
                record.tables.remove(&name);
                self.save(record)?;
                self.place.store.empty(&name).await?;
            }
        }
        Ok(())
    }

    /// On disk first, in memory then.
    fn save(&self, record: Record) -> Result<()> {
        write_record(&self.place.directory, &record)?;
        *lock(&self.record) = record;
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Settings that the new manifest does not name stay as they are.
fn merge(mut manifest: Manifest, old: Option<&Manifest>) -> Manifest {
    let find = |name: &str| old?.functions.iter().find(|f| f.name == name);
    for function in &mut manifest.functions {
        if let Some(FunctionSpec { settings: old, .. }) = find(&function.name) {
            let new = std::mem::take(&mut function.settings);
            function.settings = Settings {
                memory_mb: new.memory_mb.or(old.memory_mb),
                timeout_seconds: new.timeout_seconds.or(old.timeout_seconds),
                concurrency: new.concurrency.or(old.concurrency),
                min_instances: new.min_instances.or(old.min_instances),
                max_instances: new.max_instances.or(old.max_instances),
                public: new.public.or(old.public),
                max_attempts: new.max_attempts.or(old.max_attempts),
                env: new.env.or_else(|| old.env.clone()),
            };
        }
    }
    manifest
}

fn validate(manifest: &Manifest, place: &Place) -> Result<()> {
    let names = manifest.functions.iter().map(|f| &f.name).chain(&manifest.queues).chain(&manifest.tables);
    if let Some(bad) = names.clone().find(|name| !is_name(name)) {
        return Err(Error::new(
            ErrorKind::Config,
            format!("{bad:?} cannot be the name of a function, queue or table"),
        ));
    }
    for function in &manifest.functions {
        let sends = function.sends.iter();
        let takes = match &function.trigger {
            TriggerSpec::Queue { queue, .. } => Some(queue),
            _ => None,
        };
        if let Some(missing) = sends.chain(takes).find(|queue| !manifest.queues.contains(queue)) {
            let message =
                format!("function `{}` names queue `{missing}`, which the Spec does not list", function.name);
            return Err(Error::new(ErrorKind::Config, message));
        }
        if let Some(missing) = function.tables.iter().find(|table| !manifest.tables.contains(table)) {
            let message =
                format!("function `{}` names table `{missing}`, which the Spec does not list", function.name);
            return Err(Error::new(ErrorKind::Config, message));
        }
    }
    if !release::directory(&place.directory, &manifest.package).exists() {
        return Err(Error::not_found(format!("package {} was not uploaded", manifest.package)));
    }
    Ok(())
}

fn obsolete(names: &BTreeSet<String>, wanted: &[String]) -> Vec<String> {
    names.iter().filter(|name| !wanted.contains(name)).cloned().collect()
}

/// Reads a record; `None` when there is none.
pub(crate) fn read_record(directory: &Path) -> Result<Option<Record>> {
    let path = directory.join("app.json");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io(format!("cannot read {}", path.display()))(e)),
    };
    let record = serde_json::from_slice(&bytes).map_err(|e| {
        Error::new(ErrorKind::Config, format!("{} is damaged: {e}; deploy the app again", path.display()))
    })?;
    Ok(Some(record))
}

/// Whole or not at all, and on disk when it returns.
fn write_record(directory: &Path, record: &Record) -> Result<()> {
    let path = directory.join("app.json");
    let failed = || format!("cannot write {}", path.display());
    std::fs::create_dir_all(directory).map_err(io(failed()))?;
    let new = directory.join("app.json.new");
    let bytes = serde_json::to_vec_pretty(record)?;
    let mut options = std::fs::File::options();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o600).open(&new).map_err(io(failed()))?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(io(failed()))?;
    std::fs::rename(&new, &path).map_err(io(failed()))
}
