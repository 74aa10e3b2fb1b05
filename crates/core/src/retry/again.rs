//! Whether a request that failed at one target goes out again, where to, and when.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{BodyRead, BudgetRules, Repeatable, Withdrawal};
use crate::cause::{Cause, Causes};
use crate::draws::Draws;
use crate::uptime::micros;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryRules {
    /// Besides the first.
    pub attempts: u32,
    pub causes: Causes,
    pub backoff: Backoff,
    pub budget: BudgetRules,
    /// Bodies up to this size are kept, so that they can be sent again.
    pub replay_bytes: u32,
}

/// Waits between attempts: at random, up to a bound that doubles with each ("full jitter": Brooker, Exponential backoff
/// and jitter, <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    pub base: Duration,
    pub longest: Duration,
}

/// What is known of an attempt that failed.
#[derive(Debug, Clone, Copy)]
pub struct Failed {
    pub cause: Cause,
    pub method: Repeatable,
    /// Whether any byte of the request may have reached the target.
    pub sent: Sent,
    pub body: Replay,
    /// Attempts so far.
    pub attempts: u32,
    /// What the target asked for, with a status.
    pub retry_after: Option<Duration>,
    /// Whether the next attempt would be at another target.
    pub elsewhere: Elsewhere,
    /// Until the request has to be over.
    pub remaining: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    Nothing,
    Something,
}

/// Whether the request's body can be sent from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    Possible,
    Impossible,
}

impl From<BodyRead> for Replay {
    fn from(body: BodyRead) -> Self {
        match body {
            BodyRead::Untouched => Self::Possible,
            BodyRead::Begun => Self::Impossible,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elsewhere {
    Yes,
    No,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    After(Duration),
    No,
}

impl RetryRules {
    /// Two more attempts, where no connection came about or it broke.
    pub const DEFAULT: Self = Self {
        attempts: 2,
        causes: Causes::RETRIED,
        backoff: Backoff::DEFAULT,
        budget: BudgetRules::DEFAULT,
        replay_bytes: 64 * 1_024,
    };

    /// The budget is asked last: what is not sent again takes nothing out of it.
    pub fn decide(&self, failed: &Failed, random: u64, withdraw: impl FnOnce() -> Withdrawal) -> Again {
        let is_safe = failed.sent == Sent::Nothing || failed.method == Repeatable::Idempotent;
        let has_attempts = failed.attempts <= self.attempts;
        if !(is_safe && has_attempts && self.causes.contain(failed.cause) && failed.body == Replay::Possible)
        {
            return Again::No;
        }
        let asked_for = match failed.elsewhere {
            // It was said of the one target alone.
            Elsewhere::Yes => Duration::ZERO,
            Elsewhere::No => failed.retry_after.unwrap_or_default(),
        };
        let wait = self.backoff.wait(failed.attempts, random).max(asked_for);
        if failed.remaining.is_some_and(|remaining| wait >= remaining) {
            return Again::No;
        }
        match withdraw() {
            Withdrawal::Granted => Again::After(wait),
            Withdrawal::Refused => Again::No,
        }
    }
}

impl Backoff {
    pub const DEFAULT: Self = Self { base: Duration::from_millis(25), longest: Duration::from_millis(250) };

    fn wait(self, attempts: u32, random: u64) -> Duration {
        let doublings = attempts.saturating_sub(1).min(20);
        let most = self.base.saturating_mul(1 << doublings).min(self.longest);
        Duration::from_micros(Draws::new(random).below(micros(most) + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::cause::CausePattern;

    fn rules() -> RetryRules {
        let causes = ["connect", "reset", "502", "503"].map(|text| CausePattern::parse(text).unwrap());
        RetryRules { causes: Causes::new(causes.into()), ..RetryRules::DEFAULT }
    }

    const RESET: Failed = Failed {
        cause: Cause::Reset,
        method: Repeatable::Idempotent,
        sent: Sent::Something,
        body: Replay::Possible,
        attempts: 1,
        retry_after: None,
        elsewhere: Elsewhere::Yes,
        remaining: None,
    };

    fn goes_again(failed: Failed) -> bool {
        rules().decide(&failed, 1, || Withdrawal::Granted) != Again::No
    }

    #[test]
    fn what_may_have_been_done_is_not_done_twice() {
        assert!(goes_again(RESET));
        let post = Failed { method: Repeatable::NotIdempotent, ..RESET };
        assert!(!goes_again(post));
        assert!(goes_again(Failed { sent: Sent::Nothing, cause: Cause::Connect, ..post }));
    }

    #[test]
    fn a_body_that_is_gone_is_not_sent_again() {
        assert!(!goes_again(Failed { body: Replay::Impossible, ..RESET }));
    }

    #[test]
    fn attempts_come_to_an_end() {
        assert!(goes_again(Failed { attempts: 2, ..RESET }));
        assert!(!goes_again(Failed { attempts: 3, ..RESET }));
    }

    #[test]
    fn only_the_stated_causes_are_worth_it() {
        assert!(!goes_again(Failed { cause: Cause::Timeout, ..RESET }));
        assert!(goes_again(Failed { cause: Cause::Status(503), ..RESET }));
        assert!(!goes_again(Failed { cause: Cause::Status(500), ..RESET }));
    }

    #[test]
    fn a_target_that_asks_for_time_gets_it_unless_there_is_another() {
        let busy = Failed { cause: Cause::Status(503), retry_after: Some(Duration::from_secs(5)), ..RESET };
        let wait = |failed: Failed| match rules().decide(&failed, 3, || Withdrawal::Granted) {
            Again::After(wait) => Some(wait),
            Again::No => None,
        };
        assert!(wait(busy).unwrap() < Duration::from_secs(1));
        let here = Failed { elsewhere: Elsewhere::No, ..busy };
        assert_eq!(wait(here), Some(Duration::from_secs(5)));
        assert_eq!(wait(Failed { remaining: Some(Duration::from_secs(4)), ..here }), None);
    }

    #[test]
    fn what_is_not_sent_again_takes_nothing_out_of_the_budget() {
        let failed = Failed { cause: Cause::Timeout, ..RESET };
        assert_eq!(rules().decide(&failed, 1, || panic!("asked for")), Again::No);
        assert_eq!(rules().decide(&RESET, 1, || Withdrawal::Refused), Again::No);
    }

    proptest! {
        #[test]
        fn the_wait_is_never_past_the_bound_nor_past_the_end(
            attempts in 1u32..=2,
            random: u64,
            remaining_micros in 0u64..400_000,
        ) {
            let remaining = Duration::from_micros(remaining_micros);
            let failed = Failed { attempts, remaining: Some(remaining), ..RESET };
            if let Again::After(wait) = rules().decide(&failed, random, || Withdrawal::Granted) {
                prop_assert!(wait < remaining);
                prop_assert!(wait <= Duration::from_millis(25 << (attempts - 1)));
            }
        }
    }
}
