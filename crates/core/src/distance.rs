//! Rendezvous hashing with weights (Thaler, Ravishankar 1998; Schindelhauer, Schomaker 2005): every candidate has a distance
//! to a key, and the nearest is the key's. A distance depends on nobody else, so that *a key moves only to a candidate that
//! is new or heavier, or from one that is gone or lighter*.

use uuid::Uuid;

use crate::draws::mix;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// From its id.
    seed: u64,
    weight: u32,
}

/// The nearest of those that were met.
#[derive(Debug)]
pub struct Nearest {
    place: Option<usize>,
    distance: f64,
}

impl Candidate {
    pub fn new(id: Uuid, weight: u32) -> Self {
        let (high, low) = id.as_u64_pair();
        Self { seed: mix(high ^ mix(low)), weight }
    }

    /// Exponentially distributed over all keys, with the weight as its rate: the nearest of several is each in
    /// proportion to its weight. `None` where it is no less than `limit`.
    ///
    /// A logarithm may differ in its last bit from one platform to another, and then one key in some 2^50 does.
    pub fn distance_below(self, limit: f64, key: u64) -> Option<f64> {
        let (uniform, weight) = (fraction(mix(key ^ self.seed)), f64::from(self.weight));
        // `-ln(1 - u)` is at least `u`: all but a few need no logarithm.
        if uniform >= limit * weight {
            return None;
        }
        Some(-(-uniform).ln_1p() / weight).filter(|&distance| distance < limit)
    }
}

impl Nearest {
    pub const NONE: Self = Self { place: None, distance: f64::INFINITY };

    pub const fn place(&self) -> Option<usize> {
        self.place
    }

    pub const fn distance(&self) -> f64 {
        self.distance
    }

    pub fn meet(&mut self, place: usize, distance: f64) {
        if distance < self.distance {
            *self = Self { place: Some(place), distance };
        }
    }
}

/// From zero to below one: the first 52 bits, as those of a number from one to below two.
fn fraction(bits: u64) -> f64 {
    f64::from_bits(1.0_f64.to_bits() | (bits >> 12)) - 1.0
}
