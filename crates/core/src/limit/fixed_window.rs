//! The fixed window: a count that starts at zero with each period.

use super::decision::Standing;
use crate::time::{Period, UnixMicros};

#[derive(Debug, Clone, Copy)]
pub(super) struct FixedWindow {
    pub requests: u64,
    pub period: Period,
}

impl FixedWindow {
    /// What was used of the period that is now. A count of a *later* period stays in force when the clock
    /// steps back, so that a period cannot be had twice.
    pub fn used(self, start_secs: u64, used: u64) -> u64 {
        if start_secs < self.period.start_secs { 0 } else { used }
    }

    /// The later of the stored period's start and this one's.
    pub fn start(self, stored_secs: u64) -> u64 {
        stored_secs.max(self.period.start_secs)
    }

    pub fn admits(self, used: u64, requests: u64) -> bool {
        used.saturating_add(requests) <= self.requests
    }

    pub fn standing(self, used: u64) -> Standing {
        Standing { remaining: self.requests.saturating_sub(used), reset_secs: self.period.end_secs }
    }

    pub fn retry_after_micros(self, now: UnixMicros) -> u64 {
        UnixMicros::from_secs(self.period.end_secs).0.saturating_sub(now.0)
    }
}
