//! What active checks say of a target, and which of them begins when.

mod schedule;
mod turns;

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::schedule::{Asked, Schedule, Subject};
use crate::resource::TargetId;
use crate::time::UnixMicros;

/// Results kept of a target.
const KEPT: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Verdict {
    /// Not checked yet, or not at all: taken for healthy.
    #[default]
    Unknown,
    Healthy,
    Unhealthy,
}

impl Verdict {
    /// What one check says by itself.
    pub const fn of(result: &CheckResult) -> Self {
        if result.outcome.is_passed() { Self::Healthy } else { Self::Unhealthy }
    }
}

/// How many results in a row change the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thresholds {
    pub healthy: NonZeroU32,
    pub unhealthy: NonZeroU32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    pub at: UnixMicros,
    pub latency: Duration,
    pub outcome: CheckOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckOutcome {
    /// With this status.
    Passed(u16),
    /// Why, for people.
    Failed(Box<str>),
}

impl CheckOutcome {
    pub const fn is_passed(&self) -> bool {
        matches!(self, Self::Passed(_))
    }
}

/// Too many checks were under way for as long as one that was asked for waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoTurn;

/// What is known of a target, for people.
#[derive(Debug, Clone)]
pub struct TargetHealth {
    pub target: TargetId,
    pub verdict: Verdict,
    /// How long it is still left out for having failed.
    pub ejected_for: Option<Duration>,
    pub in_flight: u32,
    /// Its checks, the newest last.
    pub history: Vec<CheckResult>,
}

/// One target's.
#[derive(Debug, Clone, Default)]
pub struct Health {
    verdict: Verdict,
    /// Results in a row that speak against the verdict.
    against: u32,
    /// The newest last.
    history: VecDeque<CheckResult>,
}

impl Health {
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The newest last.
    pub fn history(&self) -> impl ExactSizeIterator<Item = &CheckResult> {
        self.history.iter()
    }

    pub fn last(&self) -> Option<&CheckResult> {
        self.history.back()
    }

    /// The new verdict, where the result changes it. The first result that passes makes a target healthy: there is
    /// nothing that speaks against it.
    pub fn note(&mut self, result: CheckResult, thresholds: Thresholds) -> Option<Verdict> {
        let opposite = Verdict::of(&result);
        if self.history.len() == KEPT {
            self.history.pop_front();
        }
        self.history.push_back(result);
        let threshold = match (self.verdict, opposite) {
            (held, speaks_for) if held == speaks_for => {
                self.against = 0;
                return None;
            }
            (Verdict::Unknown, Verdict::Healthy) => 1,
            (_, Verdict::Healthy) => thresholds.healthy.get(),
            (_, Verdict::Unhealthy | Verdict::Unknown) => thresholds.unhealthy.get(),
        };
        self.against += 1;
        if self.against < threshold {
            return None;
        }
        self.against = 0;
        self.verdict = opposite;
        Some(opposite)
    }
}

/// How long until the next check: the interval, give or take the stated part of it, so that the checks of many
/// targets do not come all at once.
pub fn next_check(interval: Duration, jitter_percent: u32, random: u64) -> Duration {
    let jitter = interval * jitter_percent.min(100) / 100;
    let spread = 2 * u64::try_from(jitter.as_micros()).unwrap_or(u64::MAX / 2);
    interval.saturating_sub(jitter) + Duration::from_micros(random % (spread + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const THRESHOLDS: Thresholds =
        Thresholds { healthy: NonZeroU32::new(2).unwrap(), unhealthy: NonZeroU32::new(3).unwrap() };

    fn result(passed: bool) -> CheckResult {
        let outcome = if passed { CheckOutcome::Passed(200) } else { CheckOutcome::Failed("refused".into()) };
        CheckResult { at: UnixMicros(0), latency: Duration::from_millis(1), outcome }
    }

    /// What is said after each result: `+` passed, `-` failed.
    fn verdicts(results: &str) -> Vec<Verdict> {
        let mut health = Health::default();
        let verdict = |passed: char| {
            health.note(result(passed == '+'), THRESHOLDS);
            health.verdict()
        };
        results.chars().map(verdict).collect()
    }

    #[test]
    fn only_results_in_a_row_change_what_is_said() {
        use Verdict::{Healthy, Unhealthy, Unknown};
        assert_eq!(verdicts("--+"), [Unknown, Unknown, Healthy]);
        assert_eq!(verdicts("+--+---"), [Healthy, Healthy, Healthy, Healthy, Healthy, Healthy, Unhealthy]);
        assert_eq!(
            verdicts("---+-++"),
            [Unknown, Unknown, Unhealthy, Unhealthy, Unhealthy, Unhealthy, Healthy]
        );
    }

    #[test]
    fn only_the_newest_results_are_kept() {
        let mut health = Health::default();
        for second in 0..100 {
            health.note(CheckResult { at: UnixMicros::from_secs(second), ..result(true) }, THRESHOLDS);
        }
        let kept: Vec<_> = health.history().map(|result| result.at.secs()).collect();
        assert_eq!(kept, (68..100).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn the_next_check_is_within_the_jitter(millis in 1u64..100_000, percent in 0u32..=100, random: u64) {
            let interval = Duration::from_millis(millis);
            let wait = next_check(interval, percent, random);
            let jitter = interval * percent / 100;
            prop_assert!(interval <= wait + jitter && wait <= interval + jitter);
        }
    }
}
