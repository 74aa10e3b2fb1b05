//! How often a password may be guessed: failures are counted per user and per peer address, so that nobody can
//! lock a user out from elsewhere.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Guesses of keys are counted under this name, which no user can have.
pub const API_KEYS: &str = "an API key";

const FAILURES_ALLOWED: u32 = 10;
const PERIOD_SECS: u64 = 300;
/// Above this many entries the ones that are over are swept out, so that memory stays bounded by the period.
const SWEEP_ABOVE: usize = 10_000;

type Guesser = (String, Option<IpAddr>);

#[derive(Debug, Default)]
pub struct Throttle(Mutex<HashMap<Guesser, Failures>>);

#[derive(Debug, Clone, Copy)]
struct Failures {
    since_secs: u64,
    count: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many failed attempts: try again in {retry_after_secs} seconds")]
pub struct TooManyFailures {
    pub retry_after_secs: u64,
}

impl Throttle {
    /// Counts an attempt as failed until [`Throttle::forgive`] says that it was not; so attempts made at
    /// the same time are all counted.
    pub fn attempt(
        &self,
        username: &str,
        peer: Option<IpAddr>,
        now_secs: u64,
    ) -> Result<(), TooManyFailures> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() > SWEEP_ABOVE {
            entries.retain(|_, failures| !failures.is_over(now_secs));
        }
        let entry = entries
            .entry((username.to_ascii_lowercase(), peer))
            .or_insert(Failures { since_secs: now_secs, count: 0 });
        if entry.is_over(now_secs) {
            *entry = Failures { since_secs: now_secs, count: 0 };
        }
        if entry.count >= FAILURES_ALLOWED {
            let ends_secs = entry.since_secs + PERIOD_SECS;
            return Err(TooManyFailures { retry_after_secs: ends_secs.saturating_sub(now_secs).max(1) });
        }
        entry.count += 1;
        Ok(())
    }

    pub fn forgive(&self, username: &str, peer: Option<IpAddr>) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.remove(&(username.to_ascii_lowercase(), peer));
    }
}

impl Failures {
    const fn is_over(self, now_secs: u64) -> bool {
        now_secs >= self.since_secs + PERIOD_SECS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_is_stopped_for_a_while_and_for_that_peer_alone() {
        let throttle = Throttle::default();
        let (here, there) = (Some([10, 0, 0, 1].into()), Some([10, 0, 0, 2].into()));
        for _ in 0..FAILURES_ALLOWED {
            assert_eq!(throttle.attempt("Ann", here, 1_000), Ok(()));
        }
        assert_eq!(throttle.attempt("ann", here, 1_100), Err(TooManyFailures { retry_after_secs: 200 }));
        assert_eq!(throttle.attempt("ann", there, 1_100), Ok(()));
        assert_eq!(throttle.attempt("bob", here, 1_100), Ok(()));
        assert_eq!(throttle.attempt("ann", here, 1_300), Ok(()));
    }

    #[test]
    fn signing_in_forgets_the_failures() {
        let throttle = Throttle::default();
        for _ in 0..3 * FAILURES_ALLOWED {
            assert_eq!(throttle.attempt("ann", None, 1_000), Ok(()));
            throttle.forgive("ann", None);
        }
    }
}
