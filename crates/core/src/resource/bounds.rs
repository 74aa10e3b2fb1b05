//! Bounds that services and routes have in common.

use crate::problem::Problems;

const HEAVIEST: u32 = 65_535;
/// Databases have no larger integer.
const LARGEST_BODY_LIMIT: u64 = u64::MAX / 2;

/// A share of the requests; 1 where none is given.
pub(super) fn parse_weight(given: Option<u32>, field: &str, problems: &mut Problems) -> u32 {
    let weight = given.unwrap_or(1);
    if !(1..=HEAVIEST).contains(&weight) {
        problems.add(field, format!("must be 1 to {HEAVIEST}"));
    }
    weight
}

pub(super) fn parse_body_limit(given: Option<u64>, problems: &mut Problems) -> Option<u64> {
    if given.is_some_and(|bytes| bytes > LARGEST_BODY_LIMIT) {
        problems.add("max_body_bytes", format!("must be at most {LARGEST_BODY_LIMIT}"));
    }
    given
}
