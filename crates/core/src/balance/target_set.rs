//! Some of a service's targets.

use crate::resource::MOST_TARGETS;

const WORDS: usize = MOST_TARGETS.div_ceil(64);

/// Targets by their places in the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TargetSet([u64; WORDS]);

impl TargetSet {
    pub const NONE: Self = Self([0; WORDS]);

    pub const fn contains(&self, place: usize) -> bool {
        place / 64 < WORDS && self.0[place / 64] >> (place % 64) & 1 == 1
    }

    /// Places that no target has are left out.
    pub const fn insert(&mut self, place: usize) {
        if place / 64 < WORDS {
            self.0[place / 64] |= 1 << (place % 64);
        }
    }

    #[must_use]
    pub const fn with(mut self, place: usize) -> Self {
        self.insert(place);
        self
    }

    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
