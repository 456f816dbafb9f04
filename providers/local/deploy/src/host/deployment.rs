//! A version of an app that runs: its functions' processes and the deliveries to them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use xcloud_core::spec::{FunctionSpec, HTTP_FUNCTION, TriggerSpec};
use xcloud_core::{Error, Result, env};
use xcloud_local::binding::{DEFAULT_BATCH, DEFAULT_MAX_ATTEMPTS, DEFAULT_TIMEOUT_SECONDS, ENTRY};
use xcloud_local::{sender, table};

use crate::config::Paths;

use super::api::{FunctionView, Manifest};
use super::child::Blueprint;
use super::delivery::Delivery;
use super::logs::Log;
use super::runner::{Runner, State};
use super::store::Store;

/// What a deployment needs of its app and host.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) key: String,
    pub(crate) directory: PathBuf,
    pub(crate) run: PathBuf,
    pub(crate) data_socket: PathBuf,
    pub(crate) store: Store,
    logs: Arc<std::sync::Mutex<BTreeMap<String, Arc<Log>>>>,
}

impl Place {
    pub(crate) fn new(paths: &Paths, key: &str) -> Self {
        Self {
            key: key.to_owned(),
            directory: paths.app(key),
            run: paths.run().to_owned(),
            data_socket: paths.data(),
            store: Store::new(paths.store(key)),
            logs: Arc::default(),
        }
    }

    /// The directory of the app's logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.directory.join("logs")
    }

    /// A function's log, one for all its versions.
    fn log(&self, function: &str) -> Result<Arc<Log>> {
        let logs = self.logs();
        std::fs::create_dir_all(&logs)
            .map_err(crate::error::io(format!("cannot make {}", logs.display())))?;
        let mut open = self.logs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let log = open.entry(function.to_owned()).or_insert_with(|| Arc::new(Log::new(&logs, function)));
        Ok(Arc::clone(log))
    }
}

/// A version that runs.
#[derive(Debug)]
pub(crate) struct Deployment {
    manifest: Manifest,
    runners: BTreeMap<String, Arc<Runner>>,
    deliveries: std::sync::Mutex<Vec<JoinHandle<()>>>,
    stop: watch::Sender<bool>,
}

impl Deployment {
    /// Starts a process of every function; all are ready when this returns. Nothing is delivered to them yet.
    ///
    /// # Errors
    /// The first function that did not start, and why; the others are ended.
    pub(crate) async fn start(place: &Place, manifest: Manifest, version: u64) -> Result<Self> {
        let mut starting = JoinSet::new();
        for function in &manifest.functions {
            let (name, blueprint) = (function.name.clone(), blueprint(place, &manifest, function, version)?);
            starting.spawn(async move { (name, Runner::start(blueprint).await) });
        }
        let mut runners = BTreeMap::new();
        let mut failed = None;
        while let Some(started) = starting.join_next().await {
            let error = match started {
                Ok((name, Ok(runner))) => {
                    runners.insert(name, runner);
                    continue;
                }
                Ok((name, Err(error))) => {
                    Error::new(error.kind(), format!("function `{name}`: {}", error.message()))
                }
                Err(error) => Error::handler(error.to_string()),
            };
            // The others' starts are given up: dropping them ends their processes.
            starting.abort_all();
            failed.get_or_insert(error);
        }
        let this = Self::new(manifest, runners);
        match failed {
            None => Ok(this),
            Some(error) => {
                this.stop().await;
                Err(error)
            }
        }
    }

    /// The same after a restart of the host: it returns at once, and a function that does not start is tried again.
    pub(crate) fn restore(place: &Place, manifest: Manifest, version: u64) -> Result<Self> {
        let runner = |function: &FunctionSpec| {
            let blueprint = blueprint(place, &manifest, function, version)?;
            Ok((function.name.clone(), Runner::restore(blueprint)))
        };
        let runners = manifest.functions.iter().map(runner).collect::<Result<_>>()?;
        Ok(Self::new(manifest, runners))
    }

