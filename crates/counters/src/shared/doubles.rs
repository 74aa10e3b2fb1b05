//! Numbers as the scripts take and give them: doubles, little-endian, one behind the other with a letter between here and
//! there. Whole ones are exact below 2^53; of larger ones it is enough that they are larger than any count.

use smallvec::SmallVec;

/// What a double keeps exactly.
const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;
const SIZE: usize = size_of::<f64>();

#[derive(Debug, Default)]
pub struct Packed(SmallVec<[u8; 80]>);

impl Packed {
    pub fn of(numbers: &[u64]) -> Self {
        let mut packed = Self::default();
        packed.numbers(numbers);
        packed
    }

    pub fn letter(&mut self, letter: u8) {
        self.0.push(letter);
    }

    pub fn numbers(&mut self, numbers: &[u64]) {
        for &number in numbers {
            self.double(double(number));
        }
    }

    pub fn below_zero(&mut self, number: u64) {
        self.double(-double(number));
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn double(&mut self, double: f64) {
        self.0.extend_from_slice(&double.to_le_bytes());
    }
}

/// What is left to be read.
#[derive(Debug, Clone, Copy)]
pub struct Unpacked<'b>(pub &'b [u8]);

impl Unpacked<'_> {
    pub fn letter(&mut self) -> Option<u8> {
        let (&letter, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(letter)
    }

    /// `None` where there are not as many, or one of them is not whole, below zero or not exact.
    pub fn numbers<const COUNT: usize>(&mut self) -> Option<[u64; COUNT]> {
        let mut numbers = [0; COUNT];
        for number in &mut numbers {
            *number = whole(self.double()?)?;
        }
        Some(numbers)
    }

    pub fn double(&mut self) -> Option<f64> {
        let (double, rest) = self.0.split_first_chunk::<SIZE>()?;
        self.0 = rest;
        Some(f64::from_le_bytes(*double))
    }
}

#[expect(clippy::cast_precision_loss, reason = "larger ones need not be exact")]
const fn double(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is looked at before")]
fn whole(double: f64) -> Option<u64> {
    ((0.0..EXACT_BELOW).contains(&double) && double.fract() == 0.0).then_some(double as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let mut packed = Packed::of(&[0, 1, (1 << 53) - 1]);
        packed.letter(b'B');
        packed.below_zero(2);
        let mut unpacked = Unpacked(packed.bytes());
        assert_eq!(unpacked.numbers(), Some([0, 1, (1 << 53) - 1]));
        assert_eq!(unpacked.letter(), Some(b'B'));
        assert_eq!(unpacked.double(), Some(-2.0));
        assert_eq!((unpacked.double(), unpacked.letter()), (None, None));
    }

    #[test]
    fn what_is_no_count_is_not_taken_for_one() {
        for double in [-1.0, 0.5, EXACT_BELOW, f64::NAN, f64::INFINITY] {
            assert_eq!(Unpacked(&double.to_le_bytes()).numbers::<1>(), None, "{double}");
        }
        assert_eq!(Unpacked(&[0; 15]).numbers::<2>(), None);
    }
}
