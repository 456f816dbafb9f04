//! The deliveries of an app's queues to its functions, and what makes events for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use xcloud_core::spec::{FunctionSpec, TriggerSpec};
use xcloud_local::binding::{DEFAULT_BATCH, DEFAULT_MAX_ATTEMPTS};

use super::api::Manifest;
use super::clock::Timer;
use super::delivery::Delivery;
use super::deployment::Place;
use super::events::{has_inbox, inbox};
use super::runner::Runner;
use super::{buckets, clock, events, log};

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
            tasks.push(tokio::spawn(delivery.run(stop.subscribe())));
        }
        place.store.feed(events::feeds(&place.key, manifest));
        let buckets = manifest.functions.iter().filter_map(|function| match &function.trigger {
            TriggerSpec::Object { bucket, .. } => Some(bucket.clone()),
            _ => None,
        });
        for bucket in buckets.collect::<BTreeSet<_>>() {
            let watch = buckets::watch(place.clone(), bucket, manifest.clone(), stop.subscribe());
            tasks.push(tokio::spawn(watch));
        }
        for function in &manifest.functions {
            match Timer::of(function) {
                Ok(Some(timer)) => {
                    let (place, name) = (place.clone(), function.name.clone());
                    tasks.push(tokio::spawn(clock::run(place, name, timer, stop.subscribe())));
                }
                Ok(None) => {}
                // Refused when it was published; this machine's zones may have changed since.
                Err(error) => log(&format!("app {}: {error}", place.key)),
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
    let (queue, batch, events) = match &function.trigger {
        TriggerSpec::Queue { queue, batch } => (queue.clone(), batch.unwrap_or(DEFAULT_BATCH), false),
        _ if has_inbox(function) => (inbox(&function.name), 1, true),
        _ => return None,
    };
    Some(Delivery {
        store: place.store.clone(),
        queue,
        function: function.name.clone(),
        runner,
        events,
        // Changes of a row are to come in their order.
        ordered: matches!(function.trigger, TriggerSpec::Change { .. }),
        batch: usize::try_from(batch.max(1)).unwrap_or(usize::MAX),
        max_attempts: function.settings.max_attempts.unwrap_or(DEFAULT_MAX_ATTEMPTS).max(1),
    })
}
