//! How fast a subject's requests come to this node: what sizes its slices.

use std::time::{Duration, Instant};

/// A rate is measured over at least so long.
const STRETCH: Duration = Duration::from_millis(100);
/// A slice is what is used in this time.
const SLICE_SECS: f64 = 0.1;

#[derive(Debug, Clone, Copy)]
pub struct Pace {
    began: Instant,
    units: u64,
    /// Units in a second, over the last stretches.
    rate: f64,
}

impl Pace {
    pub const fn new(now: Instant) -> Self {
        Self { began: now, units: 0, rate: 0.0 }
    }

    /// Gives how many units a slice should have.
    #[inline]
    pub fn note(&mut self, cost: u64, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.began);
        if elapsed >= STRETCH {
            self.turn(elapsed, now);
        }
        let wanted = self.wanted();
        self.units += cost;
        wanted
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate is an estimate")]
    fn turn(&mut self, elapsed: Duration, now: Instant) {
        let measured = self.units as f64 / elapsed.as_secs_f64();
        // One that grows is believed at once, one that shrinks by halves, unless it is from long ago.
        let is_old = elapsed >= 10 * STRETCH;
        self.rate =
            if is_old || measured > self.rate { measured } else { f64::midpoint(measured, self.rate) };
        (self.began, self.units) = (now, 0);
    }

    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is no negative number, and the cast saturates"
    )]
    fn wanted(&self) -> u64 {
        // Until a rate is known: as much again as was used in this stretch.
        ((self.rate * SLICE_SECS) as u64).max(self.units)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_what_a_tenth_of_a_second_uses() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for millisecond in 0..1_000 {
            pace.note(2, start + Duration::from_millis(millisecond));
        }
        assert!((150..=250).contains(&pace.wanted()), "{}", pace.wanted());
    }

    #[test]
    fn who_comes_seldom_gets_no_slice() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for second in 0..10 {
            assert_eq!(pace.note(1, start + Duration::from_secs(second)), 0);
        }
    }

    #[test]
    fn a_burst_doubles_its_slices_before_its_rate_is_known() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for before in 0..100 {
            assert_eq!(pace.note(1, start), before);
        }
    }
}
