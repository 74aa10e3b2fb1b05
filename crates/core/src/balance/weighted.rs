//! Smooth weighted round robin (nginx, 2012): each pick adds every weight to its target's credit, takes the
//! target with the most, and takes the sum of the weights from it. Picks are spread evenly: weights 5, 1, 1
//! yield `a a b a c a a`, not `a a a a a b c`.

use smallvec::SmallVec;

use super::Shares;

/// The cursor of one service. Live state: it knows no addresses, only how many targets there are.
#[derive(Debug, Clone, Default)]
pub struct SmoothWeighted {
    /// What each is owed: the sum of the shares is one request. Together those that get requests are owed none.
    credits: SmallVec<[i64; 4]>,
}

impl SmoothWeighted {
    /// The index of the target to use; `None` where there is none. One of weight zero is left out. A changed number
    /// of targets starts the cursor anew.
    pub fn pick(&mut self, weights: impl ExactSizeIterator<Item = u32>) -> Option<usize> {
        if self.credits.len() != weights.len() {
            self.credits = SmallVec::from_elem(0, weights.len());
        }
        let mut total = 0;
        let mut best: Option<usize> = None;
        for (index, weight) in weights.enumerate() {
            if weight == 0 {
                continue;
            }
            let weight = i64::from(weight);
            total += weight;
            self.credits[index] += weight;
            if best.is_none_or(|best| self.credits[index] > self.credits[best]) {
                best = Some(index);
            }
        }
        if let Some(best) = best {
            self.credits[best] -= total;
        }
        best
    }