    fn new(manifest: Manifest, runners: BTreeMap<String, Arc<Runner>>) -> Self {
        Self { manifest, runners, deliveries: std::sync::Mutex::default(), stop: watch::Sender::new(false) }
    }

    /// Begins to deliver queues to their functions.
    pub(crate) fn deliver(&self, place: &Place) {
        let mut deliveries = self.deliveries.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for function in &self.manifest.functions {
            let (TriggerSpec::Queue { queue, batch }, Some(runner)) =
                (&function.trigger, self.runner(&function.name))
            else {
                continue;
            };
            let delivery = Delivery {
                store: place.store.clone(),
                queue: queue.clone(),
                function: function.name.clone(),
                runner,
                batch: usize::try_from(batch.unwrap_or(DEFAULT_BATCH).max(1)).unwrap_or(usize::MAX),
                max_attempts: function.settings.max_attempts.unwrap_or(DEFAULT_MAX_ATTEMPTS).max(1),
            };
            for _ in 0..function.settings.concurrency.unwrap_or(1).max(1) {
                deliveries.push(tokio::spawn(delivery.clone().run(self.stop.subscribe())));
            }
        }
    }

    /// Ends deliveries, lets calls on their way end, then ends the processes.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        let deliveries = {
            let mut deliveries = self.deliveries.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            std::mem::take(&mut *deliveries)
        };
        let mut ending = JoinSet::new();
        for delivery in deliveries {
            ending.spawn(async move { drop(delivery.await) });
        }
        for runner in self.runners.values() {
            let runner = Arc::clone(runner);
            ending.spawn(async move { runner.stop().await });
        }
        ending.join_all().await;
    }

    /// What runs.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// A function's process, by its logical name.
    pub(crate) fn runner(&self, function: &str) -> Option<Arc<Runner>> {
        self.runners.get(function).cloned()
    }

    /// The limit of request bodies that the `http` function was configured with.
    pub(crate) fn max_body(&self) -> Option<usize> {
        let http = self.manifest.functions.iter().find(|f| f.name == HTTP_FUNCTION)?;
        http.settings.env.as_ref()?.get(env::MAX_BODY)?.parse().ok()
    }

    /// How its functions are.
    pub(crate) fn functions(&self) -> Vec<FunctionView> {
        let view = |(name, runner): (&String, &Arc<Runner>)| {
            let (state, healthy) = match runner.state() {
                State::Ready(_) => ("running".to_owned(), true),
                State::Starting => ("starting".to_owned(), false),
                State::Failed(why) => (format!("failed: {why}"), false),
                State::Stopped => ("stopped".to_owned(), false),
            };
            FunctionView { name: name.clone(), state, healthy }
        };
        self.runners.iter().map(view).collect()
    }
}

fn blueprint(place: &Place, manifest: &Manifest, function: &FunctionSpec, version: u64) -> Result<Blueprint> {
    let timeout = function.settings.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS);
    let mut environment: Vec<(String, String)> =
        function.settings.env.iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    // After the user's, so that these hold.
    environment.push((env::FUNCTION.to_owned(), function.name.clone()));
    environment.push((env::TIMEOUT.to_owned(), timeout.to_string()));
    environment.push((env::VERSION.to_owned(), format!("v{version}")));
    for queue in &function.sends {
        let binding = sender::binding(&place.key, queue, &place.data_socket);
        environment.push((env::queue_var(queue), binding));
    }
    for table in &function.tables {
        let binding = table::binding(&place.key, table, &place.data_socket);
        environment.push((env::table_var(table), binding));
    }
    Ok(Blueprint {
        program: program(&place.directory, manifest),
        env: environment,
        log: place.log(&function.name)?,
        timeout: Duration::from_secs(timeout.into()),
        run: place.run.clone(),
    })
}

fn program(app: &Path, manifest: &Manifest) -> PathBuf {
    super::release::directory(app, &manifest.package).join(ENTRY)
}
