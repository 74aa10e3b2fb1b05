//! A node's share of limits that several nodes count together, while nothing adds their counts up.
//!
//! Of what was left when the nodes last knew, each may use its part: what it lets through counts for all of them. So the
//! parts add up to what was left, and no further arithmetic is needed for any algorithm. What does not divide goes to
//! the nodes of the lowest ranks, one request each, so that a limit smaller than the number of nodes is of use still.

use std::num::NonZeroU32;

use super::Charge;
use super::decision::{Outcome, Standing, decide_at};
use crate::time::UnixMicros;

/// Which of how many nodes this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    nodes: NonZeroU32,
    rank: u32,
}

impl Share {
    /// Of a node that knows of no other.
    pub const WHOLE: Self = Self { nodes: NonZeroU32::MIN, rank: 0 };

    /// Ranks count from zero.
    pub fn new(nodes: NonZeroU32, rank: u32) -> Self {
        Self { nodes, rank: rank.min(nodes.get() - 1) }
    }

    pub const fn nodes(self) -> NonZeroU32 {
        self.nodes
    }

    /// Counted from zero.
    pub const fn rank(self) -> u32 {
        self.rank
    }

    /// What has to be left for a request of this cost to pass here.
    fn asked(self, cost: u64) -> u64 {
        let of_higher_ranks = self.nodes.get() - 1 - self.rank;
        self.counted(cost).saturating_sub(of_higher_ranks.into())
    }

    /// What a request of this cost counts for.
    fn counted(self, cost: u64) -> u64 {
        cost.saturating_mul(self.nodes.get().into())
    }

    fn of(self, standing: Standing) -> Standing {
        let of_higher_ranks = u64::from(self.nodes.get() - 1 - self.rank);
        let remaining = standing.remaining.saturating_add(of_higher_ranks) / u64::from(self.nodes.get());
        Standing { remaining, ..standing }
    }
}

/// As [`super::decide`], within this node's share.
pub fn decide_share(charges: &mut [Charge<'_>], cost: u64, share: Share, now: UnixMicros) -> Outcome {
    let mut outcome = decide_at(charges, share.asked(cost), share.counted(cost), now);
    for standing in &mut outcome.standings {
        *standing = share.of(*standing);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limit::{Calendar, LimitRule, SubjectWindows};
    use crate::resource::LimitDraft;

    const NOW: UnixMicros = UnixMicros::from_secs(1_769_351_520);

    fn rule(requests: u64, algorithm: &str) -> LimitRule {
        let algorithm = Some(algorithm.to_owned());
        let draft = LimitDraft { requests, per: "minute".into(), algorithm, ..LimitDraft::default() };
        LimitRule::compile(&draft.parse().unwrap())
    }

    fn admitted(rules: &[LimitRule], windows: &mut SubjectWindows, share: Share) -> u64 {
        let decide = |windows: &mut SubjectWindows| {
            let charge = Charge { rules, windows, calendar: Calendar::utc() };
            decide_share(&mut [charge], 1, share, NOW)
        };
        let mut count = 0;
        loop {
            let outcome = decide(windows);
            if outcome.refusal.is_some() {
                assert_eq!(outcome.standings[0].remaining, 0);
                return count;
            }
            count += 1;
        }
    }

    proptest! {
        #[test]
        fn the_shares_of_all_nodes_are_what_was_left(
            requests in 1u64..60,
            used in 0u64..60,
            nodes in 1u32..9,
            algorithm in prop::sample::select(vec!["token_bucket", "fixed_window", "sliding_window", "sliding_log"]),
        ) {
            let rules = [rule(requests, algorithm)];
            let mut known = SubjectWindows::default();
            for _ in 0..used.min(requests) {
                let charge = Charge { rules: &rules, windows: &mut known, calendar: Calendar::utc() };
                let _ = crate::limit::decide(&mut [charge], 1, NOW);
            }
            let count = NonZeroU32::new(nodes).unwrap();
            let parts: Vec<u64> =
                (0..nodes).map(|rank| admitted(&rules, &mut known.clone(), Share::new(count, rank))).collect();
            prop_assert_eq!(parts.iter().sum::<u64>(), requests - used.min(requests));
            prop_assert!(parts.iter().max().unwrap() - parts.iter().min().unwrap() <= 1);
        }
    }
}
