//! Rendezvous hashing (Thaler, Ravishankar 1998) with weights (Schindelhauer, Schomaker 2005) and bounded loads
//! (Mirrokni, Thorup, Zadimoghaddam 2016, <https://arxiv.org/abs/1608.01350>): every target has a distance to a key, and
//! the key goes to the nearest, or to the next one where that has more than its share under way.
//!
//! A ring (Karger et al. 1997) gives a target a number of points for its weight. That they fit into memory, weights
//! from 1 to 65535 would have to be scaled by those of the others, and then a target more moves keys among the old ones.
//! A distance depends on nobody else, so that *a key moves only to a target that is new or heavier, or from one that is
//! gone, lighter or full*. All targets are looked at, as for the bound anyway: they are 256 at most.

use super::{Shares, TargetSet};
use crate::distance::{Candidate, Nearest};
use crate::draws::mix;
use crate::resource::TargetId;

/// Immutable: made when the service is compiled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rendezvous {
    targets: Box<[Candidate]>,
}

impl Rendezvous {
    /// Targets with their weights, in the order of their places.
    pub fn new(targets: &[(TargetId, u32)]) -> Self {
        Self { targets: targets.iter().map(|&(id, weight)| Candidate::new(id.0, weight)).collect() }
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
        let (mut total_share, mut total_in_flight) = (0, 1);
        for (place, share) in shares.without(left_out).enumerate() {
            if share > 0 {
                total_share += u64::from(share);
                total_in_flight += u64::from(in_flight(place));
            }
        }
        let is_full = |place: usize, share: u32| {
            let fair = u128::from(total_in_flight) * u128::from(share) * u128::from(most_load_percent);
            u128::from(in_flight(place)) * u128::from(total_share) * 100 >= fair
        };
        let (mut nearest, mut nearest_with_room) = (Nearest::NONE, Nearest::NONE);
        for ((place, share), candidate) in shares.without(left_out).enumerate().zip(&self.targets) {
            if share == 0 {
                continue;
            }
            let Some(distance) = candidate.distance_below(nearest_with_room.distance(), key) else {
                continue;
            };
            nearest.meet(place, distance);
            if !is_full(place, share) {
                nearest_with_room.meet(place, distance);
            }
        }
        // Together the targets have room for more than is under way; only counts that change meanwhile lead to a full one.
        nearest_with_room.place().or(nearest.place())
    }
}

/// What a key is to targets: the same in every process. FNV-1a (Fowler, Noll, Vo), finished so that all bits count.
pub fn hash_key(key: &[u8]) -> u64 {
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(hash)
}
