//! How requests are to be spread at the moment.

use super::TargetSet;
use crate::draws::Draws;

/// What each target of a service gets of its requests, in proportion to the others; zero: none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shares {
    shares: Box<[u32]>,
    heaviest: u32,
}

impl Shares {
    /// Of a target of weight one that has all it may have.
    pub const WHOLE: u32 = 1_024;

    pub fn new(shares: impl IntoIterator<Item = u32>) -> Self {
        let shares: Box<[u32]> = shares.into_iter().collect();
        Self { heaviest: shares.iter().copied().max().unwrap_or(0), shares }
    }

    /// Zero for a place that no target has.
    pub fn of(&self, place: usize) -> u32 {
        self.shares.get(place).copied().unwrap_or(0)
    }

    pub fn heaviest(&self) -> u32 {
        self.heaviest
    }

    pub fn total(&self) -> u64 {
        self.shares.iter().copied().map(u64::from).sum()
    }

    /// One for each target, in the order of their places; those left out get none.
    pub fn without(&self, left_out: TargetSet) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.shares
            .iter()
            .enumerate()
            .map(move |(place, &share)| if left_out.contains(place) { 0 } else { share })
    }

    /// A target at random, in proportion to the shares. A few tries that need no look at the others; where these
    /// fail, as with very uneven shares, one pass over all. Both are exact, so their mixture is.
    pub fn sample(&self, left_out: TargetSet, draws: &mut Draws) -> Option<usize> {
        const TRIES: usize = 4;
        for _ in 0..TRIES {
            let place = draws.index_below(self.shares.len());
            let share = self.of(place);
            let is_taken = share > 0
                && !left_out.contains(place)
                && (share == self.heaviest || draws.below(self.heaviest.into()) < share.into());
            if is_taken {
                return Some(place);
            }
        }
        let total: u64 = self.without(left_out).map(u64::from).sum();
        let mut point = draws.below(total);
        self.without(left_out).position(|share| match point.checked_sub(share.into()) {
            None => true,
            Some(rest) => {
                point = rest;
                false
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn only_who_has_a_share_and_is_not_left_out_is_sampled(
            shares in prop::collection::vec(0u32..4, 0..70),
            left_out in prop::collection::vec(0usize..70, 0..70),
            seed: u64,
        ) {
            let mut set = TargetSet::default();
            for &place in &left_out {
                set.insert(place);
            }
            let candidates = Shares::new(shares.iter().copied());
            let picked = candidates.sample(set, &mut Draws::new(seed));
            let eligible = |place: usize| shares[place] > 0 && !left_out.contains(&place);
            match picked {
                Some(place) => prop_assert!(eligible(place)),
                None => prop_assert!(!(0..shares.len()).any(eligible)),
            }
        }
    }
}
