//! How many instances a function may have, and what each may take.

use std::time::Duration;

use xcloud_core::spec::{FunctionSpec, TriggerSpec};
use xcloud_local::binding::DEFAULT_TIMEOUT_SECONDS;

use super::api::HostSettings;

/// Requests at once in an instance of the `http` function: Cloud Run's default.
pub(crate) const HTTP_CONCURRENCY: u32 = 80;
/// Instances of a function: one machine has so many processors, not so many more.
pub(crate) const MAX_INSTANCES: u32 = 10;
/// An instance that has had nothing to do for this long ends.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The limits of one function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Instances kept although they are idle.
    pub(crate) min: usize,
    /// The most instances.
    pub(crate) max: usize,
    /// Calls at once in one instance.
    pub(crate) concurrency: usize,
    /// How long an instance above `min` may be idle.
    pub(crate) idle: Duration,
    /// The longest call.
    pub(crate) timeout: Duration,
    /// Bytes of memory that an instance may use.
    pub(crate) memory: Option<u64>,
}

impl Limits {
    /// As the configuration says, and the defaults where it does not: many requests at once in an instance, one batch
    /// of messages.
    pub(crate) fn new(function: &FunctionSpec, host: &HostSettings) -> Self {
        let settings = &function.settings;
        let many = matches!(function.trigger, TriggerSpec::Http { .. });
        let concurrency = settings.concurrency.unwrap_or(if many { HTTP_CONCURRENCY } else { 1 });
        let min = size(settings.min_instances.unwrap_or(0));
        let max = settings.max_instances.map_or(min.max(size(MAX_INSTANCES)), size).max(1);
        Self {
            min: min.min(max),
            max,
            concurrency: size(concurrency).max(1),
            idle: host.idle_timeout_seconds.map_or(IDLE_TIMEOUT, |s| Duration::from_secs(s.into())),
            timeout: Duration::from_secs(
                settings.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS).max(1).into(),
            ),
            memory: settings.memory_mb.map(|mb| u64::from(mb) * 1024 * 1024),
        }
    }
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use xcloud_core::spec::Settings;

    #[test]
    fn defaults_differ_by_trigger_and_min_raises_max() {
        let limits = |trigger, settings: Settings| {
            let function = FunctionSpec {
                name: "f".to_owned(),
                trigger,
                sends: Vec::new(),
                tables: Vec::new(),
                settings,
            };
            Limits::new(&function, &HostSettings::default())
        };
        let http = TriggerSpec::Http { routes: Vec::new(), mounted: false };
        let many = limits(http, Settings { min_instances: Some(20), ..Settings::default() });
        assert_eq!((many.min, many.max, many.concurrency), (20, 20, 80));
        let one = limits(TriggerSpec::Raw, Settings { memory_mb: Some(2), ..Settings::default() });
        assert_eq!((one.min, one.max, one.concurrency, one.memory), (0, 10, 1, Some(2 << 20)));
        let both = Settings { min_instances: Some(5), max_instances: Some(2), ..Settings::default() };
        assert_eq!(limits(TriggerSpec::Raw, both).min, 2);
    }
}
