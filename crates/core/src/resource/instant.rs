//! Instants as they are written: RFC 3339.

use jiff::Timestamp;
use jiff::fmt::temporal::Pieces;

/// Seconds since the epoch of a date and time with a zone, such as `2027-01-31T00:00:00Z`.
pub(super) fn parse_instant(text: &str) -> Result<u64, &'static str> {
    let pieces = Pieces::parse(text).ok().filter(|pieces| pieces.time().is_some());
    let offset = pieces.and_then(|pieces| pieces.to_numeric_offset());
    // Offsets are of less than a day (RFC 3339 section 5.6).
    if offset.is_none_or(|offset| offset.seconds().abs() >= 86_400) {
        return Err("must be a date and time with a zone, such as 2027-01-31T00:00:00Z");
    }
    let timestamp: Timestamp =
        text.parse().map_err(|_| "must be after 1970 and before 9999-12-30T22:00:00Z")?;
    u64::try_from(timestamp.as_second()).map_err(|_| "must be after 1970")
}

/// The snapshot keeps these in four bytes a key.
pub(super) fn parse_subscription(text: &str) -> Result<u64, &'static str> {
    match parse_instant(text)? {
        secs if u32::try_from(secs).is_ok() => Ok(secs),
        _ => Err("must be before 2106"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_instant_is_told_from_one_that_is_out_of_range() {
        for (text, expected) in [
            ("2027-01-31T00:00:00Z", Ok(1_801_353_600)),
            ("9999-12-30T21:59:59Z", Ok(253_402_207_199)),
            ("9999-12-31T23:59:59Z", Err("must be after 1970 and before 9999-12-30T22:00:00Z")),
            ("1969-12-31T23:59:59Z", Err("must be after 1970")),
            (
                "2027-02-30T00:00:00Z",
                Err("must be a date and time with a zone, such as 2027-01-31T00:00:00Z"),
            ),
            ("2027-01-31T23:59:00+23:59", Ok(1_801_353_600)),
            (
                "2027-01-31T00:00:00+24:00",
                Err("must be a date and time with a zone, such as 2027-01-31T00:00:00Z"),
            ),
            ("2027-01-31", Err("must be a date and time with a zone, such as 2027-01-31T00:00:00Z")),
            ("2027-01-31T00:00:00", Err("must be a date and time with a zone, such as 2027-01-31T00:00:00Z")),
        ] {
            assert_eq!(parse_instant(text), expected, "{text}");
        }
    }
}
