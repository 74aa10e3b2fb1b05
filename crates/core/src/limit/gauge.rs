//! One limit's count as of now, whatever its algorithm.

use super::calendar::Calendar;
use super::decision::{Settlement, Standing};
use super::fixed_window::FixedWindow;
use super::sliding_log::SlidingLog;
use super::sliding_window::SlidingWindow;
use super::token_bucket::TokenBucket;
use super::{Counted, LimitRule};
use crate::limit::calendar::Period;
use crate::resource::Algorithm;
use crate::time::UnixMicros;

pub(super) enum Gauge {
    Bucket(TokenBucket),
    Fixed(FixedWindow),
    Sliding(SlidingWindow),
    Log(SlidingLog),
}

impl Gauge {
    /// Brings what is stored up to now, for a request of this cost. A plan that has changed its algorithm takes over
    /// what was used.
    pub fn read(
        rule: &LimitRule,
        stored: Option<&Counted>,
        calendar: Calendar<'_>,
        cost: u64,
        now: UnixMicros,
    ) -> Self {
        Self::read_by(rule.algorithm, rule, stored, calendar, cost, now)
    }

    fn read_by(
        algorithm: Algorithm,
        rule: &LimitRule,
        stored: Option<&Counted>,
        calendar: Calendar<'_>,
        cost: u64,
        now: UnixMicros,
    ) -> Self {
        match (algorithm, stored) {
            (Algorithm::TokenBucket { burst }, Some(&Counted::Bucket { missing, at, .. })) => {
                Self::Bucket(rule.bucket(burst, 0, now).since(missing.into(), at, now))
            }
            (Algorithm::TokenBucket { burst }, stored) => {
                Self::Bucket(rule.bucket(burst, used(rule, stored, now), now))
            }
            // A period that runs stays in force until its end: when the clock steps back, so that no period can be
            // had twice, and when the time zone or the anchor changes.
            (Algorithm::FixedWindow, Some(&Counted::Fixed { start_secs, end_secs, used }))
                if now.secs() < end_secs =>
            {
                Self::Fixed(rule.fixed_window(Period { start_secs, end_secs }, used))
            }
            (Algorithm::FixedWindow, stored) => {
                let period = rule.window.period(rule.anchor, calendar, now);
                Self::Fixed(rule.fixed_window(period, used(rule, stored, now)))
            }
            (Algorithm::SlidingWindow, Some(&Counted::Sliding { end_secs, previous, current })) => {
                Self::Sliding(rule.sliding_window(0, now).since(end_secs, previous, current))
            }
            (Algorithm::SlidingWindow, stored) => {
                Self::Sliding(rule.sliding_window(used(rule, stored, now), now))
            }
            (Algorithm::SlidingLog, Some(Counted::Log(log))) => {
                Self::Log(rule.sliding_log(0, now).since(log, cost))
            }
            (Algorithm::SlidingLog, stored) => Self::Log(rule.sliding_log(used(rule, stored, now), now)),
        }
    }

    /// How long until the limit lets a request of this cost through, where it does not now. One that costs more than
    /// the limit is never let through; the window's length is told then.
    pub fn refusal(&self, cost: u64, now: UnixMicros) -> Option<u64> {
        match self {
            Self::Bucket(bucket) => (!bucket.admits(cost)).then(|| bucket.retry_after_micros(cost, now)),
            Self::Fixed(window) => (!window.admits(cost)).then(|| window.retry_after_micros(cost, now)),
            Self::Sliding(window) => (!window.admits(cost)).then(|| window.retry_after_micros(cost)),
            Self::Log(log) => (!log.admits(cost)).then(|| log.retry_after_micros()),
        }
    }

    pub fn charge(&mut self, cost: u64) {
        match self {
            Self::Bucket(bucket) => bucket.charge(cost),
            Self::Fixed(window) => window.charge(cost),
            Self::Sliding(window) => window.charge(cost),
            Self::Log(log) => log.charge(cost),
        }
    }

