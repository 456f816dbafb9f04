//! Whose processor time was it? A process that serves several calls at once does not say, so it is shared: of what the
//! process used between two looks, each call gets a part in proportion to the time that it was on its way between
//! them. A call that is alone gets all of it; two that overlap get the same, whoever did the work.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Looks that are remembered: two minutes at ten a second. Of a longer call only the last two minutes count.
const LOOKS: usize = 1200;

/// Of one instance: how much processor time a call that was on its way all the time would have got, over time.
#[derive(Debug)]
pub(crate) struct Share {
    looks: VecDeque<(Instant, f64)>,
}

impl Share {
    pub(crate) fn new(now: Instant) -> Self {
        Self { looks: VecDeque::from([(now, 0.0)]) }
    }

    /// Since the last look the process used `cpu`, and its calls together were on their way for `busy`.
    pub(crate) fn look(&mut self, now: Instant, cpu: Duration, busy: Duration) {
        let Some((before, sum)) = self.looks.back().copied() else { return };
        let rate = if busy.is_zero() { 0.0 } else { cpu.as_secs_f64() / busy.as_secs_f64() };
        let length = now.saturating_duration_since(before).as_secs_f64();
        if self.looks.len() == LOOKS {
            self.looks.pop_front();
        }
        self.looks.push_back((now, sum + rate * length));
    }

    /// Whether this was after the look before the last.
    pub(crate) fn is_new(&self, time: Instant) -> bool {
        let before = self.looks.len().checked_sub(2).and_then(|at| self.looks.get(at));
        before.is_none_or(|(look, _)| time > *look)
    }

    /// The share of a call. It has begun after the first look.
    pub(crate) fn between(&self, begun: Instant, ended: Instant) -> Option<Duration> {
        Duration::try_from_secs_f64((self.at(ended)? - self.at(begun)?).max(0.0)).ok()
    }

    fn at(&self, time: Instant) -> Option<f64> {
        let after = self.looks.partition_point(|(look, _)| *look < time);
        let (Some((right, high)), Some((left, low))) =
            (self.looks.get(after), after.checked_sub(1).and_then(|at| self.looks.get(at)))
        else {
            // Before what is remembered, or after the last look.
            return if after == 0 { self.looks.front() } else { self.looks.back() }.map(|(_, sum)| *sum);
        };
        let length = right.saturating_duration_since(*left).as_secs_f64();
        let part = time.saturating_duration_since(*left).as_secs_f64();
        Some(if length > 0.0 { low + (high - low) * part / length } else { *high })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn close(share: &Share, begun: Instant, ended: Instant, expected: u64) {
        let got = share.between(begun, ended).unwrap();
        assert!(got.abs_diff(ms(expected)) < Duration::from_micros(10), "{got:?}, expected {expected} ms");
    }

    #[test]
    fn a_call_alone_gets_all_and_two_at_once_the_half_each() {
        let start = Instant::now();
        let mut share = Share::new(start);
        // One call, from 50 to 150 ms.
        share.look(start + ms(250), ms(80), ms(100));
        close(&share, start + ms(50), start + ms(150), 80);
        // Two of them, both for the whole time.
        share.look(start + ms(500), ms(200), ms(500));
        close(&share, start + ms(250), start + ms(500), 100);
        // Over both looks: 250 × 0.8, and 100.
        close(&share, start, start + ms(500), 300);
        // Idle: what the process used for itself is nobody's.
        share.look(start + ms(750), ms(10), ms(0));
        close(&share, start + ms(500), start + ms(750), 0);
        assert!(share.is_new(start + ms(600)) && !share.is_new(start + ms(400)));
    }

    #[test]
    fn memory_is_bounded() {
        let start = Instant::now();
        let mut share = Share::new(start);
        for n in 1..5000 {
            share.look(start + ms(n), ms(1), ms(1));
        }
        assert_eq!(share.looks.len(), LOOKS);
        assert!(share.between(start, start + ms(5000)).unwrap() <= ms(LOOKS as u64));
    }
}
