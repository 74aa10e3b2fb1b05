//! How often a password may be guessed: failures are counted per user and per client's network, so that nobody can
//! lock a user out from elsewhere.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tollgate_core::address::client_network;

/// Guesses of keys are counted under this name, which no user can have.
pub const API_KEYS: &str = "an API key";

const USUALLY_ALLOWED: u32 = 10;
const PERIOD: Duration = Duration::from_mins(5);
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Whoever comes when there are so many takes the place of another. To be forgotten early by it, one has to guess from
/// as many networks, or for as many names.
const MOST_GUESSERS: usize = 20_000;

type Guesser = (String, Option<IpAddr>);

#[derive(Debug)]
pub struct Throttle {
    /// Failures in a period.
    allowed: u32,
    guessers: Mutex<Guessers>,
}

#[derive(Debug, Default)]
struct Guessers {
    failures: HashMap<Guesser, Failures>,
    /// Those that are over were looked for then.
    swept_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    since: Instant,
    count: u32,
    /// Attempts of which it is not known yet whether they fail.
    open: u32,
}

/// An attempt under way; dropped, it has failed.
#[derive(Debug)]
pub struct Attempt<'t> {
    throttle: &'t Throttle,
    guesser: Guesser,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy)]
enum Outcome {
    Failed,
    Succeeded,
    Withdrawn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many failed attempts: try again in {retry_after_secs} seconds")]
pub struct TooManyFailures {
    pub retry_after_secs: u64,
}

impl Default for Throttle {
    fn default() -> Self {
        Self::allowing(USUALLY_ALLOWED)
    }
}

impl Throttle {
    pub fn allowing(failures: u32) -> Self {
        Self { allowed: failures, guessers: Mutex::default() }
    }

    /// Lets an attempt begin. Those under way count until they end, so that no more are made at the same time than may fail;
    /// who comes too early for that alone may come again soon. By a clock that nobody sets: put back, it would keep people
    /// out for as long.
    pub fn begin(
        &self,
        username: &str,
        peer: Option<IpAddr>,
        now: Instant,
    ) -> Result<Attempt<'_>, TooManyFailures> {
        let guesser = (username.to_ascii_lowercase(), peer.map(client_network));
        let mut guessers = self.guessers();
        let entry = guessers.entry(&guesser, now);
        if entry.is_over(now) {
            *entry = Failures::since(now, entry.open);
        }
        if entry.count >= self.allowed {
            return Err(TooManyFailures { retry_after_secs: entry.retry_after_secs(now) });
        }
        if entry.count + entry.open >= self.allowed {
            return Err(TooManyFailures { retry_after_secs: 1 });
        }
        entry.open += 1;
        drop(guessers);
        Ok(Attempt { throttle: self, guesser, outcome: Outcome::Failed })
    }

    /// Counts what has failed already.
    pub fn fail(&self, username: &str, peer: Option<IpAddr>, now: Instant) -> Result<(), TooManyFailures> {
        self.begin(username, peer, now).map(drop)
    }

    fn guessers(&self) -> MutexGuard<'_, Guessers> {
        self.guessers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guessers {
    fn entry(&mut self, guesser: &Guesser, now: Instant) -> &mut Failures {
        if self.failures.len() >= MOST_GUESSERS && !self.failures.contains_key(guesser) {
            self.make_room(now);
        }
        self.failures.entry(guesser.clone()).or_insert(Failures::since(now, 0))
    }

    /// All are looked at once a second at most: under a flood nobody should wait for that.
    fn make_room(&mut self, now: Instant) {
        let is_due = |swept_at| now.saturating_duration_since(swept_at) >= SWEEP_EVERY;
        if self.swept_at.is_none_or(is_due) {
            self.swept_at = Some(now);
            self.failures.retain(|_, failures| failures.open > 0 || !failures.is_over(now));
        }
        if self.failures.len() >= MOST_GUESSERS {
            let idle = self.failures.iter().find(|(_, failures)| failures.open == 0);
            if let Some(idle) = idle.map(|(guesser, _)| guesser.clone()) {
                self.failures.remove(&idle);
            }
        }
    }
}

impl Attempt<'_> {
    /// The failures before are forgotten.
    pub fn succeed(mut self) {
        self.outcome = Outcome::Succeeded;
    }

