//! What runs of an app: a pool of instances for each function in each version that has traffic.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinSet;
use xcloud_core::spec::FunctionSpec;
use xcloud_core::{Error, Result, env};
use xcloud_local::binding::ENTRY;
use xcloud_local::{sender, table};

use crate::config::Paths;

use super::api::Manifest;
use super::api::secrets::Hidden;
use super::cgroup::Groups;
use super::child::Blueprint;
use super::limits::Limits;
use super::logs::Log;
use super::metrics::Meters;
use super::pool::{Plan, Pool};
use super::store::Store;

/// What a deployment needs of its app and host.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) key: String,
    pub(crate) directory: PathBuf,
    pub(crate) run: PathBuf,
    pub(crate) data_socket: PathBuf,
    pub(crate) store: Store,
    pub(crate) meters: Meters,
    groups: Option<Arc<Groups>>,
    logs: Arc<std::sync::Mutex<BTreeMap<String, Arc<Log>>>>,
}

impl Place {
    pub(crate) fn new(paths: &Paths, key: &str, groups: Option<Arc<Groups>>) -> Self {
        Self {
            key: key.to_owned(),
            directory: paths.app(key),
            run: paths.run().to_owned(),
            data_socket: paths.data(),
            store: Store::new(paths.store(key)),
            meters: Meters::default(),
            groups,
            logs: Arc::default(),
        }
    }

    /// The directory of the app's logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.directory.join("logs")
    }

    /// The directory of a bucket.
    pub(crate) fn bucket(&self, name: &str) -> PathBuf {
        self.directory.join("buckets").join(name)
    }

    /// A function's log, one for all its versions.
    pub(crate) fn log(&self, function: &str) -> Result<Arc<Log>> {
        let logs = self.logs();
        std::fs::create_dir_all(&logs)
            .map_err(crate::error::io(format!("cannot make {}", logs.display())))?;
        let mut open = self.logs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let log = open.entry(function.to_owned()).or_insert_with(|| Arc::new(Log::new(&logs, function)));
        Ok(Arc::clone(log))
    }
}

/// A function's logical name, and a version.
pub(crate) type Key = (String, u64);
/// Pools by function and version.
pub(crate) type Pools = BTreeMap<Key, Arc<Pool>>;

/// Starts an instance for each plan; all are ready when this returns. Nothing is delivered to them yet.
///
/// # Errors
/// The first function that did not start, and why; the others are ended.
pub(crate) async fn start(plans: Vec<Plan>) -> Result<Pools> {
    let mut starting = JoinSet::new();
    for plan in plans {
        let key = (plan.function.clone(), plan.version);
        starting.spawn(async move { (key, Pool::start(plan).await) });
    }
    let mut pools = Pools::new();
    let mut failed = None;
    while let Some(started) = starting.join_next().await {
        let error = match started {
            Ok((key, Ok(pool))) => {
                pools.insert(key, pool);
                continue;
            }
            Ok(((name, _), Err(error))) => {
                Error::new(error.kind(), format!("function `{name}`: {}", error.message()))
            }
            Err(error) => Error::handler(error.to_string()),
        };
        // The others' starts are given up: dropping them ends their processes.
        starting.abort_all();
        failed.get_or_insert(error);
    }
    match failed {
        None => Ok(pools),
        Some(error) => {
            stop(pools.into_values()).await;
            Err(error)
        }
    }
}

/// Lets calls on their way end, then ends the processes.
pub(crate) async fn stop(pools: impl IntoIterator<Item = Arc<Pool>>) {
    let mut ending = JoinSet::new();
    for pool in pools {
        ending.spawn(async move { pool.stop().await });
    }
    ending.join_all().await;
}

/// How a function of a version is started.
///
/// # Errors
/// When its log cannot be opened.
pub(crate) fn plan(
    place: &Place,
    (manifest, function): (&Manifest, &FunctionSpec),
    version: u64,
    secrets: &BTreeMap<String, Hidden>,
) -> Result<Plan> {
    let limits = Limits::new(function, &manifest.host);
    let mut environment: Vec<(String, String)> =
        function.settings.env.iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    environment.extend(secrets.iter().map(|(name, Hidden(value))| (name.clone(), value.clone())));
    // After the user's, so that these hold.
    environment.push((env::FUNCTION.to_owned(), function.name.clone()));
    environment.push((env::TIMEOUT.to_owned(), limits.timeout.as_secs().to_string()));
    environment.push((env::VERSION.to_owned(), format!("v{version}")));
    for queue in &function.sends {
        let binding = sender::binding(&place.key, queue, &place.data_socket);
        environment.push((env::queue_var(queue), binding));
    }
    for table in &function.tables {
        let binding = table::binding(&place.key, table, &place.data_socket);
        environment.push((env::table_var(table), binding));
    }
    let blueprint = Blueprint {
        program: super::release::directory(&place.directory, &manifest.package).join(ENTRY),
        env: environment,
        log: place.log(&function.name)?,
        run: place.run.clone(),
        memory: place.groups.clone().zip(limits.memory),
    };
    let meter = place.meters.of(&(function.name.clone(), version));
    Ok(Plan { function: function.name.clone(), version, blueprint, limits, meter })
}
