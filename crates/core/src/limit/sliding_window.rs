//! The weighted two-window counter, as Cloudflare described it in 2017
//! (<https://blog.cloudflare.com/counting-things-a-lot-of-different-things/>), in integers without rounding.
//!
//! Windows are aligned to the epoch. What is taken as used is the count of this window, and of the count of the one
//! before the share that a window reaching back from now still covers. No aligned window lets more than the limit
//! through. The requests of the window before are taken as spread evenly over it: where all came at its end, a
//! window reaching back from now may hold more than the limit, by that count times the share of this window that has
//! elapsed; so always less than twice the limit.

use super::Counted;
use super::decision::Standing;
use crate::time::UnixMicros;

/// A limit with its counts as of now.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlidingWindow {
    requests: u64,
    window_micros: u64,
    /// Of the window that is now; a later one where the clock stepped back.
    end_secs: u64,
    previous: u64,
    current: u64,
    now: UnixMicros,
}

impl SlidingWindow {
    /// `used` requests let through in the window that ends at `end_secs`.
    pub const fn new(requests: u64, window_micros: u64, end_secs: u64, used: u64, now: UnixMicros) -> Self {
        Self { requests, window_micros, end_secs, previous: 0, current: used, now }
    }

    /// With what was counted in the window that ended, or ends, at `end_secs`. A window that is yet to come stays
    /// in force when the clock steps back, and the one before it with all its weight.
    #[must_use]
    pub const fn since(self, end_secs: u64, previous: u64, current: u64) -> Self {
        let next_end_secs = end_secs.saturating_add(self.window_micros / 1_000_000);
        let now_secs = self.now.secs();
        if now_secs < end_secs {
            Self { end_secs, previous, current, ..self }
        } else if now_secs < next_end_secs {
            Self { end_secs: next_end_secs, previous: current, current: 0, ..self }
        } else {
            self
        }
    }

    pub const fn end_secs(&self) -> u64 {
        self.end_secs
    }

    /// Rounded up.
    pub fn used(&self) -> u64 {
        u64::try_from(self.weighted().div_ceil(u128::from(self.window_micros))).unwrap_or(u64::MAX)
    }

    pub fn admits(&self, cost: u64) -> bool {
        self.weighted().saturating_add(self.units(cost)) <= self.units(self.requests)
    }

    pub const fn charge(&mut self, cost: u64) {
        self.current = self.current.saturating_add(cost);
    }

    /// Without so many of the requests charged at `charged_at`, where that was in this window and not in the one
    /// before.
    #[must_use]
    pub const fn given_back(self, requests: u64, charged_at: UnixMicros) -> Self {
        let start_secs = self.end_secs.saturating_sub(self.window_micros / 1_000_000);
        if charged_at.secs() < start_secs {
            return self;
        }
        Self { current: self.current.saturating_sub(requests), ..self }
    }

    pub fn retry_after_micros(&self, cost: u64) -> u64 {
        let Some(room) = self.requests.checked_sub(cost) else { return self.window_micros };
        match room.checked_sub(self.current) {
            // What the previous window weighs has to shrink until the request fits.
            Some(room) => self.until_end().saturating_sub(self.micros_of_weight(room, self.previous)),
            // This window has to be the previous one, and then to shrink.
            None => self
                .until_end()
                .saturating_add(self.window_micros)
                .saturating_sub(self.micros_of_weight(room, self.current)),
        }
    }

    pub fn standing(&self) -> Standing {
        let weightless_secs = if self.current > 0 {
            self.end_secs.saturating_add(self.window_micros / 1_000_000)
        } else if self.weighted() > 0 {
            self.end_secs
        } else {
            self.now.secs_ceil()
        };
        Standing { remaining: self.requests.saturating_sub(self.used()), reset_secs: weightless_secs }
    }

    pub const fn counted(&self) -> Counted {
        Counted::Sliding { end_secs: self.end_secs, previous: self.previous, current: self.current }
    }

    /// What is taken as used, in request-microseconds.
    fn weighted(&self) -> u128 {
        let share_micros = self.until_end().min(self.window_micros);
        u128::from(self.previous) * u128::from(share_micros) + self.units(self.current)
    }

    /// How much before a window's end the `count` of the window before it weighs no more than `room` requests.
    fn micros_of_weight(&self, room: u64, count: u64) -> u64 {
        let micros = self.units(room).checked_div(u128::from(count)).unwrap_or(u128::MAX);
        u64::try_from(micros).unwrap_or(u64::MAX).min(self.window_micros)
    }

    fn until_end(&self) -> u64 {
        UnixMicros::from_secs(self.end_secs).0.saturating_sub(self.now.0)
    }

    fn units(&self, requests: u64) -> u128 {
        u128::from(requests) * u128::from(self.window_micros)
    }
}