    /// It says nothing: the failures before stay as they are.
    pub fn withdraw(mut self) {
        self.outcome = Outcome::Withdrawn;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut guessers = self.throttle.guessers();
        let Some(entry) = guessers.failures.get_mut(&self.guesser) else { return };
        entry.open = entry.open.saturating_sub(1);
        entry.count = match self.outcome {
            Outcome::Failed => entry.count + 1,
            Outcome::Succeeded => 0,
            Outcome::Withdrawn => entry.count,
        };
        if entry.count == 0 && entry.open == 0 {
            guessers.failures.remove(&self.guesser);
        }
    }
}

impl Failures {
    const fn since(now: Instant, open: u32) -> Self {
        Self { since: now, count: 0, open }
    }

    fn is_over(self, now: Instant) -> bool {
        self.age(now) >= PERIOD
    }

    fn retry_after_secs(self, now: Instant) -> u64 {
        let rest = PERIOD.saturating_sub(self.age(now));
        (rest.as_secs() + u64::from(rest.subsec_nanos() > 0)).max(1)
    }

    fn age(self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds_from_now() -> impl Fn(u64) -> Instant {
        let start = Instant::now();
        move |after_secs| start + Duration::from_secs(after_secs)
    }

    #[test]
    fn guessing_is_stopped_for_a_while_and_for_that_peer_alone() {
        let throttle = Throttle::default();
        let at = seconds_from_now();
        let (here, there) = (Some([10, 0, 0, 1].into()), Some([10, 0, 0, 2].into()));
        for _ in 0..USUALLY_ALLOWED {
            assert_eq!(throttle.fail("Ann", here, at(0)), Ok(()));
        }
        assert_eq!(throttle.fail("ann", here, at(100)), Err(TooManyFailures { retry_after_secs: 200 }));
        assert_eq!(throttle.fail("ann", there, at(100)), Ok(()));
        assert_eq!(throttle.fail("bob", here, at(100)), Ok(()));
        assert_eq!(throttle.fail("ann", here, at(300)), Ok(()));
    }

    #[test]
    fn a_host_s_ipv6_addresses_are_one_guesser() {
        let throttle = Throttle::default();
        let at = seconds_from_now();
        let host = |last: u16| Some([0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into());
        for last in 1..=10 {
            assert_eq!(throttle.fail("ann", host(last), at(0)), Ok(()));
        }
        assert_eq!(throttle.fail("ann", host(11), at(0)), Err(TooManyFailures { retry_after_secs: 300 }));
        assert_eq!(throttle.fail("ann", Some([0x2001, 0xdb8, 0, 1, 0, 0, 0, 1].into()), at(0)), Ok(()));
    }

    #[test]
    fn however_many_guess_no_more_are_remembered_than_have_room() {
        let throttle = Throttle::default();
        let at = seconds_from_now();
        let under_way = throttle.begin("ann", None, at(0)).unwrap();
        for number in 0..MOST_GUESSERS + 1_000 {
            assert_eq!(throttle.fail(&number.to_string(), None, at(0)), Ok(()));
        }
        assert_eq!(throttle.guessers().failures.len(), MOST_GUESSERS);
        drop(under_way);
        assert_eq!(throttle.guessers().failures[&("ann".to_owned(), None)].count, 1);
        // Those whose time is over go first.
        assert_eq!(throttle.fail("bob", None, at(300)), Ok(()));
        assert_eq!(throttle.guessers().failures.len(), 1);
    }

    #[test]
    fn signing_in_forgets_the_failures() {
        let throttle = Throttle::default();
        let at = seconds_from_now();
        for _ in 0..3 {
            for _ in 1..USUALLY_ALLOWED {
                assert_eq!(throttle.fail("ann", None, at(0)), Ok(()));
            }
            throttle.begin("ann", None, at(0)).unwrap().succeed();
        }
        assert!(throttle.guessers().failures.is_empty());
    }

    #[test]
    fn attempts_under_way_are_no_failures_and_no_more_than_may_fail() {
        let throttle = Throttle::default();
        let at = seconds_from_now();
        let begin = || throttle.begin("ann", None, at(0));
        let open: Vec<Attempt<'_>> = (0..USUALLY_ALLOWED).map(|_| begin().unwrap()).collect();
        assert_eq!(begin().unwrap_err(), TooManyFailures { retry_after_secs: 1 });
        open.into_iter().for_each(Attempt::succeed);
        let open: Vec<Attempt<'_>> = (0..USUALLY_ALLOWED).map(|_| begin().unwrap()).collect();
        drop(open);
        assert_eq!(begin().unwrap_err(), TooManyFailures { retry_after_secs: 300 });
    }
}
