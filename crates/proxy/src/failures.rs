//! How often a client may fail to prove who it is: guessing is slowed down by address, and costs no memory.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ahash::RandomState;
use tollgate_core::address::client_network;
use tollgate_core::uptime::micros;

const MINUTE_MICROS: u64 = 60_000_000;
/// Addresses share these by their hashes, under a key that nobody knows: an address that fails meets one that
/// does so at the same time once in as many.
const SLOTS: usize = 1 << 16;

/// A leaky bucket for each client address, as the generic cell rate algorithm counts it: one number, the instant
/// at which the bucket is empty again (ITU-T I.371, annex A).
pub(crate) struct FailedCredentials {
    /// Failures in a minute, and at once; no limit where `None`.
    a_minute: Option<NonZeroU32>,
    hasher: RandomState,
    /// Counted from here, not by the wall clock: set back, that would make a bucket of one failure a full one.
    started: Instant,
    /// In microseconds since `started`. Made at the first failure.
    empty_at: OnceLock<Box<[AtomicU64]>>,
}

/// The client has failed too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyFailures {
    pub retry_after_secs: u64,
}

impl FailedCredentials {
    pub fn new(a_minute: Option<NonZeroU32>) -> Self {
        Self { a_minute, hasher: RandomState::new(), started: Instant::now(), empty_at: OnceLock::new() }
    }

    /// Counts a failure, unless there were too many. Who succeeds is never asked.
    pub fn note(&self, client: IpAddr, now: Instant) -> Result<(), TooManyFailures> {
        let Some(a_minute) = self.a_minute else { return Ok(()) };
        let drop_micros = MINUTE_MICROS / u64::from(a_minute.get());
        let now = micros(now.saturating_duration_since(self.started));
        let filled_from = |empty_at: u64| empty_at.max(now);
        let has_room = |filled_from: u64| filled_from + drop_micros <= now + MINUTE_MICROS;
        let counted = self.slot(client).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |empty_at| {
            let filled_from = filled_from(empty_at);
            has_room(filled_from).then(|| filled_from + drop_micros)
        });
        counted.map(|_| ()).map_err(|empty_at| {
            let wait_micros = (filled_from(empty_at) + drop_micros).saturating_sub(now + MINUTE_MICROS);
            TooManyFailures { retry_after_secs: wait_micros.div_ceil(1_000_000).max(1) }
        })
    }

    fn slot(&self, client: IpAddr) -> &AtomicU64 {
        let slots = self.empty_at.get_or_init(|| (0..SLOTS).map(|_| AtomicU64::new(0)).collect());
        let hash = self.hasher.hash_one(client_network(client));
        let index = hash % SLOTS as u64;
        &slots[usize::try_from(index).unwrap_or_default()]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn failures(a_minute: u32) -> FailedCredentials {
        FailedCredentials::new(NonZeroU32::new(a_minute))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn note(failures: &FailedCredentials, client: &str, after_micros: u64) -> Result<(), u64> {
        let now = failures.started + Duration::from_micros(after_micros);
        failures.note(ip(client), now).map_err(|too_many| too_many.retry_after_secs)
    }

    #[test]
    fn a_client_may_fail_so_often_at_once_and_then_as_time_passes() {
        let failures = failures(3);
        for _ in 0..3 {
            assert_eq!(note(&failures, "192.0.2.1", 0), Ok(()));
        }
        assert_eq!(note(&failures, "192.0.2.1", 0), Err(20));
        assert_eq!(note(&failures, "192.0.2.1", 19_999_999), Err(1));
        assert_eq!(note(&failures, "192.0.2.1", 20_000_000), Ok(()));
        assert_eq!(note(&failures, "192.0.2.1", 20_000_000), Err(20));
        assert_eq!(note(&failures, "192.0.2.1", 600_000_000), Ok(()));
    }

    #[test]
    fn a_host_s_ipv6_addresses_are_one_client() {
        let failures = failures(1);
        assert_eq!(note(&failures, "2001:db8::1", 0), Ok(()));
        assert_eq!(note(&failures, "2001:db8::ffff:2", 0), Err(60));
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let failures = FailedCredentials::new(None);
        for _ in 0..1_000 {
            assert_eq!(note(&failures, "192.0.2.1", 0), Ok(()));
        }
        assert!(failures.empty_at.get().is_none());
    }
}
