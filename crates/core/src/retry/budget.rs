//! How many requests may go out again, as a share of those that come: when everything fails, retries must not be the
//! load that keeps it down. Finagle's retry budget (<https://twitter.github.io/finagle/guide/Clients.html#retries>),
//! which linkerd has as well.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::tally::Tally;
use crate::uptime::Uptime;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetRules {
    /// Retries for a hundred requests of the window.
    pub percent: u32,
    /// Retries of a window that are permitted however few requests there are, unless the share is none.
    pub minimum: u32,
    pub window: Duration,
}

impl BudgetRules {
    pub const DEFAULT: Self = Self { percent: 20, minimum: 3, window: Duration::from_secs(10) };
}

/// One service's, in one worker: the shares of the workers make up the share of all.
#[derive(Debug, Default)]
pub struct Budget {
    /// Requests, and retries.
    tally: Tally,
}

impl Budget {
    pub fn deposit(&mut self, rules: &BudgetRules, now: Uptime) {
        self.tally.add([1, 0], rules.window, now);
    }

    /// Takes one retry out, if there is one.
    pub fn withdraw(&mut self, rules: &BudgetRules, now: Uptime) -> Withdrawal {
        let [requests, retries] = self.tally.sums(rules.window, now);
        let minimum = if rules.percent == 0 { 0 } else { rules.minimum };
        let permitted = (requests * u64::from(rules.percent) / 100).max(minimum.into());
        if retries >= permitted {
            return Withdrawal::Refused;
        }
        self.tally.add([0, 1], rules.window, now);
        Withdrawal::Granted
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawal {
    Granted,
    Refused,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn few_requests_may_be_retried_all_the_same() {
        let mut budget = Budget::default();
        budget.deposit(&BudgetRules::DEFAULT, Uptime(0));
        let granted = |_: &u32| budget.withdraw(&BudgetRules::DEFAULT, Uptime(0)) == Withdrawal::Granted;
        assert_eq!((0..10u32).filter(granted).count(), 3);
    }

    #[test]
    fn a_share_of_nothing_is_nothing() {
        let (mut budget, rules) = (Budget::default(), BudgetRules { percent: 0, ..BudgetRules::DEFAULT });
        budget.deposit(&rules, Uptime(0));
        assert_eq!(budget.withdraw(&rules, Uptime(0)), Withdrawal::Refused);
    }

    #[test]
    fn the_budget_is_back_a_window_later() {
        let mut budget = Budget::default();
        while budget.withdraw(&BudgetRules::DEFAULT, Uptime::from_secs(1)) == Withdrawal::Granted {}
        assert_eq!(budget.withdraw(&BudgetRules::DEFAULT, Uptime::from_secs(8)), Withdrawal::Refused);
        assert_eq!(budget.withdraw(&BudgetRules::DEFAULT, Uptime::from_secs(11)), Withdrawal::Granted);
    }

    proptest! {
        /// Each request is tried again until it is refused, or one attempt has succeeded.
        #[test]
        fn retries_are_at_most_the_stated_share(
            requests in prop::collection::vec((0u64..50, 0usize..4), 1..500),
            percent in 0u32..100,
        ) {
            let rules = BudgetRules { percent, ..BudgetRules::DEFAULT };
            let (mut budget, mut now) = (Budget::default(), Uptime::from_secs(1));
            let (mut came, mut retried) = (0u32, 0u32);
            for (millis, failures) in requests {
                now = now.after(Duration::from_millis(millis));
                budget.deposit(&rules, now);
                came += 1;
                for _ in 0..failures {
                    retried += u32::from(budget.withdraw(&rules, now) == Withdrawal::Granted);
                }
                // All of this lies in 25 seconds: three windows and what each permits anyway.
                prop_assert!(retried <= came * percent / 100 + 3 * rules.minimum + came * percent / 100);
            }
        }
    }
}
