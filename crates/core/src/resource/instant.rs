//! Instants as they are written: RFC 3339.

use jiff::Timestamp;

/// Seconds since the epoch of a date and time with a zone, such as `2027-01-31T00:00:00Z`.
pub(super) fn parse_instant(text: &str) -> Result<u64, &'static str> {
    let timestamp: Timestamp =
        text.parse().map_err(|_| "must be a date and time with a zone, such as 2027-01-31T00:00:00Z")?;
    u64::try_from(timestamp.as_second()).map_err(|_| "must be after 1970")
}

/// The snapshot keeps these in four bytes a key.
pub(super) fn parse_subscription(text: &str) -> Result<u64, &'static str> {
    match parse_instant(text)? {
        secs if u32::try_from(secs).is_ok() => Ok(secs),
        _ => Err("must be before 2106"),
    }
}
