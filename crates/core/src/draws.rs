//! Many random numbers from one: the caller brings the randomness, an algorithm may need any number of draws.

/// Splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). Not secret.
#[derive(Debug, Clone)]
pub struct Draws(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Draws {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// From zero to one less than `bound`; zero where the bound is. The bias of the remainder is below one in 2^32 for
    /// bounds of 32 bits.
    pub const fn below(&mut self, bound: u64) -> u64 {
        match bound {
            0 => 0,
            bound => self.next() % bound,
        }
    }

    pub fn index_below(&mut self, bound: usize) -> usize {
        let index = self.below(bound as u64);
        usize::try_from(index).unwrap_or_default()
    }
}

/// Every bit of the input changes about half of the output's: splitmix64's finaliser.
pub const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
