//! A target that comes back gets its requests little by little: its caches are cold, its code is not yet compiled.
//!
//! The curve is Envoy's (<https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/slow_start>):
//! the share grows as `(elapsed / window) ^ (1 / aggression)`, a straight line where the aggression is one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Shares;

/// So many percent at least: a target that gets nothing does not warm up.
const LEAST: f64 = 0.1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowStart {
    pub window: Duration,
    /// In hundredths. Above 100 the share grows fast at first, below it slowly.
    pub aggression_percent: u32,
}

impl SlowStart {
    /// The share of a target of this weight that has been back for so long.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between one and the whole share, which is a u32"
    )]
    pub fn share(&self, weight: u32, elapsed: Duration) -> u32 {
        let whole = weight.saturating_mul(Shares::WHOLE);
        if elapsed >= self.window {
            return whole;
        }
        let progress = elapsed.as_secs_f64() / self.window.as_secs_f64();
        let exponent = 100.0 / f64::from(self.aggression_percent.max(1));
        (f64::from(whole) * progress.powf(exponent).max(LEAST)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(aggression_percent: u32, elapsed_secs: u64) -> u32 {
        let slow_start = SlowStart { window: Duration::from_secs(100), aggression_percent };
        slow_start.share(10, Duration::from_secs(elapsed_secs)) * 100 / (10 * Shares::WHOLE)
    }

    #[test]
    fn the_share_grows_from_a_tenth_to_the_whole() {
        assert_eq!([0, 50, 100, 1_000].map(|secs| percent(100, secs)), [10, 50, 100, 100]);
    }

    #[test]
    fn the_curve_is_steep_at_first_where_the_aggression_is_high() {
        assert_eq!([200, 100, 50].map(|aggression| percent(aggression, 25)), [50, 25, 10]);
    }
}