    /// What was used, as far as it has not come back; beyond the limit too.
    pub fn used(&self) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.used(),
            Self::Fixed(window) => window.used(),
            Self::Sliding(window) => window.used(),
            Self::Log(log) => log.used(),
        }
    }

    /// The end of the period that is counted now.
    pub fn period_end_secs(&self, rule: &LimitRule, now: UnixMicros) -> u64 {
        match self {
            Self::Fixed(window) => window.end_secs(),
            Self::Sliding(window) => window.end_secs(),
            Self::Bucket(_) | Self::Log(_) => Period::aligned(rule.window.nominal_secs(), now).end_secs,
        }
    }

    pub fn standing(&self) -> Standing {
        match self {
            Self::Bucket(bucket) => bucket.standing(),
            Self::Fixed(window) => window.standing(),
            Self::Sliding(window) => window.standing(),
            Self::Log(log) => log.standing(),
        }
    }

    /// What is stored from now on, in place of what was, once an earlier request's charge is corrected. The limit may
    /// have been edited since that was let through, and then it is the edit that holds: a count stays with the algorithm
    /// that counted last.
    pub fn settled(
        rule: &LimitRule,
        stored: Option<Counted>,
        calendar: Calendar<'_>,
        settlement: Settlement,
        now: UnixMicros,
    ) -> Counted {
        // What is charged only now is charged as the limit is now.
        if settlement.charged == 0 {
            return Self::read(rule, stored.as_ref(), calendar, 1, now).corrected(settlement, stored);
        }
        let algorithm = match stored {
            Some(Counted::Bucket { missing, at, full_at }) => {
                let bucket = rule.bucket(rule.requests, 0, at).since(missing.into(), at, at);
                if bucket.full_at() != full_at {
                    // What has come back since its last charge came at another rate than this rule's.
                    let mut counted = Self::Bucket(bucket).corrected(settlement, None);
                    if let Counted::Bucket { full_at: by_this_rate, .. } = &mut counted {
                        *by_this_rate = full_at.max(*by_this_rate);
                    }
                    return counted;
                }
                Algorithm::TokenBucket { burst: rule.requests }
            }
            Some(Counted::Fixed { end_secs, .. }) if now.secs() < end_secs => Algorithm::FixedWindow,
            Some(Counted::Sliding { .. }) => Algorithm::SlidingWindow,
            Some(Counted::Log(_)) => Algorithm::SlidingLog,
            // Nothing is counted yet, or not any more.
            Some(Counted::Fixed { .. }) | None => rule.algorithm,
        };
        let gauge = Self::read_by(algorithm, rule, stored.as_ref(), calendar, 1, now);
        gauge.corrected(settlement, stored)
    }

    fn corrected(self, settlement: Settlement, stored: Option<Counted>) -> Counted {
        let Settlement { charged, charged_at, actual } = settlement;
        let Some(less) = charged.checked_sub(actual) else {
            let mut more = self;
            more.charge(actual - charged);
            return more.counted(stored);
        };
        match self {
            Self::Bucket(bucket) => bucket.given_back(less, charged_at).counted(),
            Self::Fixed(window) => window.given_back(less, charged_at).counted(),
            Self::Sliding(window) => window.given_back(less, charged_at).counted(),
            Self::Log(log) => log.given_back(less, charged_at, stored),
        }
    }

    /// What is stored from now on, in place of what was.
    pub fn counted(&self, stored: Option<Counted>) -> Counted {
        match self {
            Self::Bucket(bucket) => bucket.counted(),
            Self::Fixed(window) => window.counted(),
            Self::Sliding(window) => window.counted(),
            Self::Log(log) => log.counted(stored),
        }
    }
}

/// The end of the period that is counted, as far as what is stored knows of one.
pub(super) fn period_end_secs(rule: &LimitRule, stored: Option<&Counted>, now: UnixMicros) -> u64 {
    match stored {
        Some(&Counted::Fixed { end_secs, .. } | &Counted::Sliding { end_secs, .. }) => end_secs,
        Some(Counted::Bucket { .. } | Counted::Log(_)) | None => {
            Period::aligned(rule.window.nominal_secs(), now).end_secs
        }
    }
}

/// The requests that a count stands for now, whatever algorithm counted them; rounded up.
pub(super) fn used(rule: &LimitRule, stored: Option<&Counted>, now: UnixMicros) -> u64 {
    match stored {
        Some(&Counted::Bucket { missing, at, .. }) => {
            rule.bucket(rule.requests, 0, now).since(missing.into(), at, now).used()
        }
        Some(&Counted::Fixed { end_secs, used, .. }) if now.secs() < end_secs => used,
        Some(&Counted::Sliding { end_secs, previous, current }) => {
            rule.sliding_window(0, now).since(end_secs, previous, current).used()
        }
        Some(Counted::Log(log)) => rule.sliding_log(0, now).since(log, 1).used(),
        Some(Counted::Fixed { .. }) | None => 0,
    }
}
