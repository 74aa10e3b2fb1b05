//! Looks for bytes eight at a time, as a word's worth of them can be compared at once in a plain register.
//! Names and values are so short that `memchr`, which is called where this is inlined, takes longer.
//!
//! The tests for a zero byte and for a byte below a bound are those of "Bit Twiddling Hacks" (Anderson, 1997-2005):
//! a byte above the first that is found may be marked wrongly, so only the first counts.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
const DELETE: u8 = 0x7f;

/// Where the first `wanted` is.
#[inline]
pub(super) fn first_of(wanted: u8, bytes: &[u8]) -> Option<usize> {
    first(bytes, |word| equal_to(wanted, word), |byte| byte == wanted)
}

/// Where the first control character is, a tab among them.
#[inline]
pub(super) fn first_control(bytes: &[u8]) -> Option<usize> {
    first(bytes, |word| below(b' ', word) | equal_to(DELETE, word), |byte| byte.is_ascii_control())
}

/// Where the first control character or space is.
#[inline]
pub(super) fn first_unprintable(bytes: &[u8]) -> Option<usize> {
    first(
        bytes,
        |word| below(b' ' + 1, word) | equal_to(DELETE, word),
        |byte| byte == b' ' || byte.is_ascii_control(),
    )
}

#[inline]
fn first(bytes: &[u8], marks: impl Fn(u64) -> u64, is_it: impl Fn(u8) -> bool) -> Option<usize> {
    let mut rest = bytes;
    while let Some((word, behind)) = rest.split_first_chunk() {
        let marked = marks(u64::from_le_bytes(*word));
        if marked != 0 {
            return Some(bytes.len() - rest.len() + marked.trailing_zeros() as usize / 8);
        }
        rest = behind;
    }
    let in_rest = rest.iter().position(|&byte| is_it(byte))?;
    Some(bytes.len() - rest.len() + in_rest)
}

/// Marks the high bits of bytes that are equal.
const fn equal_to(byte: u8, word: u64) -> u64 {
    below(1, word ^ (ONES * byte as u64))
}

/// Marks the high bits of bytes below a bound of at most 128.
const fn below(bound: u8, word: u64) -> u64 {
    word.wrapping_sub(ONES * bound as u64) & !word & HIGH_BITS
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_found_is_the_first(bytes in vec(prop_oneof![any::<u8>(), 0x1e_u8..0x3c, 0x7d_u8..0x82], 0..40)) {
            prop_assert_eq!(first_of(b':', &bytes), bytes.iter().position(|&byte| byte == b':'));
            let control = bytes.iter().position(u8::is_ascii_control);
            prop_assert_eq!(first_control(&bytes), control);
            let unprintable = bytes.iter().position(|&byte| byte == b' ' || byte.is_ascii_control());
            prop_assert_eq!(first_unprintable(&bytes), unprintable);
        }
    }
}
