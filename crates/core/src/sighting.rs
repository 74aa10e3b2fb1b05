//! What a node tells the control plane of services from how their requests and checks went: those of which there is something to
//! say. Of all others nothing is known, their circuits are closed, and nobody is left out.
//!
//! Moments are the node's own [`Uptime`], which goes with every report: so the same state is the same value, and no two clocks
//! have to agree.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::breaker::{self, State};
use crate::feed::OrderId;
use crate::health::{CheckOutcome, CheckResult, Verdict};
use crate::resource::{MOST_TARGETS, ServiceId, TargetId, TenantId};
use crate::uptime::Uptime;

/// Services in one report, and orders that are answered; the rest comes with the next.
pub const MOST_A_REPORT: usize = 64;
/// Services of which a node tells. What is beyond is not told.
pub const MOST_A_NODE: usize = 10_000;
/// Of what a check says for people.
pub const LONGEST_REASON: usize = 120;
/// Targets of all services in one report.
const MOST_TARGETS_A_REPORT: usize = MOST_A_REPORT + MOST_TARGETS;

/// All that a node has to say, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Sighting {
    pub now: Uptime,
    pub services: Vec<ServiceSeen>,
}

/// What is worth telling of a service; compares equal for as long as nothing happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSeen {
    pub tenant: TenantId,
    pub service: ServiceId,
    #[serde(default, skip_serializing_if = "CircuitSeen::is_clean")]
    pub circuit: CircuitSeen,
    /// Those of which there is something to say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetSeen>,
}

/// A circuit; one that was never opened and has not failed is not worth a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CircuitSeen {
    pub state: State,
    pub failures: u32,
    pub opened: u64,
    /// When an open one lets the first request through, where that is to come.
    pub open_until: Option<Uptime>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetSeen {
    pub target: TargetId,
    #[serde(default, skip_serializing_if = "CircuitSeen::is_clean")]
    pub circuit: CircuitSeen,
    pub verdict: Verdict,
    pub ejected_until: Option<Uptime>,
    pub last_check: Option<CheckResult>,
}

