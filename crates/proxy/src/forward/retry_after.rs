//! When a target wants to be asked again: `Retry-After`, seconds or a date (RFC 9110 section 10.2.3).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tollgate_core::time::UnixMicros;
use tollgate_http1::ResponseHead;

/// `None` where it does not say, or not in a way that can be understood.
pub(super) fn retry_after(response: &ResponseHead, now: UnixMicros) -> Option<Duration> {
    parse(response.fields.find(b"Retry-After")?, now)
}

/// A date is in one of the three forms of RFC 9110 section 5.6.7. One that has passed means at once.
fn parse(value: &[u8], now: UnixMicros) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim_ascii();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date: SystemTime = httpdate::parse_http_date(text).ok()?;
    let since_epoch = date.duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(since_epoch.saturating_sub(Duration::from_micros(now.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:07.5 GMT.
    const NOW: UnixMicros = UnixMicros(784_111_747_500_000);

    fn wait(value: &str) -> Option<Duration> {
        parse(value.as_bytes(), NOW)
    }

    #[test]
    fn seconds_are_as_many() {
        assert_eq!(wait("0"), Some(Duration::ZERO));
        assert_eq!(wait(" 120 "), Some(Duration::from_mins(2)));
        assert_eq!(wait("99999999999999999999999"), Some(Duration::from_secs(u64::MAX)));
    }

    #[test]
    fn a_date_in_each_of_its_forms_is_so_far_away() {
        for date in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(wait(date), Some(Duration::from_millis(29_500)), "{date}");
        }
    }

    #[test]
    fn a_date_that_has_passed_means_at_once() {
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:00 GMT"), Some(Duration::ZERO));
    }

    #[test]
    fn what_is_neither_says_nothing() {
        for value in ["", "soon", "-1", "+5", "1.5", "5 seconds", "Sun, 06 Nov 1994 08:49:37 CET"] {
            assert_eq!(wait(value), None, "{value}");
        }
        assert_eq!(parse(b"\xff", NOW), None);
    }
}
