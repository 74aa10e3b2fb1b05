//! The one place where the control plane reads the clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tollgate_core::time::{UnixMicros, rfc3339};
use tollgate_core::uptime::micros;

pub fn now() -> UnixMicros {
    // A clock before 1970 is a clock that is not set.
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(micros(since_epoch))
}

pub fn now_secs() -> u64 {
    now().secs()
}

/// RFC 3339, in UTC.
pub fn timestamp(secs: u64) -> String {
    rfc3339(secs).into_iter().map(char::from).collect()
}

/// For ages and waits: a clock that is set changes none of them.
pub fn instant() -> Instant {
    Instant::now()
}
