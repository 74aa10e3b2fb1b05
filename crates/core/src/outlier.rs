//! Passive outlier detection: a target that fails what is asked of it gets no requests for a while. What Envoy does
//! (<https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier>), decided at each outcome
//! instead of in intervals.
//!
//! How many targets may be out together is decided where all are looked at: in [`crate::balance::serving`].

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::tally::Tally;
use crate::uptime::Uptime;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutlierRules {
    /// Failures with no success between them.
    pub consecutive: Option<NonZeroU32>,
    pub ratio: Option<ErrorRatio>,
    /// Length of the first ejection; each that follows is twice as long as the one before.
    pub ejection: Duration,
    pub longest_ejection: Duration,
    /// Of the service's targets.
    pub most_ejected_percent: u32,
}

/// Failures among the requests of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorRatio {
    /// From so many percent on.
    pub percent: u32,
    /// With fewer requests the ratio says nothing.
    pub minimum_requests: NonZeroU32,
    pub window: Duration,
}

impl OutlierRules {
    /// Five failures in a row, half a minute, half of the targets.
    pub const DEFAULT: Self = Self {
        consecutive: NonZeroU32::new(5),
        ratio: None,
        ejection: Duration::from_secs(30),
        longest_ejection: Duration::from_mins(5),
        most_ejected_percent: 50,
    };
}

impl ErrorRatio {
    pub fn is_reached(&self, requests: u64, failures: u64) -> bool {
        requests >= self.minimum_requests.get().into() && failures * 100 >= requests * u64::from(self.percent)
    }
}

/// How a request ended, as far as it says something of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Consecutive,
    Ratio,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection {
    pub until: Uptime,
    pub reason: Reason,
}

/// One target's record.
///
/// Invariants:
/// - An ejected target is not ejected again before it is back.
/// - Each ejection is twice as long as the one before, up to the longest; after being in for as long as the longest
///   ejection, the next is a first one.
/// - A success ends a run of failures.
#[derive(Debug, Clone, Default)]
pub struct Suspect {
    run: u32,
    tally: Tally,
    ejections: u32,
    until: Option<Uptime>,
}

impl Suspect {
    /// Whether a success changes nothing: what can be asked without taking a lock.
    pub const fn is_clean(&self) -> bool {
        self.run == 0
    }

    pub fn ejected_until(&self) -> Option<Uptime> {
        self.until
    }

    /// How often in a row it was ejected.
    pub const fn ejections(&self) -> u32 {
        self.ejections
    }

    pub fn note(&mut self, outcome: Outcome, rules: &OutlierRules, now: Uptime) -> Option<Ejection> {
        // What was under way when it was ejected says nothing new.
        if self.until.is_some_and(|until| until > now) {
            return None;
        }
        let failed = outcome == Outcome::Failure;
        self.run = if failed { self.run.saturating_add(1) } else { 0 };
        let mut ratio_is_reached = false;
        if let Some(ratio) = &rules.ratio {
            self.tally.add([1, failed.into()], ratio.window, now);
            let [requests, failures] = self.tally.sums(ratio.window, now);
            ratio_is_reached = ratio.is_reached(requests, failures);
        }
        if !failed {
            return None;
        }
        if rules.consecutive.is_some_and(|most| self.run >= most.get()) {
            return Some(self.eject(Reason::Consecutive, rules, now));
        }
        ratio_is_reached.then(|| self.eject(Reason::Ratio, rules, now))
    }

    fn eject(&mut self, reason: Reason, rules: &OutlierRules, now: Uptime) -> Ejection {
        let was_well_for_long = self.until.is_none_or(|until| now.since(until) >= rules.longest_ejection);
        self.ejections = if was_well_for_long { 1 } else { self.ejections.saturating_add(1) };
        let doublings = (self.ejections - 1).min(20);
        let length = rules.ejection.saturating_mul(1 << doublings).min(rules.longest_ejection);
        let until = now.after(length);
        self.until = Some(until);
        self.run = 0;
        self.tally.clear();
        Ejection { until, reason }
    }

    /// Lets it in at once, and forgets its ejections.
    pub fn pardon(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules() -> OutlierRules {
        OutlierRules {
            consecutive: NonZeroU32::new(3),
            ratio: Some(ErrorRatio {
                percent: 50,
                minimum_requests: NonZeroU32::new(10).unwrap(),
                window: Duration::from_secs(10),
            }),
            ejection: Duration::from_secs(30),
            longest_ejection: Duration::from_secs(100),
            most_ejected_percent: 50,
        }
    }

    #[test]
    fn failures_in_a_row_eject_and_a_success_between_them_saves() {
        let mut suspect = Suspect::default();
        let now = Uptime::from_secs(1);
        for outcome in
            [Outcome::Failure, Outcome::Failure, Outcome::Success, Outcome::Failure, Outcome::Failure]
        {
            assert_eq!(suspect.note(outcome, &rules(), now), None);
        }
        let ejection = suspect.note(Outcome::Failure, &rules(), now);
        assert_eq!(ejection, Some(Ejection { until: Uptime::from_secs(31), reason: Reason::Consecutive }));
    }

    #[test]
    fn a_ratio_ejects_once_there_are_enough_requests() {
        let mut suspect = Suspect::default();
        let mut ejected_at = None;
        for number in 1..=20u64 {
            let outcome = if number.is_multiple_of(2) { Outcome::Failure } else { Outcome::Success };
            if suspect.note(outcome, &rules(), Uptime::from_millis(number)).is_some() {
                ejected_at = ejected_at.or(Some(number));
            }
        }
        assert_eq!(ejected_at, Some(10));
    }

    #[test]
    fn each_ejection_is_longer_until_the_target_was_well_for_long() {
        let mut suspect = Suspect::default();
        let mut eject = |now: Uptime| loop {
            if let Some(ejection) = suspect.note(Outcome::Failure, &rules(), now) {
                return ejection.until.since(now).as_secs();
            }
        };
        assert_eq!(eject(Uptime::from_secs(0)), 30);
        assert_eq!(eject(Uptime::from_secs(31)), 60);
        assert_eq!(eject(Uptime::from_secs(92)), 100);
        assert_eq!(eject(Uptime::from_secs(193)), 100);
        assert_eq!(eject(Uptime::from_secs(393)), 30);
    }

    proptest! {
        /// The invariants, over whatever happens.
        #[test]
        fn the_invariants_hold(events in prop::collection::vec((0u64..60_000, any::<bool>()), 1..200)) {
            let (mut suspect, mut now, mut run) = (Suspect::default(), Uptime(0), 0);
            let mut last: Option<(Uptime, Duration)> = None;
            for (millis, failed) in events {
                now = now.after(Duration::from_millis(millis));
                let is_out = last.is_some_and(|(until, _)| until > now);
                let outcome = if failed { Outcome::Failure } else { Outcome::Success };
                let ejection = suspect.note(outcome, &rules(), now);
                if is_out {
                    prop_assert_eq!(ejection, None, "not ejected again before it is back");
                    continue;
                }
                run = if failed { run + 1 } else { 0 };
                if run >= 3 {
                    prop_assert!(ejection.is_some(), "three failures in a row eject");
                }
                if let Some(Ejection { until, .. }) = ejection {
                    let length = until.since(now);
                    let expected = match last {
                        Some((back, before)) if now.since(back).as_secs() < 100 => (before * 2).min(Duration::from_secs(100)),
                        Some(_) | None => Duration::from_secs(30),
                    };
                    prop_assert_eq!(length, expected, "twice as long as the one before");
                    last = Some((until, length));
                    run = 0;
                }
            }
        }
    }
}
