//! The fixed window: a count that starts at zero with each period.

use super::Counted;
use super::calendar::Period;
use super::decision::Standing;
use crate::time::UnixMicros;

/// A limit with its count of the period that is now.
#[derive(Debug, Clone, Copy)]
pub(super) struct FixedWindow {
    requests: u64,
    /// What a period's length is called by; days and months differ from it.
    nominal_micros: u64,
    period: Period,
    used: u64,
}

impl FixedWindow {
    pub const fn new(requests: u64, nominal_micros: u64, period: Period, used: u64) -> Self {
        Self { requests, nominal_micros, period, used }
    }

    pub const fn used(&self) -> u64 {
        self.used
    }

    pub const fn end_secs(&self) -> u64 {
        self.period.end_secs
    }

    pub const fn admits(&self, cost: u64) -> bool {
        self.used.saturating_add(cost) <= self.requests
    }

    pub const fn charge(&mut self, cost: u64) {
        self.used = self.used.saturating_add(cost);
    }

    /// Without so many of the requests charged at `charged_at`, where that was in this period.
    #[must_use]
    pub const fn given_back(self, requests: u64, charged_at: UnixMicros) -> Self {
        if charged_at.secs() < self.period.start_secs {
            return self;
        }
        Self { used: self.used.saturating_sub(requests), ..self }
    }

    pub const fn retry_after_micros(&self, cost: u64, now: UnixMicros) -> u64 {
        if cost > self.requests {
            return self.nominal_micros;
        }
        UnixMicros::from_secs(self.period.end_secs).0.saturating_sub(now.0)
    }

    pub const fn standing(&self) -> Standing {
        Standing { remaining: self.requests.saturating_sub(self.used), reset_secs: self.period.end_secs }
    }

    pub const fn counted(&self) -> Counted {
        let Period { start_secs, end_secs } = self.period;
        Counted::Fixed { start_secs, end_secs, used: self.used }
    }
}
