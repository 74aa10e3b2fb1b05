//! Hedged requests: where no response has begun after as long as most take, a second copy goes to another target, and
//! whichever answers first is passed on (Dean, Barroso: The Tail at Scale, Communications of the ACM 56, 2013).

mod latencies;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use latencies::Latencies;

use crate::breaker::State;
use crate::retry::{Elsewhere, Withdrawal};
use crate::uptime::Uptime;

/// When the second copy goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HedgeRules {
    After(Duration),
    /// After what so many of a hundred requests of late took at most; not before so many are known.
    Percentile {
        percent: u32,
        minimum_samples: u32,
    },
}

/// A request that has waited that long.
#[derive(Debug, Clone, Copy)]
pub struct Late {
    /// The service's, or else the other target's own; `None` where neither has a breaker.
    pub circuit: Option<State>,
    /// Whether there is another target.
    pub elsewhere: Elsewhere,
    /// Until the request has to be over.
    pub remaining: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hedge {
    Send,
    No,
}

impl HedgeRules {
    pub const DEFAULT: Self = Self::Percentile { percent: 95, minimum_samples: 50 };

    /// How long a request waits before it is late; `None` while that is not known.
    pub fn delay(&self, latencies: &mut Latencies, now: Uptime) -> Option<Duration> {
        match *self {
            Self::After(delay) => Some(delay),
            Self::Percentile { percent, minimum_samples } => {
                latencies.percentile(percent, minimum_samples, now)
            }
        }
    }
}

impl Late {
    /// The budget is asked last: what is not sent takes nothing out of it.
    pub fn decide(&self, withdraw: impl FnOnce() -> Withdrawal) -> Hedge {
        // Whoever is on probation, or known to fail, is not asked twice.
        let is_well = matches!(self.circuit, None | Some(State::Closed));
        let has_time = self.remaining.is_none_or(|remaining| !remaining.is_zero());
        if !(is_well && has_time && self.elsewhere == Elsewhere::Yes) {
            return Hedge::No;
        }
        match withdraw() {
            Withdrawal::Granted => Hedge::Send,
            Withdrawal::Refused => Hedge::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Late = Late { circuit: Some(State::Closed), elsewhere: Elsewhere::Yes, remaining: None };

    #[test]
    fn a_copy_goes_out_where_there_is_another_target_time_and_budget() {
        assert_eq!(LATE.decide(|| Withdrawal::Granted), Hedge::Send);
        assert_eq!(Late { circuit: None, ..LATE }.decide(|| Withdrawal::Granted), Hedge::Send);
        assert_eq!(LATE.decide(|| Withdrawal::Refused), Hedge::No);
    }

    #[test]
    fn what_is_not_sent_takes_nothing_out_of_the_budget() {
        for late in [
            Late { circuit: Some(State::HalfOpen), ..LATE },
            Late { circuit: Some(State::Open), ..LATE },
            Late { elsewhere: Elsewhere::No, ..LATE },
            Late { remaining: Some(Duration::ZERO), ..LATE },
        ] {
            assert_eq!(late.decide(|| panic!("asked for")), Hedge::No, "{late:?}");
        }
    }

    #[test]
    fn a_fixed_delay_needs_no_samples() {
        let rules = HedgeRules::After(Duration::from_millis(7));
        assert_eq!(rules.delay(&mut Latencies::default(), Uptime(0)), Some(Duration::from_millis(7)));
        assert_eq!(HedgeRules::DEFAULT.delay(&mut Latencies::default(), Uptime(0)), None);
    }
}
