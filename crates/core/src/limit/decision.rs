//! One decision over all limits that apply: all pass and all are charged, or none is charged.

use smallvec::SmallVec;
use uuid::Uuid;

use super::gauge::Gauge;
use super::{Calendar, LimitRule, SubjectWindows};
use crate::resource::{ConsumerId, KeyId};
use crate::time::UnixMicros;

/// Who is counted: the consumer that is spoken for, else the key. Ids are unique across both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject(pub Uuid);

impl From<KeyId> for Subject {
    fn from(id: KeyId) -> Self {
        Self(id.0)
    }
}

impl From<ConsumerId> for Subject {
    fn from(id: ConsumerId) -> Self {
        Self(id.0)
    }
}

/// Where a subject stands with one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Requests that would be let through now.
    pub remaining: u64,
    /// Seconds since the epoch at which the whole limit is available again.
    pub reset_secs: u64,
}

/// One standing a limit, in the order of the rules.
pub type Standings = SmallVec<[Standing; 4]>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub standings: Standings,
    /// `None`: the request is let through, and charged to every limit.
    pub refusal: Option<Refusal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Which of the rules refused; of several, the one that lasts longest.
    pub rule: usize,
    pub retry_after_micros: u64,
}

impl Refusal {
    /// Whole seconds after which the request would be let through; at least 1.
    pub const fn retry_after_secs(&self) -> u64 {
        let secs = self.retry_after_micros.div_ceil(1_000_000);
        if secs == 0 { 1 } else { secs }
    }
}

/// Decides on one request that costs `cost`, and charges it where it is let through.
pub fn decide(
    rules: &[LimitRule],
    windows: &mut SubjectWindows,
    calendar: Calendar<'_>,
    cost: u64,
    now: UnixMicros,
) -> Outcome {
    let (mut gauges, refusal) = judge(rules, windows, calendar, cost, now);
    let mut standings = Standings::new();
    for (rule, gauge) in rules.iter().zip(&mut gauges) {
        if refusal.is_none() {
            gauge.charge(cost);
            windows.update(rule.window, |stored| gauge.counted(stored));
        }
        standings.push(gauge.standing());
    }
    Outcome { standings, refusal }
}

/// Where a subject stands, and whether a request that costs `cost` would be let through; charges nothing.
pub fn inspect(
    rules: &[LimitRule],
    windows: &SubjectWindows,
    calendar: Calendar<'_>,
    cost: u64,
    now: UnixMicros,
) -> Outcome {
    let (gauges, refusal) = judge(rules, windows, calendar, cost, now);
    Outcome { standings: gauges.iter().map(Gauge::standing).collect(), refusal }
}

/// The gauges of all rules, and the refusal if any refuses.
#[inline]
fn judge(
    rules: &[LimitRule],
    windows: &SubjectWindows,
    calendar: Calendar<'_>,
    cost: u64,
    now: UnixMicros,
) -> (SmallVec<[Gauge; 4]>, Option<Refusal>) {
    let mut gauges = SmallVec::new();
    let mut refusal: Option<Refusal> = None;
    for (index, rule) in rules.iter().enumerate() {
        let gauge = Gauge::read(rule, windows.find(rule.window), calendar, cost, now);
        if let Some(retry_after_micros) = gauge.refusal(cost, now)
            && refusal.is_none_or(|earlier| earlier.retry_after_micros < retry_after_micros)
        {
            refusal = Some(Refusal { rule: index, retry_after_micros });
        }
        gauges.push(gauge);
    }
    (gauges, refusal)
}

#[cfg(test)]
mod tests;
