//! The period that a limit is counted over, and what is kept of it between two requests.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Log;
use super::calendar::{Calendar, Period, Unit};
use crate::resource::Anchor;
use crate::time::UnixMicros;

const LONGEST_SPAN_SECS: u32 = 31 * 86_400;
/// A bucket is kept until it would be full at so-manieth of its rate, a period longer than it takes to fill at the most.
/// Who keeps counts does not know the limits, and a rate that is lowered brings back later what is missing; longer, and
/// memory would follow who was active long ago.
const SLOWER_AT_MOST: u64 = 10;

/// Names the period; equal periods are one counter (`60s` is `minute`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Window {
    /// A fixed number of seconds, at least 1.
    Span {
        secs: u32,
    },
    CalendarDay,
    CalendarMonth,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be second, minute, hour, day, month, or a duration of 1s to 744h such as \"10s\", \"5m\" or \"2h\""
)]
pub struct BadWindow;

/// What is kept of one subject's use of one window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counted {
    /// What is missing from a full bucket, in request-microseconds (see [`super::token_bucket`]): zero is full.
    /// `full_at` is when the bucket is full again at the rate it had at `at`.
    Bucket {
        missing: RequestMicros,
        at: UnixMicros,
        full_at: UnixMicros,
    },
    /// Requests let through in a period. It knows its own end, so that the calendar is asked when a period begins
    /// and not with every request.
    Fixed {
        start_secs: u64,
        end_secs: u64,
        used: u64,
    },
    /// Requests let through in the window that ends at `end_secs`, and in the one before it.
    Sliding {
        end_secs: u64,
        previous: u64,
        current: u64,
    },
    Log(Box<Log>),
}

/// Request-microseconds, 128 bits of them in two words: a `u128` wants to lie at a multiple of 16 bytes, and every count of
/// every subject would be larger for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestMicros {
    high: u64,
    low: u64,
}

impl From<u128> for RequestMicros {
    fn from(units: u128) -> Self {
        let word = |units: u128| u64::try_from(units & u128::from(u64::MAX)).unwrap_or(u64::MAX);
        Self { high: word(units >> u64::BITS), low: word(units) }
    }
}

impl From<RequestMicros> for u128 {
    fn from(units: RequestMicros) -> Self {
        Self::from(units.high) << u64::BITS | Self::from(units.low)
    }
}

impl Window {
    pub fn parse(text: &str) -> Result<Self, BadWindow> {
        match text {
            "second" => return Ok(Self::Span { secs: 1 }),
            "minute" => return Ok(Self::Span { secs: 60 }),
            "hour" => return Ok(Self::Span { secs: 3_600 }),
            "day" => return Ok(Self::CalendarDay),
            "month" => return Ok(Self::CalendarMonth),
            _ => {}
        }
        let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(BadWindow)?;
        let unit_secs = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => return Err(BadWindow),
        };
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(BadWindow);
        }
        let number: u32 = number.parse().map_err(|_| BadWindow)?;
        match number.checked_mul(unit_secs) {
            Some(secs @ 1..=LONGEST_SPAN_SECS) => Ok(Self::Span { secs }),
            Some(_) | None => Err(BadWindow),
        }
    }

    pub const fn is_calendar(self) -> bool {
        match self {
            Self::Span { .. } => false,
            Self::CalendarDay | Self::CalendarMonth => true,
        }
    }

    /// The period that `now` lies in. Spans are aligned to the epoch.
    pub(super) fn period(self, anchor: Anchor, calendar: Calendar<'_>, now: UnixMicros) -> Period {
        match self {
            Self::Span { secs } => Period::aligned(u64::from(secs), now),
            Self::CalendarDay => calendar.period(Unit::Day, anchor, now),
            Self::CalendarMonth => calendar.period(Unit::Month, anchor, now),
        }
    }

    /// Length for a policy's `w` parameter: a month counts as 30 days.
    pub const fn nominal_secs(self) -> u64 {
        match self {
            Self::Span { secs } => secs as u64,
            Self::CalendarDay => Unit::Day.nominal_secs(),
            Self::CalendarMonth => Unit::Month.nominal_secs(),
        }
    }

    pub(super) const fn nominal_micros(self) -> u64 {
        self.nominal_secs() * 1_000_000
    }

    /// As it stands in header names: `Minute`, `Month`, `10s`.
    pub fn header_suffix(self) -> String {
        match self {
            Self::Span { secs: 1 } => "Second".into(),
            Self::Span { secs: 60 } => "Minute".into(),
            Self::Span { secs: 3_600 } => "Hour".into(),
            Self::CalendarDay => "Day".into(),
            Self::CalendarMonth => "Month".into(),
            Self::Span { .. } => self.to_string(),
        }
    }
}

/// As it is written in a plan; [`Window::parse`] reads it back.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Span { secs: 1 } => f.write_str("second"),
            Self::Span { secs: 60 } => f.write_str("minute"),
            Self::Span { secs: 3_600 } => f.write_str("hour"),
            Self::CalendarDay => f.write_str("day"),
            Self::CalendarMonth => f.write_str("month"),
            Self::Span { secs } if secs % 3_600 == 0 => write!(f, "{}h", secs / 3_600),
            Self::Span { secs } if secs % 60 == 0 => write!(f, "{}m", secs / 60),
            Self::Span { secs } => write!(f, "{secs}s"),
        }
    }
}

impl Counted {
    /// From when on nothing is lost by forgetting it: the period is over, the bucket full again, the log past. Of a
    /// bucket that holds for lower rates too: an edit may have come since it was charged.
    pub(super) fn over_at(&self, window: Window) -> UnixMicros {
        match *self {
            Self::Bucket { missing, at, full_at } => {
                let micros = full_at.0.saturating_sub(at.0);
                // No rate is below one request a window, which brings back a unit each microsecond.
                let slowest_micros = u64::try_from(u128::from(missing)).unwrap_or(u64::MAX);
                let slower_micros = micros.saturating_mul(SLOWER_AT_MOST).min(slowest_micros);
                at.after(slower_micros.min(micros.saturating_add(window.nominal_micros())))
            }
            Self::Fixed { end_secs, .. } | Self::Sliding { end_secs, current: 0, .. } => {
                UnixMicros::from_secs(end_secs)
            }
            Self::Sliding { end_secs, .. } => UnixMicros::from_secs(end_secs).after(window.nominal_micros()),
            Self::Log(ref log) => log.over_at(window.nominal_micros()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_request_microsecond_is_lost_between_two_words() {
        for units in [0, 1, u128::from(u64::MAX), u128::from(u64::MAX) + 1, u128::MAX - 1, u128::MAX] {
            assert_eq!(u128::from(RequestMicros::from(units)), units);
        }
    }

    #[test]
    fn equal_periods_are_one_window() {
        assert_eq!(Window::parse("60s"), Window::parse("minute"));
        assert_eq!(Window::parse("60m"), Window::parse("hour"));
        assert_ne!(Window::parse("24h"), Window::parse("day"));
    }

    #[test]
    fn what_is_written_parses_back() {
        for text in ["second", "minute", "hour", "day", "month", "10s", "5m", "2h", "24h", "90s"] {
            assert_eq!(Window::parse(text).unwrap().to_string(), text);
        }
    }

    /// One is in the entry of every busy subject.
    #[test]
    fn what_is_kept_is_small() {
        assert!(size_of::<(Window, Counted)>() <= 48);
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "s", "0s", "-1s", "1.5s", "10", "10 s", "745h", "99999999999s", "week", "1d", "é"] {
            assert_eq!(Window::parse(bad), Err(BadWindow), "{bad}");
        }
    }
}
