//! What is counted of every call: by function and version, in memory, bounded.

pub(crate) mod prometheus;
mod share;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hdrhistogram::Histogram;
use xcloud_core::text::rfc3339;
use xcloud_deploy::metrics::{Distribution, FunctionMetrics, Invocation};

pub(crate) use self::share::Share;
use super::deployment::Key;

/// Calls that are kept singly, for each function and version.
const RECENT: usize = 500;
/// Times are kept from a microsecond to an hour.
const LONGEST: u64 = 3_600_000_000;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// Answered; for HTTP with a status below 500.
    Ok,
    /// Answered with an error: a status of 500 and above, a failed event.
    Error,
    /// Not answered by its deadline.
    Timeout,
    /// The process ended or broke off.
    Broken,
    /// The process was killed because it used more memory than it may.
    MemoryExceeded,
    /// No place became free in time, or no instance starts.
    Refused,
    /// The client went away first.
    Abandoned,
}

impl Outcome {
    pub(crate) const ALL: [Self; 7] = [
        Self::Ok,
        Self::Error,
        Self::Timeout,
        Self::Broken,
        Self::MemoryExceeded,
        Self::Refused,
        Self::Abandoned,
    ];

    /// The word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::MemoryExceeded => "memory_exceeded",
            Self::Refused => "refused",
            Self::Abandoned => "abandoned",
        }
    }
}

/// A call that has ended.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) outcome: Outcome,
    pub(crate) begun: Instant,
    pub(crate) queued: Duration,
    pub(crate) cold: bool,
    /// Which instance.
    pub(crate) instance: u64,
}

/// Counts the calls of a function in a version.
#[derive(Debug)]
pub(crate) struct Meter {
    key: Key,
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    outcomes: [u64; Outcome::ALL.len()],
    cold: u64,
    starts: u64,
    memory_kills: u64,
    durations: Histogram<u64>,
    queued: Histogram<u64>,
    cpu: Duration,
    peak_memory: u64,
    recent: VecDeque<Recent>,
}

#[derive(Debug)]
struct Recent {
    call: Call,
    ended: Instant,
    time: SystemTime,
    cpu: Option<Duration>,
    peak_memory: Option<u64>,
}

/// The numbers at this moment, for whoever writes them down.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) function: String,
    pub(crate) version: u64,
    pub(crate) outcomes: Vec<(Outcome, u64)>,
    pub(crate) cold: u64,
    pub(crate) starts: u64,
    pub(crate) memory_kills: u64,
    pub(crate) durations: Histogram<u64>,
    pub(crate) queued: Histogram<u64>,
    pub(crate) cpu: Duration,
    pub(crate) peak_memory: u64,
}

