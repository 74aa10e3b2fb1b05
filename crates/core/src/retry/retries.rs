//! How a request goes out again, where both its service and its route have a say.

use std::time::Duration;

use super::{Again, Elsewhere, Failed, Repeatable, Replay, RetryRules, Sent, Withdrawal};

/// Of what a target may ask for. Whoever would have to wait for longer is better off with the answer that there is.
const LONGEST_ASKED_FOR: Duration = Duration::from_mins(1);

/// What holds for one request: it may go out again at all.
#[derive(Debug, Clone, Copy)]
pub struct Retries<'r> {
    pub rules: &'r RetryRules,
    /// Besides the first.
    attempts: u32,
}

impl<'r> Retries<'r> {
    /// `None` where the request goes out once. The number of the route goes before that of the service, and has the
    /// usual rules with it where the service has none.
    pub fn of(service: Option<&'r RetryRules>, route: Option<u8>) -> Option<Self> {
        const USUAL: &RetryRules = &RetryRules::DEFAULT;
        match (service, route) {
            (_, Some(0)) => None,
            (rules, Some(attempts)) => {
                Some(Self { rules: rules.unwrap_or(USUAL), attempts: attempts.into() })
            }
            (rules, None) => rules.map(|rules| Self { rules, attempts: rules.attempts }),
        }
    }

    /// Whether it may go out again at all: elsewhere, or to the same target.
    pub fn allow(&self, failed: &Failed, elsewhere: Elsewhere) -> bool {
        let is_safe = failed.sent == Sent::Nothing || failed.method == Repeatable::Idempotent;
        let is_worth_it = self.rules.causes.contain(failed.cause);
        let is_free = failed.is_free(elsewhere) && self.attempts > 0;
        is_safe
            && (is_free || failed.attempts <= self.attempts)
            && is_worth_it
            && failed.body == Replay::Possible
    }

