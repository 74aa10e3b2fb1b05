//! Wall-clock time as the core sees it, and the civil calendar in UTC.
//!
//! The conversions are Howard Hinnant's `days_from_civil` and `civil_from_days`
//! (<https://howardhinnant.github.io/date_algorithms.html>): a few integer operations, because reset times are
//! written into every response.

use std::time::Duration;

use serde::{Deserialize, Serialize};

const MICROS_PER_SECOND: u64 = 1_000_000;
const SECONDS_PER_DAY: u64 = 86_400;

/// Microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMicros(pub u64);

impl UnixMicros {
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(MICROS_PER_SECOND))
    }

    pub const fn secs(self) -> u64 {
        self.0 / MICROS_PER_SECOND
    }

    /// The whole second at or after this instant.
    pub const fn secs_ceil(self) -> u64 {
        self.0.div_ceil(MICROS_PER_SECOND)
    }

    pub const fn millis_of_second(self) -> u64 {
        self.0 % MICROS_PER_SECOND / 1_000
    }

    /// Zero where `earlier` is later: clocks step backwards.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    #[must_use]
    pub const fn after(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// What a clock says now that is so many microseconds ahead of this one; behind it where that is negative.
    #[must_use]
    pub const fn ahead_by(self, micros: i64) -> Self {
        Self(self.0.saturating_add_signed(micros))
    }
}

/// A date of the proleptic Gregorian calendar, at or after 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CivilDate {
    pub year: u64,
    /// 1 to 12.
    pub month: u64,
    /// 1 to 31.
    pub day: u64,
}

impl CivilDate {
    pub const fn from_unix_day(day: u64) -> Self {
        let shifted = day + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + (month <= 2) as u64;
        Self { year, month, day }
    }
}

/// `2026-01-25T14:32:00Z` (RFC 3339). Years past 9999 show as 9999: the text has a fixed width.
pub fn rfc3339(secs: u64) -> [u8; 20] {
    let date = CivilDate::from_unix_day(secs / SECONDS_PER_DAY);
    let second_of_day = secs % SECONDS_PER_DAY;
    let year = date.year.min(9_999);
    let mut text = *b"0000-00-00T00:00:00Z";
    put_two(&mut text, 0, year / 100);
    put_two(&mut text, 2, year % 100);
    put_two(&mut text, 5, date.month);
    put_two(&mut text, 8, date.day);
    put_two(&mut text, 11, second_of_day / 3_600);
    put_two(&mut text, 14, second_of_day / 60 % 60);
    put_two(&mut text, 17, second_of_day % 60);
    text
}

/// `Sun, 25 Jan 2026 14:32:00 GMT`, the `IMF-fixdate` of RFC 9110 section 5.6.7. Years past 9999 show as 9999.
pub fn imf_fixdate(secs: u64) -> [u8; 29] {
    // The epoch was a Thursday.
    const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
    const MONTHS: [&[u8; 3]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let day = secs / SECONDS_PER_DAY;
    let date = CivilDate::from_unix_day(day);
    let second_of_day = secs % SECONDS_PER_DAY;
    let year = date.year.min(9_999);
    let mut text = *b"Thu, 00 Jan 0000 00:00:00 GMT";
    put_name(&mut text, 0, &DAYS, day % 7);
    put_two(&mut text, 5, date.day);
    put_name(&mut text, 8, &MONTHS, date.month - 1);
    put_two(&mut text, 12, year / 100);
    put_two(&mut text, 14, year % 100);
    put_two(&mut text, 17, second_of_day / 3_600);
    put_two(&mut text, 20, second_of_day / 60 % 60);
    put_two(&mut text, 23, second_of_day % 60);
    text
}

fn put_name(text: &mut [u8], at: usize, names: &[&[u8; 3]], index: u64) {
    if let Some(name) = usize::try_from(index).ok().and_then(|index| names.get(index)) {
        text[at..at + 3].copy_from_slice(*name);
    }
}

/// `00` to `99`, one after the other: a table look-up is cheaper than two divisions.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut value = 0u8;
    while value < 100 {
        pairs[value as usize] = [b'0' + value / 10, b'0' + value % 10];
        value += 1;
    }
    pairs
};

fn put_two(text: &mut [u8], at: usize, value: u64) {
    if let Some(pair) = usize::try_from(value).ok().and_then(|value| PAIRS.get(value)) {
        text[at..at + 2].copy_from_slice(pair);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn dates_agree_with_jiff(secs in 0u64..253_402_300_799) {
            let timestamp = jiff::Timestamp::from_second(i64::try_from(secs).unwrap()).unwrap();
            let text = rfc3339(secs);
            prop_assert_eq!(std::str::from_utf8(&text).unwrap(), timestamp.to_string());
            let http = timestamp.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            let text = imf_fixdate(secs);
            prop_assert_eq!(std::str::from_utf8(&text).unwrap(), http);
        }
    }

    #[test]
    fn a_clock_that_steps_back_yields_no_elapsed_time() {
        assert_eq!(UnixMicros(5).since(UnixMicros(9)), Duration::ZERO);
    }
}
