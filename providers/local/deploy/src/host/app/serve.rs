//! From a record to what runs: start what is missing, switch, end what nobody needs any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use xcloud_core::spec::HTTP_FUNCTION;
use xcloud_core::{Result, env};

use super::{App, Manifest, Record, Runner, deployment, front, lock, release};
use crate::host::deliveries::Deliveries;
use crate::host::deployment::{Key, Pools};
use crate::host::front::{Front, Serving};
use crate::host::pool::{Plan, Pool};
use crate::host::weights::Weights;

/// Before taking a port again that another program held when the host came back.
const PORT_PAUSE: Duration = Duration::from_secs(2);

/// What runs of an app.
#[derive(Default)]
pub(super) struct Live {
    pub(super) pools: Pools,
    pub(super) runners: BTreeMap<String, Arc<Runner>>,
    pub(super) deliveries: Option<Deliveries>,
}

impl App {
    /// Starts what the record needs and does not run yet; when all of it is ready, writes the record down and switches.
    ///
    /// # Errors
    /// A function that does not start, or the disk: what served before still serves.
    pub(super) async fn change_to(&self, record: Record, listener: Option<TcpListener>) -> Result<()> {
        let started = deployment::start(self.missing(&record)?).await?;
        if let Err(error) = self.save(record.clone()) {
            deployment::stop(started.into_values()).await;
            return Err(error);
        }
        self.switch(&record, started, listener)
    }

    /// How to start the functions and versions that the record gives traffic to and that do not run.
    fn missing(&self, record: &Record) -> Result<Vec<Plan>> {
        let mut plans = Vec::new();
        for (function, version) in wanted(record) {
            if lock(&self.live).pools.contains_key(&(function.clone(), version)) {
                continue;
            }
            let Some(manifest) = record.restored(version) else { continue };
            let Some(spec) = manifest.functions.iter().find(|f| f.name == function) else { continue };
            let none = BTreeMap::new();
            let secrets = record.release(version).and_then(|release| release.secrets.get(&function));
            let secrets = secrets.unwrap_or(&none);
            plans.push(deployment::plan(&self.place, (&manifest, spec), version, secrets)?);
        }
        Ok(plans)
    }

    fn switch(&self, record: &Record, started: Pools, listener: Option<TcpListener>) -> Result<()> {
        let old = self.install(record, started)?;
        {
            let mut front = lock(&self.front);
            match (front.as_mut(), listener) {
                (Some(front), _) => front.refresh(&self.serving.subscribe())?,
                (None, Some(listener)) => *front = Some(Front::start(listener, self.serving.subscribe())?),
                (None, None) => {}
            }
        }
        self.place.meters.retain(|version| record.release(version).is_some());
        let directory = self.place.directory.clone();
        let packages: BTreeSet<String> =
            record.releases.iter().map(|release| release.manifest.package.clone()).collect();
        tokio::spawn(async move {
            old.end().await;
            release::prune(&directory, &packages);
        });
        Ok(())
    }

    /// From here on the record's routes hold. Returns what nobody needs any more.
    fn install(&self, record: &Record, started: Pools) -> Result<Old> {
        let routes = record.routes();
        let mut live = lock(&self.live);
        live.pools.extend(started);
        for function in routes.keys() {
            if !live.runners.contains_key(function) {
                let runner = Runner::new(self.place.log(function)?);
                live.runners.insert(function.clone(), runner);
            }
        }
        for (function, runner) in &live.runners {
            runner.serve(routes.get(function).map(|w| targets(&live.pools, function, w)).unwrap_or_default());
        }
        live.runners.retain(|function, _| routes.contains_key(function));
        let wanted = wanted(record);
        let mut pools = Vec::new();
        live.pools.retain(|key, pool| {
            let keep = wanted.contains(key);
            if !keep {
                pools.push(Arc::clone(pool));
            }
            keep
        });
        let http = live.runners.get(HTTP_FUNCTION).cloned();
        let max_body = record.manifest.as_ref().and_then(max_body);
        self.serving.send_replace(Some(Arc::new(Serving { http, max_body })));
        let runners = live.runners.clone();
        let deliveries = record
            .manifest
            .as_ref()
            .map(|manifest| Deliveries::start(&self.place, manifest, |name| runners.get(name).cloned()));
        let deliveries = std::mem::replace(&mut live.deliveries, deliveries);
        Ok(Old { pools, deliveries })
    }

    /// Brings back what ran before the host ended: an instance of each function of the current version is being
    /// started, the others start when they are called.
    pub(crate) async fn restore(self: Arc<Self>) -> Result<()> {
        let record = self.record();
        if record.manifest.is_none() {
            return Ok(());
        }
        let pool = |plan: Plan| {
            let warm = plan.version == record.version;
            ((plan.function.clone(), plan.version), Pool::restore(plan, warm))
        };
        let pools: Pools = self.missing(&record)?.into_iter().map(pool).collect();
        self.switch(&record, pools, None)?;
        let runner = self.runner(HTTP_FUNCTION);
        if let (Some(port), Some(runner)) = (record.port, runner) {
            tokio::spawn(self.take_port(port, runner));
        }
        Ok(())
    }

    /// Another program may have taken the port while no host was there.
    async fn take_port(self: Arc<Self>, port: u16, runner: Arc<Runner>) {
        loop {
            match front::bind(Some(port), &[]).await {
                Ok((_, listener)) => {
                    let mut front = lock(&self.front);
                    if front.is_none() {
                        *front = Front::start(listener, self.serving.subscribe()).ok();
                    }
                    return;
                }
                Err(error) => runner.note(&error.to_string()),
            }
            tokio::time::sleep(PORT_PAUSE).await;
            let taken = lock(&self.front).is_some() || self.record().port != Some(port);
            if taken || self.runner(HTTP_FUNCTION).is_none() {
                return;
            }
        }
    }

    /// Stops listening, then lets everything that runs end. The record stays as it is.
    pub(crate) async fn end(&self) {
        let front = lock(&self.front).take();
        if let Some(front) = front {
            front.stop().await;
        }
        let live = std::mem::take(&mut *lock(&self.live));
        live.runners.values().for_each(|runner| runner.serve(Vec::new()));
        self.serving.send_replace(None);
        Old { pools: live.pools.into_values().collect(), deliveries: live.deliveries }.end().await;
    }
}

/// What is to end.
struct Old {
    pools: Vec<Arc<Pool>>,
    deliveries: Option<Deliveries>,
}

impl Old {
    async fn end(self) {
        let deliveries = async {
            if let Some(deliveries) = self.deliveries {
                deliveries.stop().await;
            }
        };
        tokio::join!(deliveries, deployment::stop(self.pools));
    }
}

fn wanted(record: &Record) -> BTreeSet<Key> {
    let routes = record.routes().into_iter();
    routes.flat_map(|(name, weights)| weights.into_keys().map(move |v| (name.clone(), v))).collect()
}

fn targets(pools: &Pools, function: &str, weights: &Weights) -> Vec<(Arc<Pool>, u32)> {
    let target = |(version, percent): (&u64, &u32)| {
        pools.get(&(function.to_owned(), *version)).map(|pool| (Arc::clone(pool), *percent))
    };
    weights.iter().filter_map(target).collect()
}

/// The limit of request bodies that the `http` function is configured with.
fn max_body(manifest: &Manifest) -> Option<usize> {
    let http = manifest.functions.iter().find(|f| f.name == HTTP_FUNCTION)?;
    http.settings.env.as_ref()?.get(env::MAX_BODY)?.parse().ok()
}
