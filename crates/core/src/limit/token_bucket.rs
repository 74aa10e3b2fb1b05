//! The token bucket (Turner 1986), in integers without rounding.
//!
//! `requests` tokens come back over the window, evenly; a full bucket holds `burst`. The state is what is
//! *missing* from a full bucket, so that a changed burst or rate applies to what was used, and a new subject
//! is simply zero. One token is `window` microseconds, so one microsecond brings back `requests` units and no
//! fraction is ever lost.

use super::Counted;
use super::decision::Standing;
use crate::time::UnixMicros;

/// A limit with what is missing now.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenBucket {
    requests: u64,
    burst: u64,
    window_micros: u64,
    missing: u128,
    /// As of when; later than now where the clock stepped back.
    at: UnixMicros,
}

impl TokenBucket {
    /// A bucket from which `used` tokens were taken just now: how other algorithms' counts become a bucket's.
    pub fn new(requests: u64, burst: u64, window_micros: u64, used: u64, now: UnixMicros) -> Self {
        let missing = u128::from(used) * u128::from(window_micros);
        Self { requests, burst, window_micros, missing, at: now }
    }

    /// With what was missing at `at` and has not come back until `now`. A clock that stepped back brings nothing
    /// back and takes nothing. More may be missing than the bucket holds: what was used before the burst became
    /// smaller comes back first, so that a plan made smaller and larger again refills nothing. A full bucket is as one
    /// that was never used, which stores may forget at any time.
    #[must_use]
    pub fn since(self, missing: u128, at: UnixMicros, now: UnixMicros) -> Self {
        if missing == 0 {
            return Self { missing, at: now, ..self };
        }
        let elapsed = u128::from(now.0.saturating_sub(at.0));
        let missing = missing.saturating_sub(elapsed * u128::from(self.requests));
        Self { missing, at: at.max(now), ..self }
    }

    /// In microseconds of requests.
    pub const fn missing(&self) -> u128 {
        self.missing
    }

    /// So much more is missing, in microseconds of requests.
    #[must_use]
    pub const fn with(self, missing: u128) -> Self {
        Self { missing: self.missing.saturating_add(missing), ..self }
    }

    /// The requests that are missing, rounded up.
    pub fn used(&self) -> u64 {
        u64::try_from(self.missing.div_ceil(u128::from(self.window_micros))).unwrap_or(u64::MAX)
    }

    pub fn admits(&self, cost: u64) -> bool {
        self.missing.saturating_add(self.units(cost)) <= self.units(self.burst)
    }

    pub fn charge(&mut self, cost: u64) {
        self.missing = self.missing.saturating_add(self.units(cost));
    }

    /// Without so many of the requests charged at `charged_at`. What has come back since then is not given back once
    /// more: the bucket may have been full meanwhile, and would let through what was never missing.
    #[must_use]
    pub fn given_back(self, requests: u64, charged_at: UnixMicros) -> Self {
        let still_missing = self.since(self.units(requests), charged_at, self.at).missing;
        Self { missing: self.missing.saturating_sub(still_missing), ..self }
    }

    /// Until so many requests would be let through at once.
    pub fn retry_after_micros(&self, cost: u64, now: UnixMicros) -> u64 {
        if cost > self.burst {
            return self.window_micros;
        }
        let wanted = self.missing.saturating_add(self.units(cost));
        let micros = self.micros_for(wanted.saturating_sub(self.units(self.burst)));
        self.at.after(micros).0.saturating_sub(now.0)
    }

    pub fn standing(&self) -> Standing {
        let available = self.units(self.burst).saturating_sub(self.missing) / u128::from(self.window_micros);
        Standing {
            remaining: u64::try_from(available).unwrap_or(u64::MAX),
            reset_secs: self.full_at().secs_ceil(),
        }
    }

    pub fn counted(&self) -> Counted {
        Counted::Bucket { missing: self.missing.into(), at: self.at, full_at: self.full_at() }
    }

    pub fn full_at(&self) -> UnixMicros {
        self.at.after(self.micros_for(self.missing))
    }

    fn units(&self, requests: u64) -> u128 {
        u128::from(requests) * u128::from(self.window_micros)
    }

    fn micros_for(&self, units: u128) -> u64 {
        u64::try_from(units.div_ceil(u128::from(self.requests))).unwrap_or(u64::MAX)
    }
}