/// What a node tells in one report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SightingReport {
    /// Of the node's process.
    pub session: Uuid,
    /// Ascending within the session: what was overtaken on its way is not taken any more.
    pub sequence: u64,
    pub now: Uptime,
    pub begins: Begins,
    pub ends: Ends,
    /// Those that are not as they were told before.
    pub services: Vec<ServiceSeen>,
    /// Those of which there is nothing to say any more.
    pub usual: Vec<ServiceId>,
    /// Orders that are done.
    pub done: Vec<OrderId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Begins {
    /// Nothing that was told before holds.
    Anew,
    WhereItWas,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ends {
    /// There is nothing more to say.
    Complete,
    /// The rest comes with the next report.
    Cut,
    /// The node has ended, and will say nothing any more.
    ForGood,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    #[error("must have at most {MOST_A_REPORT} entries in each list")]
    Entries,
    #[error("must have at most {MOST_TARGETS_A_REPORT} targets in all")]
    Targets,
    #[error("must have at most {LONGEST_REASON} bytes in the reason of a failed check")]
    Reason,
}

impl CircuitSeen {
    pub fn of(reading: breaker::Reading, now: Uptime) -> Self {
        let breaker::Reading { state, failures_in_a_row, opened, open_for } = reading;
        // One whose time is over waits for its first request: that is the same state however long it waits.
        let open_until = open_for.filter(|wait| !wait.is_zero()).map(|wait| now.after(wait));
        Self { state, failures: failures_in_a_row, opened, open_until }
    }

    /// As people see it, at a moment of the same clock.
    pub fn read(&self, now: Uptime) -> breaker::Reading {
        let open_for = match self.state {
            State::Open => Some(self.open_until.unwrap_or_default().since(now)),
            State::Closed | State::HalfOpen => None,
        };
        breaker::Reading {
            state: self.state,
            failures_in_a_row: self.failures,
            opened: self.opened,
            open_for,
        }
    }

    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

impl TargetSeen {
    pub fn is_usual(&self) -> bool {
        self.circuit.is_clean()
            && self.verdict == Verdict::Unknown
            && self.ejected_until.is_none()
            && self.last_check.is_none()
    }

    /// Whether all is as it was, but for when it was checked last and how long that took.
    fn is_like(&self, other: &Self) -> bool {
        let outcome = |target: &Self| target.last_check.as_ref().map(|check| check.outcome.clone());
        (self.target, self.circuit, self.verdict, self.ejected_until)
            == (other.target, other.circuit, other.verdict, other.ejected_until)
            && outcome(self) == outcome(other)
    }
}

impl ServiceSeen {
    pub fn is_usual(&self) -> bool {
        self.circuit.is_clean() && self.targets.is_empty()
    }

    /// Whether all is as it was, but for when its targets were checked last and how long that took.
    pub fn is_like(&self, other: &Self) -> bool {
        self.circuit == other.circuit
            && self.targets.len() == other.targets.len()
            && self.targets.iter().zip(&other.targets).all(|(own, other)| own.is_like(other))
    }

    pub fn target(&self, id: TargetId) -> Option<&TargetSeen> {
        self.targets.iter().find(|target| target.target == id)
    }
}

impl SightingReport {
    /// Whether a service more still fits.
    pub fn has_room(&self) -> bool {
        let targets: usize = self.services.iter().map(|service| service.targets.len()).sum();
        self.services.len() < MOST_A_REPORT && targets < MOST_A_REPORT
    }

    /// What a node that is not hostile never says is refused.
    pub fn check(&self) -> Result<(), TooMuch> {
        if [self.services.len(), self.usual.len(), self.done.len()].iter().any(|&count| count > MOST_A_REPORT)
        {
            return Err(TooMuch::Entries);
        }
        let targets = || self.services.iter().flat_map(|service| &service.targets);
        if targets().count() > MOST_TARGETS_A_REPORT {
            return Err(TooMuch::Targets);
        }
        let is_long = |check: &CheckResult| match &check.outcome {
            CheckOutcome::Passed(_) => false,
            CheckOutcome::Failed(reason) => reason.len() > LONGEST_REASON,
        };
        if targets().filter_map(|target| target.last_check.as_ref()).any(is_long) {
            return Err(TooMuch::Reason);
        }
        Ok(())
    }
}

/// A result as it is told: a reason is cut where it is long.
pub fn shortened(result: &CheckResult) -> CheckResult {
    let outcome = match &result.outcome {
        CheckOutcome::Passed(status) => CheckOutcome::Passed(*status),
        CheckOutcome::Failed(reason) => {
            CheckOutcome::Failed(reason[..reason.floor_char_boundary(LONGEST_REASON)].into())
        }
    };
    CheckResult { outcome, ..result.clone() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::time::UnixMicros;

    fn failed(reason: &str) -> CheckResult {
        let outcome = CheckOutcome::Failed(reason.into());
        CheckResult { at: UnixMicros(7), latency: Duration::from_millis(3), outcome }
    }

    fn service(targets: u128, reason: &str) -> ServiceSeen {
        let target = |number| TargetSeen {
            target: TargetId(Uuid::from_u128(number)),
            circuit: CircuitSeen::default(),
            verdict: Verdict::Unhealthy,
            ejected_until: None,
            last_check: Some(failed(reason)),
        };
        ServiceSeen {
            tenant: TenantId(Uuid::from_u128(1)),
            service: ServiceId(Uuid::from_u128(2)),
            circuit: CircuitSeen::default(),
            targets: (0..targets).map(target).collect(),
        }
    }

    fn report(services: Vec<ServiceSeen>) -> SightingReport {
        SightingReport {
            session: Uuid::from_u128(3),
            sequence: 1,
            now: Uptime::from_secs(9),
            begins: Begins::Anew,
            ends: Ends::Complete,
            services,
            usual: Vec::new(),
            done: Vec::new(),
        }
    }

    #[test]
    fn the_same_circuit_is_the_same_value_at_every_moment() {
        let open = |wait| breaker::Reading {
            state: State::Open,
            failures_in_a_row: 0,
            opened: 1,
            open_for: Some(Duration::from_secs(wait)),
        };
        let seen = CircuitSeen::of(open(20), Uptime::from_secs(10));
        assert_eq!(seen, CircuitSeen::of(open(5), Uptime::from_secs(25)));
        assert_eq!(seen.read(Uptime::from_secs(12)), open(18));
        // Over, and nobody has asked yet.
        let over = CircuitSeen::of(open(0), Uptime::from_secs(31));
        assert_eq!(over, CircuitSeen::of(open(0), Uptime::from_secs(90)));
        assert_eq!(over.read(Uptime::from_secs(95)), open(0));
    }

    #[test]
    fn another_time_of_the_same_result_is_nothing_new() {
        let before = service(2, "refused");
        let mut after = before.clone();
        after.targets[1].last_check = Some(CheckResult { at: UnixMicros(8), ..failed("refused") });
        assert!(after.is_like(&before) && after != before);
        after.targets[1].last_check = Some(failed("reset"));
        assert!(!after.is_like(&before));
    }

    #[test]
    fn what_no_node_says_is_refused() {
        let most = u128::try_from(MOST_TARGETS).unwrap();
        assert_eq!(report(vec![service(most, "refused")]).check(), Ok(()));
        let too_many = vec![service(most, ""), service(most, "")];
        assert_eq!(report(too_many).check(), Err(TooMuch::Targets));
        assert_eq!(report(vec![service(1, ""); MOST_A_REPORT + 1]).check(), Err(TooMuch::Entries));
        let long = "é".repeat(LONGEST_REASON);
        assert_eq!(report(vec![service(1, &long)]).check(), Err(TooMuch::Reason));
        let done = SightingReport { done: vec![OrderId(Uuid::nil()); MOST_A_REPORT + 1], ..report(vec![]) };
        assert_eq!(done.check(), Err(TooMuch::Entries));
        let mut cut = service(1, &long);
        cut.targets[0].last_check = Some(shortened(&failed(&long)));
        assert_eq!(report(vec![cut]).check(), Ok(()));
    }

    #[test]
    fn what_is_told_arrives() {
        let told = report(vec![service(1, "refused"), service(0, "")]);
        let text = serde_json::to_string(&told).unwrap();
        assert_eq!(serde_json::from_str::<SightingReport>(&text).unwrap(), told);
    }
}
