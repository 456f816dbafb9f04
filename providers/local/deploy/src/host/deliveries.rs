//! The deliveries of an app's queues to its functions.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use xcloud_core::spec::{FunctionSpec, TriggerSpec};
use xcloud_local::binding::{DEFAULT_BATCH, DEFAULT_MAX_ATTEMPTS};

use super::api::Manifest;
use super::delivery::Delivery;
use super::deployment::Place;
use super::limits::Limits;
use super::runner::Runner;

/// Batches of one queue on their way at once, whatever the limits of its function multiply to.
const MOST: usize = 256;

/// Deliveries that run.
#[derive(Debug)]
pub(crate) struct Deliveries {
    tasks: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Deliveries {
    /// Begins to deliver every queue of the manifest to its function.
    pub(crate) fn start(
        place: &Place,
        manifest: &Manifest,
        runner: impl Fn(&str) -> Option<Arc<Runner>>,
    ) -> Self {
        let stop = watch::Sender::new(false);
        let mut tasks = Vec::new();
        for function in &manifest.functions {
            let Some(delivery) = runner(&function.name).and_then(|runner| delivery(place, function, runner))
            else {
                continue;
            };
            let limits = Limits::new(function, &manifest.host);
            for _ in 0..limits.concurrency.saturating_mul(limits.max).min(MOST) {
                tasks.push(tokio::spawn(delivery.clone().run(stop.subscribe())));
            }
        }
        Self { tasks, stop }
    }

    /// Begins nothing more, and returns when what has begun is over.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            // A panic in one of them has ended it.
            drop(task.await);
        }
    }
}

fn delivery(place: &Place, function: &FunctionSpec, runner: Arc<Runner>) -> Option<Delivery> {
    let TriggerSpec::Queue { queue, batch } = &function.trigger else { return None };
    Some(Delivery {
        store: place.store.clone(),
        queue: queue.clone(),
        function: function.name.clone(),
        runner,
        batch: usize::try_from(batch.unwrap_or(DEFAULT_BATCH).max(1)).unwrap_or(usize::MAX),
        max_attempts: function.settings.max_attempts.unwrap_or(DEFAULT_MAX_ATTEMPTS).max(1),
    })
}