    /// The budget is asked last: what is not sent again takes nothing out of it, nor does what is free.
    pub fn decide(
        &self,
        failed: &Failed,
        elsewhere: Elsewhere,
        random: u64,
        withdraw: impl FnOnce() -> Withdrawal,
    ) -> Again {
        if !self.allow(failed, elsewhere) {
            return Again::No;
        }
        if failed.is_free(elsewhere) {
            let has_time = failed.remaining.is_none_or(|remaining| !remaining.is_zero());
            return if has_time { Again::AtOnce } else { Again::No };
        }
        let asked_for = match elsewhere {
            // It was said of the one target alone.
            Elsewhere::Yes => Duration::ZERO,
            Elsewhere::No => failed.retry_after.unwrap_or_default(),
        };
        if asked_for > LONGEST_ASKED_FOR {
            return Again::No;
        }
        let wait = self.rules.backoff.wait(failed.attempts, random).max(asked_for);
        if failed.remaining.is_some_and(|remaining| wait >= remaining) {
            return Again::No;
        }
        match withdraw() {
            Withdrawal::Granted => Again::After(wait),
            Withdrawal::Refused => Again::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::cause::{Cause, CausePattern, Causes};

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
        remaining: None,
    };

    fn decide(failed: &Failed, elsewhere: Elsewhere, withdraw: impl FnOnce() -> Withdrawal) -> Again {
        Retries::of(Some(&rules()), None).unwrap().decide(failed, elsewhere, 3, withdraw)
    }

    fn goes_again(failed: Failed) -> bool {
        let is_allowed = Retries::of(Some(&rules()), None).unwrap().allow(&failed, Elsewhere::Yes);
        let goes = decide(&failed, Elsewhere::Yes, || Withdrawal::Granted) != Again::No;
        assert_eq!(goes, is_allowed, "nobody is picked for a request that goes nowhere");
        goes
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
    fn who_is_refused_goes_on_to_the_next_at_once_in_no_attempt_s_place() {
        let refused = Failed { sent: Sent::Nothing, cause: Cause::Refused, attempts: 9, ..RESET };
        let nothing_withdrawn = || -> Withdrawal { panic!("asked for") };
        assert_eq!(decide(&refused, Elsewhere::Yes, nothing_withdrawn), Again::AtOnce);
        let post = Failed { method: Repeatable::NotIdempotent, ..refused };
        assert_eq!(decide(&post, Elsewhere::Yes, nothing_withdrawn), Again::AtOnce);
        for no in [
            Failed { remaining: Some(Duration::ZERO), ..refused },
            Failed { body: Replay::Impossible, ..refused },
        ] {
            assert_eq!(decide(&no, Elsewhere::Yes, nothing_withdrawn), Again::No);
        }
        // At the same target it is an attempt like any other.
        assert_eq!(decide(&refused, Elsewhere::No, nothing_withdrawn), Again::No);
        let first = Failed { attempts: 1, ..refused };
        assert!(matches!(decide(&first, Elsewhere::No, || Withdrawal::Granted), Again::After(_)));
        // Who wants no retries gets none.
        let never = RetryRules { attempts: 0, ..rules() };
        let retries = Retries::of(Some(&never), None).unwrap();
        assert!(!retries.allow(&first, Elsewhere::Yes));
    }

    #[test]
    fn the_number_of_the_route_goes_before_that_of_the_service() {
        let most = |service: Option<&RetryRules>, route| {
            let retries = Retries::of(service, route)?;
            let goes = |attempts: &u32| {
                let failed = Failed { attempts: *attempts, ..RESET };
                retries.decide(&failed, Elsewhere::Yes, 1, || Withdrawal::Granted) != Again::No
            };
            Some((1..20).take_while(goes).count())
        };
        let rules = rules();
        assert_eq!(most(Some(&rules), None), Some(2));
        assert_eq!(most(Some(&rules), Some(5)), Some(5));
        assert_eq!(most(Some(&rules), Some(1)), Some(1));
        assert_eq!(most(Some(&rules), Some(0)), None);
        assert_eq!((most(None, None), most(None, Some(0))), (None, None));
        assert_eq!(most(None, Some(3)), Some(3), "with the usual rules");
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
        let wait = |failed: Failed, elsewhere| match decide(&failed, elsewhere, || Withdrawal::Granted) {
            Again::After(wait) => Some(wait),
            Again::AtOnce | Again::No => None,
        };
        assert!(wait(busy, Elsewhere::Yes).unwrap() < Duration::from_secs(1));
        assert_eq!(wait(busy, Elsewhere::No), Some(Duration::from_secs(5)));
        assert_eq!(wait(Failed { remaining: Some(Duration::from_secs(4)), ..busy }, Elsewhere::No), None);
    }

    #[test]
    fn a_target_that_asks_for_more_than_a_minute_is_not_waited_for() {
        let asking = |wait, elsewhere| {
            decide(&Failed { retry_after: Some(wait), ..RESET }, elsewhere, || Withdrawal::Granted)
        };
        assert_ne!(asking(Duration::from_mins(1), Elsewhere::No), Again::No);
        assert_eq!(asking(Duration::from_secs(61), Elsewhere::No), Again::No);
        assert_eq!(asking(Duration::MAX, Elsewhere::No), Again::No);
        assert_ne!(asking(Duration::MAX, Elsewhere::Yes), Again::No);
    }

    #[test]
    fn what_is_not_sent_again_takes_nothing_out_of_the_budget() {
        let failed = Failed { cause: Cause::Timeout, ..RESET };
        assert_eq!(decide(&failed, Elsewhere::Yes, || panic!("asked for")), Again::No);
        assert_eq!(decide(&RESET, Elsewhere::Yes, || Withdrawal::Refused), Again::No);
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
            let rules = rules();
            let retries = Retries::of(Some(&rules), None).unwrap();
            if let Again::After(wait) = retries.decide(&failed, Elsewhere::Yes, random, || Withdrawal::Granted) {
                prop_assert!(wait < remaining);
                prop_assert!(wait <= Duration::from_millis(25 << (attempts - 1)));
            }
        }
    }
}
