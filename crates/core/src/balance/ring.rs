//! Consistent hashing (Karger et al. 1997) with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2016,
//! <https://arxiv.org/abs/1608.01350>): a key goes to the target whose point on the ring comes next, and on to the one
//! after it where that has more than its share under way.

use super::{Shares, TargetSet};
use crate::draws::mix;
use crate::resource::TargetId;

/// Points of a target of weight one, so that shares are even to some 6 % (`1 / sqrt(points)`)...
const POINTS_A_TARGET: u64 = 256;
/// ...while the points of all weights together fit in so many.
const MOST_POINTS: u64 = 65_536;

/// Immutable: made when the service is compiled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ring {
    /// In ascending order.
    points: Box<[u64]>,
    /// The place of the target of each point.
    owners: Box<[u16]>,
}

impl Ring {
    /// Targets with their weights, in the order of their places. A target's points depend on its id and weight and on
    /// the order of magnitude of all weights together, so that one target more or less moves only its own keys.
    pub fn new(targets: &[(TargetId, u32)]) -> Self {
        let (multiple, divisor) = scale(targets.iter().map(|&(_, weight)| u64::from(weight)).sum());
        let mut points: Vec<(u64, u16)> = (0..)
            .zip(targets)
            .flat_map(|(place, &(id, weight))| {
                let count = (u64::from(weight) * multiple / divisor).max(1);
                (0..count).map(move |number| (point(id, number), place))
            })
            .collect();
        points.sort_unstable();
        let (points, owners): (Vec<_>, Vec<_>) = points.into_iter().unzip();
        Self { points: points.into(), owners: owners.into() }
    }

    /// The target for a key. A target is full where it has more under way than `most_load_percent` of its share of
    /// all requests under way, this one included.
    pub fn pick(
        &self,
        key: u64,
        shares: &Shares,
        left_out: TargetSet,
        in_flight: impl Fn(usize) -> u32,
        most_load_percent: u32,
    ) -> Option<usize> {
        let (mut total_share, mut total_in_flight, mut candidates) = (0, 1, 0);
        for (place, share) in shares.without(left_out).enumerate() {
            if share > 0 {
                total_share += u64::from(share);
                total_in_flight += u64::from(in_flight(place));
                candidates += 1;
            }
        }
        let capacity = |share: u32| {
            let fair = u128::from(total_in_flight) * u128::from(share) * u128::from(most_load_percent);
            fair.div_ceil(u128::from(total_share).max(1) * 100)
        };
        let (before, from) = self.owners.split_at(self.points.partition_point(|&point| point < key));
        let mut passed = left_out;
        let mut first = None;
        for place in from.iter().chain(before).map(|&owner| usize::from(owner)) {
            if candidates == 0 {
                break;
            }
            let share = shares.of(place);
            if share == 0 || passed.contains(place) {
                continue;
            }
            if u128::from(in_flight(place)) < capacity(share) {
                return Some(place);
            }
            first = first.or(Some(place));
            passed.insert(place);
            candidates -= 1;
        }
        // Together the targets have room for more than is under way; only counts that change meanwhile lead here.
        first
    }
}

/// Powers of two, so that they change only where the sum of the weights doubles or halves.
fn scale(total_weight: u64) -> (u64, u64) {
    let (mut multiple, mut divisor) = (POINTS_A_TARGET, 1);
    while total_weight.saturating_mul(multiple) / divisor > MOST_POINTS {
        if multiple > 1 {
            multiple /= 2;
        } else {
            divisor *= 2;
        }
    }
    (multiple, divisor)
}

fn point(id: TargetId, number: u64) -> u64 {
    let (high, low) = id.0.as_u64_pair();
    mix(high ^ mix(low ^ mix(number.wrapping_add(1))))
}

/// Where a key lies on the ring: the same in every process. FNV-1a (Fowler, Noll, Vo), finished so that all bits count.
pub fn hash_key(key: &[u8]) -> u64 {
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(hash)
}
