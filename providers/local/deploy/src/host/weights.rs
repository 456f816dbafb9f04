//! Shares of traffic: who gets the next call. Pure.

use std::collections::BTreeMap;

use xcloud_core::{Error, ErrorKind, Result};

/// By version: its share in percent. What is left of 100 is the current version's.
pub(crate) type Weights = BTreeMap<u64, u32>;

/// Chooses among targets so that each gets its share, spread out and not in a row: smooth weighted round robin, as
/// nginx does it. In every 100 calls each target gets exactly its percentage.
#[derive(Debug)]
pub(crate) struct Turns {
    weights: Vec<i64>,
    credits: Vec<i64>,
}

impl Turns {
    /// Turns for targets of these weights; those of weight zero get none.
    pub(crate) fn new(weights: impl IntoIterator<Item = u32>) -> Self {
        let weights: Vec<i64> = weights.into_iter().map(i64::from).collect();
        Self { credits: vec![0; weights.len()], weights }
    }

    /// The index of the target whose turn it is; `None` when there is none.
    pub(crate) fn next(&mut self) -> Option<usize> {
        if self.weights.len() == 1 {
            return Some(0);
        }
        for (credit, weight) in self.credits.iter_mut().zip(&self.weights) {
            *credit += weight;
        }
        let eligible = (0..self.weights.len()).filter(|at| self.weights[*at] > 0);
        let best = eligible.max_by_key(|at| (self.credits[*at], std::cmp::Reverse(*at)))?;
        self.credits[best] -= self.weights.iter().sum::<i64>();
        Some(best)
    }
}

/// Checks the shares that someone asked for.
///
/// # Errors
/// [`ErrorKind::Config`]: more than 100 percent, or a share for the current version, which gets the rest.
pub(crate) fn check(weights: &Weights, current: u64) -> Result<()> {
    let refuse = |message: String| Err(Error::new(ErrorKind::Config, message));
    let total: u64 = weights.values().map(|percent| u64::from(*percent)).sum();
    if total > 100 {
        return refuse(format!("the shares are {total} % together: at most 100 % can be given away"));
    }
    if weights.contains_key(&current) {
        return refuse(format!(
            "v{current} is the current version and gets what the others leave; give the others their shares"
        ));
    }
    Ok(())
}

/// All shares, the current version's too; versions without any are left out.
pub(crate) fn complete(weights: &Weights, current: u64) -> Weights {
    let mut all: Weights = weights.iter().filter(|(_, p)| **p > 0).map(|(v, p)| (*v, *p)).collect();
    let given: u32 = all.values().sum();
    if given < 100 {
        *all.entry(current).or_default() += 100 - given;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_rest_is_the_current_versions() {
        let some = Weights::from([(4, 10), (5, 0)]);
        assert_eq!(complete(&some, 7), Weights::from([(4, 10), (7, 90)]));
        assert_eq!(complete(&Weights::from([(4, 100)]), 7), Weights::from([(4, 100)]));
        assert_eq!(complete(&Weights::new(), 7), Weights::from([(7, 100)]));
        assert!(check(&Weights::from([(4, 60), (5, 41)]), 7).is_err());
        assert!(check(&Weights::from([(7, 10)]), 7).unwrap_err().message().contains("current"));
        assert!(check(&Weights::from([(4, u32::MAX), (5, u32::MAX)]), 7).is_err());
    }

    #[test]
    fn a_small_share_is_spread_out() {
        let mut turns = Turns::new([90, 10]);
        let picks: Vec<_> = (0..100).filter_map(|_| turns.next()).collect();
        let second: Vec<_> = (0..100).filter(|at| picks[*at] == 1).collect();
        assert_eq!(second.len(), 10);
        assert!(second.windows(2).all(|pair| pair[1] - pair[0] == 10), "{second:?}");
        assert_eq!(Turns::new([]).next(), None);
        assert_eq!(Turns::new([0, 0]).next(), None);
    }

    proptest! {
        #[test]
        fn of_1000_calls_each_target_gets_its_share(first in 0_u32..=100, second in 0_u32..=100) {
            let second = second.min(100 - first);
            let shares = [first, second, 100 - first - second];
            let mut turns = Turns::new(shares);
            let mut seen = [0_u32; 3];
            for _ in 0..1000 {
                seen[turns.next().unwrap()] += 1;
            }
            for (seen, share) in seen.iter().zip(shares) {
                prop_assert!(seen.abs_diff(share * 10) <= 10, "{seen:?} of {shares:?}");
            }
        }
    }
}
