//! Days and months as a tenant lives them: in its time zone, from midnight or from when a subscription began.
//!
//! Periods follow each other without a gap and without an overlap. A day begins at the first instant that a clock on
//! the wall shows its beginning or a later time: where the clock is put forward over midnight, the day begins with
//! the change; where it is put back over midnight, with the first of the two midnights. So days of 23 and 25 hours
//! are days, and a day that a zone leaves out (Samoa's 30 December 2011) is no period.

use jiff::Timestamp;
use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::AmbiguousOffset;

use crate::resource::{Anchor, TimeZone};
use crate::time::UnixMicros;

static UTC: TimeZone = TimeZone::UTC;

/// What the days and months of a subject are told by.
#[derive(Debug, Clone, Copy)]
pub struct Calendar<'s> {
    pub zone: &'s TimeZone,
    /// Seconds since the epoch at which the subject's subscription began: anchored periods are counted from it.
    pub subscribed_at_secs: u64,
}

impl Calendar<'static> {
    /// In UTC, of somebody who has no subscription.
    pub fn utc() -> Self {
        Self { zone: &UTC, subscribed_at_secs: 0 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Day,
    Month,
}

/// Start and end in seconds since the epoch; the end belongs to the next period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    pub start_secs: u64,
    pub end_secs: u64,
}

impl Period {
    /// Of `length_secs`, aligned to the epoch.
    pub const fn aligned(length_secs: u64, now: UnixMicros) -> Self {
        let start_secs = now.secs() / length_secs * length_secs;
        Self { start_secs, end_secs: start_secs.saturating_add(length_secs) }
    }
}

/// On which day of its unit, and at what time of it, a period begins.
struct Beginning {
    unit: Unit,
    /// Of a month; one that has fewer days begins on its last.
    day: i8,
    time: Time,
}

impl Calendar<'_> {
    /// The period that `now` lies in. After the year 9999, where the calendar ends, days and months of 30 days are
    /// aligned to the epoch.
    pub(super) fn period(self, unit: Unit, anchor: Anchor, now: UnixMicros) -> Period {
        self.civil_period(unit, anchor, now).unwrap_or_else(|| Period::aligned(unit.nominal_secs(), now))
    }

    fn civil_period(self, unit: Unit, anchor: Anchor, now: UnixMicros) -> Option<Period> {
        let now = timestamp(now.secs())?;
        let beginning = self.beginning(unit, anchor)?;
        let mut step = beginning.step_of(self.zone.rules().to_datetime(now).date());
        let mut start = self.first_instant(beginning.of(step)?)?;
        while start > now {
            step = beginning.step_before(step)?;
            start = self.first_instant(beginning.of(step)?)?;
        }
        // A clock that was put back shows a date whose successor has begun already.
        loop {
            step = beginning.step_after(step)?;
            let end = self.first_instant(beginning.of(step)?)?;
            if end > now {
                return Some(Period { start_secs: seconds(start), end_secs: seconds(end) });
            }
            start = end;
        }
    }

    fn beginning(self, unit: Unit, anchor: Anchor) -> Option<Beginning> {
        match anchor {
            Anchor::Calendar => Some(Beginning { unit, day: 1, time: Time::midnight() }),
            Anchor::Subscription => {
                let subscribed = self.zone.rules().to_datetime(timestamp(self.subscribed_at_secs)?);
                Some(Beginning { unit, day: subscribed.day(), time: subscribed.time() })
            }
        }
    }

    /// The first instant at which the zone's clock shows `local` or a later time.
    fn first_instant(self, local: DateTime) -> Option<Timestamp> {
        let rules = self.zone.rules();
        match rules.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok(),
            // It shows none of the gap's times: the first later one is what it shows when the gap is crossed.
            AmbiguousOffset::Gap { before, after } => {
                let earlier = after.to_timestamp(local).ok()?;
                let crossed = rules.following(earlier).next().map(|transition| transition.timestamp());
                crossed.or_else(|| before.to_timestamp(local).ok())
            }
        }
    }
}

impl Beginning {
    /// The date that names the period which begins on `date`'s day, or in its month.
    fn step_of(&self, date: Date) -> Date {
        match self.unit {
            Unit::Day => date,
            Unit::Month => date.first_of_month(),
        }
    }

    fn of(&self, step: Date) -> Option<DateTime> {
        let date = match self.unit {
            Unit::Day => step,
            Unit::Month => Date::new(step.year(), step.month(), self.day.min(step.days_in_month())).ok()?,
        };
        Some(date.to_datetime(self.time))
    }

    fn step_after(&self, step: Date) -> Option<Date> {
        step.checked_add(self.unit.span()).ok()
    }

    fn step_before(&self, step: Date) -> Option<Date> {
        step.checked_sub(self.unit.span()).ok()
    }
}

impl Unit {
    pub const fn nominal_secs(self) -> u64 {
        match self {
            Self::Day => 86_400,
            Self::Month => 30 * 86_400,
        }
    }

    fn span(self) -> jiff::Span {
        match self {
            Self::Day => 1.day(),
            Self::Month => 1.month(),
        }
    }
}

fn timestamp(secs: u64) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(secs).ok()?).ok()
}

/// Periods that began before the epoch began with it.
fn seconds(timestamp: Timestamp) -> u64 {
    u64::try_from(timestamp.as_second()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