fn histogram() -> Histogram<u64> {
    // Two digits: one per cent.
    Histogram::new_with_bounds(1, LONGEST, 2).expect("these bounds are taken")
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Meter {
    pub(crate) fn new(key: Key) -> Arc<Self> {
        let counts = Counts {
            outcomes: [0; Outcome::ALL.len()],
            cold: 0,
            starts: 0,
            memory_kills: 0,
            durations: histogram(),
            queued: histogram(),
            cpu: Duration::ZERO,
            peak_memory: 0,
            recent: VecDeque::with_capacity(RECENT),
        };
        Arc::new(Self { key, counts: Mutex::new(counts) })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call has ended now.
    pub(crate) fn record(&self, call: Call) {
        let ended = Instant::now();
        let recent = Recent { ended, time: SystemTime::now(), cpu: None, peak_memory: None, call };
        let mut counts = self.lock();
        let call = &recent.call;
        counts.outcomes[call.outcome as usize] += 1;
        counts.cold += u64::from(call.cold);
        counts.durations.saturating_record(micros(ended.saturating_duration_since(call.begun)).max(1));
        counts.queued.saturating_record(micros(call.queued).max(1));
        let oldest = if counts.recent.len() == RECENT { counts.recent.pop_front() } else { None };
        counts.recent.push_back(recent);
        drop(counts);
        // Its memory is given back when nobody waits for the lock.
        drop(oldest);
    }

    /// A call got no place.
    pub(crate) fn refuse(&self, queued: Duration) {
        let mut counts = self.lock();
        counts.outcomes[Outcome::Refused as usize] += 1;
        counts.queued.saturating_record(micros(queued).max(1));
    }

    /// An instance is ready.
    pub(crate) fn started(&self) {
        self.lock().starts += 1;
    }

    /// An instance was killed because of its memory.
    pub(crate) fn memory_killed(&self) {
        self.lock().memory_kills += 1;
    }

    /// What an instance has used since the last look; calls of it that have ended since get their share.
    pub(crate) fn used(&self, instance: u64, cpu: Duration, peak_memory: u64, share: &Share) {
        let mut counts = self.lock();
        counts.cpu += cpu;
        counts.peak_memory = counts.peak_memory.max(peak_memory);
        let calls = counts.recent.iter_mut().rev().take_while(|recent| share.is_new(recent.ended));
        for recent in calls.filter(|recent| recent.call.instance == instance) {
            recent.cpu = share.between(recent.call.begun, recent.ended);
            recent.peak_memory = Some(peak_memory);
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let counts = self.lock();
        Snapshot {
            function: self.key.0.clone(),
            version: self.key.1,
            outcomes: Outcome::ALL.into_iter().zip(counts.outcomes).collect(),
            cold: counts.cold,
            starts: counts.starts,
            memory_kills: counts.memory_kills,
            durations: counts.durations.clone(),
            queued: counts.queued.clone(),
            cpu: counts.cpu,
            peak_memory: counts.peak_memory,
        }
    }

    /// The newest calls, the newest last.
    pub(crate) fn recent(&self, limit: usize) -> Vec<Invocation> {
        let counts = self.lock();
        let skip = counts.recent.len().saturating_sub(limit);
        counts.recent.iter().skip(skip).map(|recent| self.invocation(recent)).collect()
    }

    fn invocation(&self, recent: &Recent) -> Invocation {
        let call = &recent.call;
        Invocation {
            request_id: call.id.clone(),
            function: self.key.0.clone(),
            version: format!("v{}", self.key.1),
            time: rfc3339(recent.time),
            outcome: call.outcome.name().to_owned(),
            cold_start: call.cold,
            duration_ms: ms(recent.ended.saturating_duration_since(call.begun)),
            queued_ms: ms(call.queued),
            cpu_ms: recent.cpu.map(ms),
            peak_memory_bytes: recent.peak_memory,
        }
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

impl Snapshot {
    /// Calls that reached an instance.
    pub(crate) fn calls(&self) -> u64 {
        self.durations.len()
    }

    /// As it is printed.
    pub(crate) fn view(&self, current: &BTreeMap<String, u64>) -> FunctionMetrics {
        let outcomes = self.outcomes.iter().map(|(outcome, n)| (outcome.name().to_owned(), *n)).collect();
        let failures = self.outcomes.iter().filter(|(outcome, _)| *outcome != Outcome::Ok);
        let calls = self.calls();
        // Precise enough: nobody makes 2^52 calls.
        #[expect(clippy::cast_precision_loss, reason = "a mean of fewer than 2^52 calls")]
        let mean_cpu = (calls > 0).then(|| ms(self.cpu) / calls as f64);
        FunctionMetrics {
            provider: "local".to_owned(),
            function: self.function.clone(),
            version: format!("v{}", self.version),
            current: current.get(&self.function) == Some(&self.version),
            calls,
            errors: failures.map(|(_, n)| n).sum(),
            outcomes,
            cold_starts: Some(self.cold),
            instance_starts: Some(self.starts),
            memory_kills: Some(self.memory_kills),
            duration_ms: distribution(&self.durations),
            queued_ms: distribution(&self.queued),
            cpu_ms_total: Some(ms(self.cpu)),
            cpu_ms_mean: mean_cpu,
            peak_memory_bytes: Some(self.peak_memory),
        }
    }
}

fn distribution(histogram: &Histogram<u64>) -> Option<Distribution> {
    if histogram.is_empty() {
        return None;
    }
    let at = |quantile: f64| ms(Duration::from_micros(histogram.value_at_quantile(quantile)));
    Some(Distribution {
        mean: histogram.mean() / 1000.0,
        p50: at(0.5),
        p95: at(0.95),
        p99: at(0.99),
        max: ms(Duration::from_micros(histogram.max())),
    })
}

/// The meters of an app. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meters(Arc<Mutex<BTreeMap<Key, Arc<Meter>>>>);

impl Meters {
    /// The meter of a function in a version; it goes on where it was.
    pub(crate) fn of(&self, key: &Key) -> Arc<Meter> {
        let mut meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(meters.entry(key.clone()).or_insert_with(|| Meter::new(key.clone())))
    }

    /// Forgets versions that are not kept.
    pub(crate) fn retain(&self, keep: impl Fn(u64) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(_, version), _| keep(*version));
    }

    pub(crate) fn all(&self) -> Vec<Arc<Meter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(outcome: Outcome) -> Call {
        let begun = Instant::now();
        Call {
            id: "r".to_owned(),
            outcome,
            begun,
            queued: Duration::from_millis(2),
            cold: false,
            instance: 1,
        }
    }

    #[test]
    fn calls_are_counted_and_only_the_newest_are_kept() {
        let meter = Meter::new(("f".to_owned(), 3));
        for _ in 0..RECENT {
            meter.record(call(Outcome::Ok));
        }
        meter.record(call(Outcome::Timeout));
        meter.refuse(Duration::from_secs(10));
        let view = meter.snapshot().view(&BTreeMap::from([("f".to_owned(), 3)]));
        assert_eq!((view.calls, view.errors, view.current), (RECENT as u64 + 1, 2, true));
        assert_eq!((view.outcomes["timeout"], view.outcomes["refused"]), (1, 1));
        let queued = view.queued_ms.unwrap();
        assert!((1.9..2.1).contains(&queued.p50) && queued.max > 9_900.0, "{queued:?}");
        let recent = meter.recent(1000);
        assert_eq!((recent.len(), recent[RECENT - 1].outcome.as_str()), (RECENT, "timeout"));
        assert_eq!(meter.recent(2).len(), 2);
    }
}
