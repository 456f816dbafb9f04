//! Applies a plan: the same value that was printed.

use std::time::Instant;

use xcloud_core::Result;

use crate::plan::Plan;
use crate::provider::{Desired, Progress, Provider, Step};

/// Carries out every step in order, then puts the result into service. An empty plan calls nothing.
///
/// # Errors
/// The first step that failed; what was serving before still serves.
pub async fn apply(
    provider: &dyn Provider,
    plan: &Plan,
    desired: &Desired,
    progress: &dyn Progress,
) -> Result<()> {
    for change in plan.steps() {
        progress.begin(change);
        let started = Instant::now();
        let result = provider.apply(&Step { change, desired }).await;
        progress.end(change, &result, started.elapsed().as_secs_f64());
        result.map_err(|e| e.with("step", &change.resource))?;
    }
    if !plan.is_empty() {
        provider.publish(desired).await?;
    }
    Ok(())
}
