//! One app: its record on disk, what runs of it, its front.

mod record;
mod serve;
mod versions;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::watch;
use xcloud_core::spec::{FunctionSpec, HTTP_FUNCTION, Settings, TriggerSpec};
use xcloud_core::{Error, ErrorKind, Result};

pub(crate) use self::record::Record;
use self::record::Release;
use self::serve::Live;
use super::api::secrets;
use super::api::{AppView, BucketView, FunctionView, Manifest, Publish, QueueView, TableView, is_name};
use super::deployment::{self, Place};
use super::events;
use super::front::{self, Front, Serving};
use super::release;
use super::runner::Runner;
use crate::error::io;

/// One app.
pub(crate) struct App {
    place: Place,
    record: Mutex<Record>,
    live: Mutex<Live>,
    /// What the front serves.
    serving: watch::Sender<Option<Arc<Serving>>>,
    front: Mutex<Option<Front>>,
    offered: Mutex<Option<TcpListener>>,
    /// One change at a time; a second one is refused, not queued.
    changing: tokio::sync::Mutex<()>,
}

impl App {
    /// An app as its record says; nothing runs yet.
    pub(crate) fn new(place: Place, record: Record) -> Arc<Self> {
        Arc::new(Self {
            place,
            record: Mutex::new(record),
            live: Mutex::default(),
            serving: watch::Sender::new(None),
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

    /// A function that is served, by its logical name.
    pub(crate) fn runner(&self, function: &str) -> Option<Arc<Runner>> {
        lock(&self.live).runners.get(function).cloned()
    }

    /// How it is.
    pub(crate) fn view(&self) -> AppView {
        let record = self.record();
        let queue = |name: &String| {
            let counts = self.place.store.counts(name);
            QueueView { name: name.clone(), waiting: counts.waiting, dead: counts.dead }
        };
        let table = |name: &String| TableView { name: name.clone(), rows: self.place.store.rows(name) };
        let bucket = |name: &String| {
            let directory = self.place.bucket(name);
            let holds = std::fs::read_dir(&directory).is_ok_and(|mut entries| entries.next().is_some());
            BucketView { name: name.clone(), directory, holds }
        };
        let runners = lock(&self.live).runners.clone();
        AppView {
            version: record.version,
            port: record.port,
            queues: record.queues.iter().map(queue).collect(),
            tables: record.tables.iter().map(table).collect(),
            buckets: record.buckets.iter().map(bucket).collect(),
            topics: record.topics.iter().cloned().collect(),
            events: record.inboxes.iter().map(queue).collect(),
            trouble: self.place.store.check().err().map(|error| error.to_string()),
            durability: self.place.store.durability().unwrap_or_default(),
            functions: runners.iter().map(|(name, runner)| function_view(name, runner)).collect(),
            secrets: record.digests(record.version),
            salt: record.salt,
            manifest: record.manifest,
        }
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
    pub(crate) fn offer(&self, listener: TcpListener) {
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

    /// Makes a bucket, if it is not there.
    pub(crate) fn create_bucket(&self, name: &str) -> Result<()> {
        let _changing = self.change()?;
        let directory = self.place.bucket(name);
        std::fs::create_dir_all(&directory).map_err(io(format!("cannot make {}", directory.display())))?;
        let mut record = self.record();
        if record.buckets.insert(name.to_owned()) {
            self.save(record)?;
        }
        Ok(())
    }

    /// Makes a topic, if it is not there.
    pub(crate) fn create_topic(&self, name: &str) -> Result<()> {
        let _changing = self.change()?;
        let mut record = self.record();
        if record.topics.insert(name.to_owned()) {
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
        unchanged(&record, publish.base)?;
        let Publish { manifest, secrets, delete_data, no_traffic, .. } = publish;
        let mut manifest = merge(manifest, record.manifest.as_ref());
        let before =
            record.release(record.version).map(|release| release.secrets.clone()).unwrap_or_default();
        let secrets = secrets::merge(secrets, &before, &mut manifest);
        validate(&manifest, &self.place)?;
        let listener = self.listener(&record, &manifest, taken).await?;
        let old = Obsolete::of(&record, &manifest);
        let version = record.newest.max(record.version) + 1;
        record.newest = version;
        for bucket in &manifest.buckets {
            let directory = self.place.bucket(bucket);
            std::fs::create_dir_all(&directory)
                .map_err(io(format!("cannot make {}", directory.display())))?;
        }
        if let Some((port, _)) = &listener {
            record.port = Some(*port);
        }
        record.add(&manifest);
        let release = Release::new(version, manifest, secrets);
        if no_traffic {
            record.releases.push(Release { waiting: true, ..release });
        } else {
            record.make_current(release);
        }
        record.prune();
        self.change_to(record, listener.map(|(_, listener)| listener)).await?;
        if !no_traffic {
            self.remove(old, delete_data).await?;
        }
        Ok(version)
    }

    /// Ends everything; queues and tables that hold something are kept unless `delete_data`. True when nothing is left.
    pub(crate) async fn destroy(&self, delete_data: bool) -> Result<bool> {
        let _changing = self.change()?;
        let mut record = self.record();
        record.manifest = None;
        record.releases.clear();
        record.traffic.clear();
        self.save(record.clone())?;
        self.end().await;
        self.remove(Obsolete::of(&record, &Manifest::default()), delete_data).await?;
        let left = self.record();
        let empty = left.queues.is_empty()
            && left.tables.is_empty()
            && left.buckets.is_empty()
            && left.inboxes.is_empty();
        if empty {
            let directory = &self.place.directory;
            std::fs::remove_dir_all(directory)
                .map_err(io(format!("cannot remove {}", directory.display())))?;
        } else {
            release::prune(&self.place.directory, &BTreeSet::new());
        }
        Ok(empty)
    }

    async fn listener(
        &self,
        record: &Record,
        manifest: &Manifest,
        taken: &[u16],
    ) -> Result<Option<(u16, TcpListener)>> {
        let wanted = manifest.functions.iter().any(|f| f.name == HTTP_FUNCTION);
        if !wanted || lock(&self.front).is_some() {
            return Ok(None);
        }
        if let Some(listener) = lock(&self.offered).take() {
            return Ok(Some((listener.local_addr()?.port(), listener)));
        }
        front::bind(record.port, taken).await.map(Some)
    }

    async fn remove(&self, old: Obsolete, delete_data: bool) -> Result<()> {
        self.remove_queues(old.queues, delete_data).await?;
        self.remove_tables(old.tables, delete_data).await?;
        self.remove_buckets(old.buckets, delete_data).await?;
        self.remove_inboxes(old.inboxes, delete_data).await
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

    async fn remove_buckets(&self, names: Vec<String>, delete_data: bool) -> Result<()> {
        for name in names {
            let directory = self.place.bucket(&name);
            // An empty directory goes; one with objects stays unless they are to go too.
            let gone = if delete_data {
                std::fs::remove_dir_all(&directory)
            } else {
                std::fs::remove_dir(&directory)
            };
            let gone = gone.is_ok() || !directory.exists();
            if gone {
                let mut record = self.record();
                record.buckets.remove(&name);
                self.save(record)?;
                self.place.store.empty(&format!("@bucket/{name}")).await?;
            }
        }
        Ok(())
    }

    /// Events of functions that are no longer there, as messages of queues.
    async fn remove_inboxes(&self, names: Vec<String>, delete_data: bool) -> Result<()> {
        for name in names {
            let counts = self.place.store.counts(&name);
            if delete_data || (counts.waiting == 0 && counts.dead == 0) {
                let mut record = self.record();
                record.inboxes.remove(&name);
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
        record.write(&self.place.directory)?;
        *lock(&self.record) = record;
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Refuses when someone else has changed the app since the plan was made.
fn unchanged(record: &Record, base: u64) -> Result<()> {
    if record.version == base {
        return Ok(());
    }
    let message = format!(
        "version v{} was put into service meanwhile (the plan was made at v{base}): plan again",
        record.version
    );
    Err(Error::conflict(message))
}

fn function_view(name: &str, runner: &Runner) -> FunctionView {
    let mut pools = runner.pools();
    pools.sort_by_key(|(_, percent)| std::cmp::Reverse(*percent));
    let mut view = FunctionView { name: name.to_owned(), version: 0, state: String::new(), healthy: true };
    for (at, (pool, percent)) in pools.iter().enumerate() {
        let condition = pool.condition();
        view.healthy &= condition.healthy;
        if at == 0 {
            view.version = pool.version();
            view.state = condition.state;
        } else {
            view.state += &format!("; v{} with {percent} %: {}", pool.version(), condition.state);
        }
    }
    view
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
    if let Some(Manifest { host: old, .. }) = old {
        let new = &mut manifest.host;
        new.idle_timeout_seconds = new.idle_timeout_seconds.or(old.idle_timeout_seconds);
        new.keep_versions = new.keep_versions.or(old.keep_versions);
    }
    manifest
}

fn validate(manifest: &Manifest, place: &Place) -> Result<()> {
    let data =
        manifest.queues.iter().chain(&manifest.tables).chain(&manifest.buckets).chain(&manifest.topics);
    let names = manifest.functions.iter().map(|f| &f.name).chain(data);
    if let Some(bad) = names.clone().find(|name| !is_name(name)) {
        return Err(Error::new(
            ErrorKind::Config,
            format!("{bad:?} cannot be the name of a function, queue, table, bucket or topic"),
        ));
    }
    for function in &manifest.functions {
        super::clock::Timer::of(function)?;
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

/// What a manifest does not name any more.
struct Obsolete {
    queues: Vec<String>,
    tables: Vec<String>,
    buckets: Vec<String>,
    inboxes: Vec<String>,
}

impl Obsolete {
    fn of(record: &Record, manifest: &Manifest) -> Self {
        let without = |names: &BTreeSet<String>, wanted: &[String]| {
            names.iter().filter(|name| !wanted.contains(name)).cloned().collect()
        };
        Self {
            queues: without(&record.queues, &manifest.queues),
            tables: without(&record.tables, &manifest.tables),
            buckets: without(&record.buckets, &manifest.buckets),
            inboxes: without(&record.inboxes, &events::inboxes(manifest)),
        }
    }
}
