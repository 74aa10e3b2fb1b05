//! The token bucket (Turner 1986), in integers without rounding.
//!
//! `requests` tokens come back over the window, evenly; a full bucket holds `burst`. The state is what is
//! *missing* from a full bucket, so that a changed burst or rate applies to what was used, and a new subject
//! is simply zero. One token is `window` microseconds, so one microsecond brings back `requests` units and no
//! fraction is ever lost.

use super::Counted;
use super::decision::Standing;
use crate::time::UnixMicros;

#[derive(Debug, Clone, Copy)]
pub(super) struct TokenBucket {
    pub requests: u64,
    pub burst: u64,
    pub window_micros: u64,
}

impl TokenBucket {
    const fn capacity(self) -> u128 {
        self.burst as u128 * self.window_micros as u128
    }

    /// What `requests` cost.
    pub const fn cost(self, requests: u64) -> u128 {
        requests as u128 * self.window_micros as u128
    }

    /// What is missing at `now`; a clock that stepped back brings nothing back and takes nothing.
    pub fn missing_at(self, missing: u128, at: UnixMicros, now: UnixMicros) -> u128 {
        let elapsed = u128::from(now.0.saturating_sub(at.0));
        missing.saturating_sub(elapsed * u128::from(self.requests)).min(self.capacity())
    }

    pub fn counted(self, missing: u128, at: UnixMicros) -> Counted {
        Counted::Bucket { missing, at, full_at: at.after(self.micros_for(missing)) }
    }

    pub fn admits(self, missing: u128, requests: u64) -> bool {
        missing + self.cost(requests) <= self.capacity()
    }

    pub fn standing(self, missing: u128, now: UnixMicros) -> Standing {
        let available = (self.capacity() - missing) / u128::from(self.window_micros);
        Standing {
            remaining: u64::try_from(available).unwrap_or(u64::MAX),
            reset_secs: now.after(self.micros_for(missing)).secs_ceil(),
        }
    }

    /// Until one request would be let through again.
    pub fn retry_after_micros(self, missing: u128) -> u64 {
        self.micros_for((missing + self.cost(1)).saturating_sub(self.capacity()))
    }

    fn micros_for(self, units: u128) -> u64 {
        u64::try_from(units.div_ceil(u128::from(self.requests))).unwrap_or(u64::MAX)
    }

    /// What is missing after `used` requests at once: how a fixed window's count becomes a bucket's.
    pub fn missing_after(self, used: u64) -> u128 {
        self.cost(used).min(self.capacity())
    }

    /// The requests that `missing` stands for, rounded up.
    pub fn used(self, missing: u128) -> u64 {
        u64::try_from(missing.div_ceil(u128::from(self.window_micros))).unwrap_or(u64::MAX)
    }
}