    /// The cursor where targets or shares have changed from `old` to `new`: `before` has, for each place, the one that
    /// the target had.
    ///
    /// Everybody is owed as many requests as before, in credits of the new scale: kept as they are, those of a large
    /// sum would send as many requests in a row to one target. What was owed to those that get none any more is
    /// divided among the others.
    #[must_use]
    pub fn moved(&self, old: &Shares, new: &Shares, before: impl IntoIterator<Item = Option<usize>>) -> Self {
        let (old_total, new_total) = (i128::from(old.total()).max(1), i128::from(new.total()).max(1));
        let credit =
            |place: Option<usize>| place.and_then(|place| self.credits.get(place)).copied().unwrap_or(0);
        let scaled = |credit: i64| i128::from(credit) * new_total / old_total;
        let mut credits: SmallVec<[i128; 4]> = before
            .into_iter()
            .enumerate()
            .map(|(place, before)| if new.of(place) == 0 { 0 } else { scaled(credit(before)) })
            .collect();
        let surplus: i128 = credits.iter().sum();
        // Up to each place, so that no remainder is lost.
        let mut share_so_far = 0;
        for (place, credit) in credits.iter_mut().enumerate() {
            *credit += surplus * share_so_far / new_total;
            share_so_far += i128::from(new.of(place));
            *credit -= surplus * share_so_far / new_total;
        }
        Self { credits: credits.into_iter().map(|credit| i64::try_from(credit).unwrap_or(0)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::TargetSet;
    use proptest::prelude::*;

    fn weight() -> impl Strategy<Value = u32> {
        prop_oneof![Just(0), 1u32..4, 1u32..=65_535]
    }

    #[test]
    fn picks_are_spread_evenly() {
        let mut cursor = SmoothWeighted::default();
        let picks: Vec<_> = (0..7).filter_map(|_| cursor.pick([5, 1, 1].into_iter())).collect();
        assert_eq!(picks, [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn a_target_of_weight_zero_is_left_out() {
        let mut cursor = SmoothWeighted::default();
        let picks: Vec<_> = (0..4).filter_map(|_| cursor.pick([0, 1, 0, 1].into_iter())).collect();
        assert_eq!(picks, [1, 3, 1, 3]);
    }

    #[test]
    fn targets_that_stay_keep_their_turn() {
        let mut cursor = SmoothWeighted::default();
        assert_eq!(cursor.pick([1, 1].into_iter()), Some(0));
        let [old, new] = [2, 3].map(|targets| Shares::new(vec![1; targets]));
        let mut moved = cursor.moved(&old, &new, [Some(1), None, Some(0)]);
        assert_eq!(moved.pick([1, 1, 1].into_iter()), Some(0), "the one whose turn it was");
    }

    fn shares_of(weights: &[u32]) -> Shares {
        Shares::new(weights.iter().map(|weight| weight * Shares::WHOLE))
    }

    fn pick(cursor: &mut SmoothWeighted, shares: &Shares, times: usize) -> Vec<usize> {
        (0..times).map(|_| cursor.pick(shares.without(TargetSet::NONE)).unwrap()).collect()
    }

    /// The next picks after so many with the first weights, where the same targets then have the second ones.
    fn picks_after_an_edit(old: &[u32], turns: usize, new: &[u32], times: usize) -> Vec<usize> {
        let (mut cursor, places) = (SmoothWeighted::default(), places(new.len()));
        let (old, new) = (shares_of(old), shares_of(new));
        pick(&mut cursor, &old, turns);
        pick(&mut cursor.moved(&old, &new, places), &new, times)
    }

    fn places(targets: usize) -> impl Iterator<Item = Option<usize>> {
        (0..targets).map(Some)
    }

    #[test]
    fn large_weights_leave_nothing_behind_once_they_are_edited_or_out() {
        for turns in [1, 7, 400, 5_000, 9_999] {
            for (old, new) in [([10_000, 9_999, 1], [1, 1, 0]), ([1, 1_000, 1], [1, 0, 1])] {
                let picks = picks_after_an_edit(&old, turns, &new, 60);
                let first = picks.iter().filter(|&&place| place == 0).count();
                assert!((29..=31).contains(&first), "{first} of 60 after {turns} of {old:?}");
                let longest = picks.chunk_by(|one, next| one == next).map(<[_]>::len).max();
                assert!(longest <= Some(3), "{longest:?} in a row after {turns} of {old:?}");
            }
        }
    }

    #[test]
    fn an_edit_of_something_else_changes_nobodys_turn() {
        let weights = [5, 0, 3, 2];
        for turns in 0..10 {
            let undisturbed = picks_after_an_edit(&weights, 0, &weights, 30).split_off(turns);
            assert_eq!(picks_after_an_edit(&weights, turns, &weights, 30 - turns), undisturbed);
            let all_doubled = weights.map(|weight| weight * 2);
            assert_eq!(picks_after_an_edit(&weights, turns, &all_doubled, 30 - turns), undisturbed);
        }
    }

    #[test]
    fn no_target_is_no_pick() {
        assert_eq!(SmoothWeighted::default().pick(std::iter::empty()), None);
    }

    proptest! {
        #[test]
        fn over_one_round_each_target_gets_exactly_its_weight(weights in prop::collection::vec(1u32..100, 1..8)) {
            let mut cursor = SmoothWeighted::default();
            let mut counts = vec![0u32; weights.len()];
            for _ in 0..weights.iter().sum() {
                counts[cursor.pick(weights.iter().copied()).unwrap()] += 1;
            }
            prop_assert_eq!(counts, weights);
        }

        /// Whatever happened before, the counts are never further from the weights than one turn of each target.
        #[test]
        fn after_any_changes_requests_are_spread_as_the_weights_say_at_once(
            changes in prop::collection::vec((prop::collection::vec(weight(), 6), 0usize..500), 1..8),
        ) {
            let (mut cursor, mut shares) = (SmoothWeighted::default(), shares_of(&[1; 6]));
            for (weights, picks) in changes {
                let new = shares_of(&weights);
                cursor = cursor.moved(&shares, &new, places(weights.len()));
                shares = new;
                prop_assert_eq!(cursor.credits.iter().sum::<i64>(), 0);
                let total = shares.total();
                if total == 0 {
                    continue;
                }
                let mut counts = vec![0u64; weights.len()];
                for picked in 1..=picks as u64 {
                    counts[cursor.pick(shares.without(TargetSet::NONE)).unwrap()] += 1;
                    for (place, count) in counts.iter().enumerate() {
                        let off = (count * total).abs_diff(picked * u64::from(shares.of(place)));
                        prop_assert!(off <= total * 6, "{counts:?} for {weights:?}");
                    }
                }
            }
        }
    }
}
