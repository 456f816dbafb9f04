//! Pauses between tries: doubled each time, with jitter, so that many clients do not come back together.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The longest first pause.
const FIRST: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(10);

/// The pauses of one step.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    /// What the pauses so far came to. What the tries themselves took is not in it: a connection that hung for two minutes
    /// says nothing of how long what ails it lasts.
    waited: Duration,
    tries: u32,
}

impl Backoff {
    /// The pause before the next try: between half of its length and all of it. `None` when the pauses together would be
    /// longer than what the error is worth.
    pub(super) fn pause(&mut self, worth: Duration) -> Option<Duration> {
        let whole = FIRST.saturating_mul(1 << self.tries.min(10)).min(LONGEST);
        self.tries += 1;
        let pause = whole.mul_f64(0.5 + 0.5 * fraction());
        self.waited += pause;
        (self.waited <= worth).then_some(pause)
    }
}

/// From 0 to 1. Every hasher of the standard library has keys of its own, which is all the randomness that jitter needs.
fn fraction() -> f64 {
    f64::from(u32::try_from(RandomState::new().hash_one(0) >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_have_jitter_and_end() {
        let mut backoff = Backoff::default();
        let worth = Duration::from_secs(60);
        let (mut before, mut sum) = (Duration::ZERO, Duration::ZERO);
        for tries in 0..5 {
            let pause = backoff.pause(worth).unwrap();
            let whole = FIRST * (1 << tries);
            assert!(pause >= whole / 2 && pause <= whole.min(LONGEST), "{pause:?}");
            assert!(pause + pause > before, "{pause:?} after {before:?}");
            (before, sum) = (pause, sum + pause);
        }
        while let Some(pause) = backoff.pause(worth) {
            sum += pause;
        }
        assert!(sum <= worth && sum > worth - LONGEST, "{sum:?}");
    }
}
