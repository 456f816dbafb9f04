//! `GET /apps/<key>/metrics`: what was measured of calls.

use std::collections::BTreeMap;

use xcloud_core::Result;
use xcloud_deploy::metrics::Metrics;

use super::{no_function, parameter};
use crate::host::state::Host;
use crate::host::weights::Weights;

/// Single calls in one answer, when the question does not say.
const INVOCATIONS: usize = 20;

/// The metrics of an app, or of one function.
pub(super) fn read(host: &Host, key: &str, query: &str) -> Result<Metrics> {
    let app = host.app(key)?;
    let function = parameter(query, "function");
    let routes = app.record().routes();
    if let Some(name) = function.as_ref().filter(|name| !routes.contains_key(*name)) {
        return Err(no_function(key, name));
    }
    let limit = parameter(query, "invocations").and_then(|n| n.parse().ok()).unwrap_or(INVOCATIONS);
    let most = |(name, weights): (&String, &Weights)| {
        let (version, _) = weights.iter().max_by_key(|(_, percent)| **percent)?;
        Some((name.clone(), *version))
    };
    let current: BTreeMap<String, u64> = routes.iter().filter_map(most).collect();
    let mut metrics = Metrics { prometheus_url: host.prometheus.get().cloned(), ..Metrics::default() };
    for meter in app.place().meters.all() {
        let snapshot = meter.snapshot();
        if function.as_ref().is_some_and(|name| *name != snapshot.function) {
            continue;
        }
        metrics.functions.push(snapshot.view(&current));
        metrics.invocations.extend(meter.recent(limit));
    }
    metrics.invocations.sort_by(|a, b| a.time.cmp(&b.time));
    let surplus = metrics.invocations.len().saturating_sub(limit);
    metrics.invocations.drain(..surplus);
    Ok(metrics)
}
