//! A limit as the proxy runs it: the numbers, and the texts that every response carries of it, made once.

use super::calendar::{Calendar, Period};
use super::decision::Standing;
use super::fixed_window::FixedWindow;
use super::sliding_log::SlidingLog;
use super::sliding_window::SlidingWindow;
use super::threshold::{self, Threshold};
use super::token_bucket::TokenBucket;
use super::{Counted, Window};
use crate::resource::{Algorithm, Anchor, Limit, Overage};
use crate::time::UnixMicros;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitRule {
    pub requests: u64,
    pub window: Window,
    pub algorithm: Algorithm,
    pub anchor: Anchor,
    /// `limit_type` of a refusal, and the name in `RateLimit-Policy`: `minute`.
    pub name: Box<str>,
    pub headers: RuleHeaders,
    /// Ascending; few limits have any.
    pub thresholds: Box<[Threshold]>,
    pub overage: Overage,
}

/// The constant parts of the fields that state this limit, as HTTP/1.1 writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleHeaders {
    /// `X-RateLimit-Limit-Minute: 60`, its line end, and `X-RateLimit-Remaining-Minute: `.
    pub before_remaining: Box<str>,
    /// A line end, and `X-RateLimit-Reset-Minute: `.
    pub before_reset: Box<str>,
    /// `"minute";r=`: the start of this limit's member of `RateLimit`.
    pub before_available: Box<str>,
    /// This limit's member of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers section 3).
    pub policy: Box<str>,
}

impl LimitRule {
    /// What was used of this limit, as far as it has not come back: a full bucket that holds more or less than the limit's
    /// requests is unused all the same.
    pub const fn used(&self, standing: Standing) -> u64 {
        self.most_at_once().saturating_sub(standing.remaining)
    }

    /// What an unused limit lets through at one instant.
    pub const fn most_at_once(&self) -> u64 {
        self.algorithm.most_at_once(self.requests)
    }

    pub fn compile(limit: &Limit) -> Self {
        let suffix = limit.per.header_suffix();
        let name = limit.per.to_string();
        let headers = RuleHeaders {
            before_remaining: format!(
                "X-RateLimit-Limit-{suffix}: {}\r\nX-RateLimit-Remaining-{suffix}: ",
                limit.requests
            )
            .into(),
            before_reset: format!("\r\nX-RateLimit-Reset-{suffix}: ").into(),
            before_available: format!("\"{name}\";r=").into(),
            policy: format!("\"{name}\";q={};w={}", limit.requests, limit.per.nominal_secs()).into(),
        };
        Self {
            requests: limit.requests,
            window: limit.per,
            algorithm: limit.algorithm,
            anchor: limit.anchor,
            name: name.into(),
            headers,
            thresholds: threshold::compile(&limit.thresholds, limit.most_at_once()),
            overage: limit.overage,
        }
    }

    /// In seconds since the epoch when a bucket is full again that misses so many requests which are not used: they come back without
    /// its flow. `None` of what is no bucket.
    pub fn reset_without(&self, counted: &Counted, unused: u64, now: UnixMicros) -> Option<u64> {
        let &Counted::Bucket { full_at, .. } = counted else { return None };
        let sooner = self.request_micros(unused) / u128::from(self.requests);
        let full_at = full_at.0.saturating_sub(u64::try_from(sooner).unwrap_or(u64::MAX));
        Some(UnixMicros(full_at).max(now).secs_ceil())
    }

    /// This limit under another name in `RateLimit`: of `minute` and `service`, `service-minute`.
    #[must_use]
    pub(super) fn under(mut self, prefix: &str) -> Self {
        let renamed = |text: &str| format!("\"{prefix}-{}", text.trim_start_matches('"')).into();
        self.headers.before_available = renamed(&self.headers.before_available);
        self.headers.policy = renamed(&self.headers.policy);
        self
    }

    /// Start and end in seconds since the epoch of the day or month that `now` lies in; `None` of other windows, which are
    /// aligned to the epoch.
    pub fn calendar_period(&self, calendar: Calendar<'_>, now: UnixMicros) -> Option<(u64, u64)> {
        let period = || self.window.period(self.anchor, calendar, now);
        self.window.is_calendar().then(period).map(|period| (period.start_secs, period.end_secs))
    }

    // This limit by each algorithm, so many requests of it used.

    pub(super) fn bucket(&self, burst: u64, used: u64, now: UnixMicros) -> TokenBucket {
        TokenBucket::new(self.requests, burst, self.window_micros(), used, now)
    }

    pub(super) const fn fixed_window(&self, period: Period, used: u64) -> FixedWindow {
        FixedWindow::new(self.requests, self.window_micros(), period, used)
    }

    pub(super) fn sliding_window(&self, used: u64, now: UnixMicros) -> SlidingWindow {
        let end_secs = Period::aligned(self.window.nominal_secs(), now).end_secs;
        SlidingWindow::new(self.requests, self.window_micros(), end_secs, used, now)
    }

    pub(super) fn sliding_log(&self, used: u64, now: UnixMicros) -> SlidingLog {
        SlidingLog::new(self.requests, self.window_micros(), used, now)
    }

    /// So many requests, in microseconds of them.
    pub(super) fn request_micros(&self, requests: u64) -> u128 {
        u128::from(requests) * u128::from(self.window_micros())
    }

    /// The other way, rounded up.
    pub(super) fn requests_of(&self, request_micros: u128) -> u64 {
        u64::try_from(request_micros.div_ceil(u128::from(self.window_micros()))).unwrap_or(u64::MAX)
    }

    const fn window_micros(&self) -> u64 {
        self.window.nominal_micros()
    }
}
