//! Smooth weighted round robin (nginx, 2012): each pick adds every weight to its target's credit, takes the
//! target with the most, and takes the sum of the weights from it. Picks are spread evenly: weights 5, 1, 1
//! yield `a a b a c a a`, not `a a a a a b c`.

use smallvec::SmallVec;

/// The cursor of one service. Live state: it knows no addresses, only how many targets there are.
#[derive(Debug, Clone, Default)]
pub struct SmoothWeighted {
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

    /// The cursor of a service whose targets have changed: for each of its places, the one that the target had before.
    #[must_use]
    pub fn moved(&self, before: impl IntoIterator<Item = Option<usize>>) -> Self {
        let credit = |place: Option<usize>| place.and_then(|place| self.credits.get(place)).copied();
        Self { credits: before.into_iter().map(|place| credit(place).unwrap_or(0)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        let mut moved = cursor.moved([Some(1), None, Some(0)]);
        assert_eq!(moved.pick([1, 1, 1].into_iter()), Some(0), "the one whose turn it was");
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
    }
}
