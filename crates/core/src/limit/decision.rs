//! One decision over all limits that apply: all pass and all are charged, or none is charged.

use smallvec::SmallVec;

use super::gauge::{self, Gauge};
use super::threshold::{Crossed, Use};
use super::{Calendar, LimitRule, SubjectWindows};
use crate::resource::Overage;
use crate::time::UnixMicros;

/// One subject's part in a decision.
#[derive(Debug)]
pub struct Charge<'c> {
    /// Each of a window of its own.
    pub rules: &'c [LimitRule],
    pub windows: &'c mut SubjectWindows,
    pub calendar: Calendar<'c>,
}

/// Where a subject stands with one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Requests that would be let through now.
    pub remaining: u64,
    /// Seconds since the epoch at which the whole limit is available again.
    pub reset_secs: u64,
}

/// One standing a limit, in the order of the charges and of their rules.
pub type Standings = SmallVec<[Standing; 4]>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub standings: Standings,
    /// `None`: the request is let through, and charged to every limit.
    pub refusal: Option<Refusal>,
    /// The thresholds that the charge has reached.
    pub crossed: Crossed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Which of the rules refused, counted through all charges; of several, the one that lasts longest.
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

/// What a request that was let through turned out to cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// What it was charged when it was let through; 0 where that is done only now.
    pub charged: u64,
    pub charged_at: UnixMicros,
    pub actual: u64,
}

impl Settlement {
    /// What nothing was charged for yet.
    pub const fn uncharged(actual: u64, at: UnixMicros) -> Self {
        Self { charged: 0, charged_at: at, actual }
    }
}

/// What a correction has led to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settled {
    pub standings: Standings,
    pub crossed: Crossed,
}

impl Settled {
    /// Adds what a correction of further rules has led to.
    pub fn append(&mut self, Self { standings, crossed }: Self) {
        self.crossed.append(self.standings.len(), &crossed);
        self.standings.extend(standings);
    }
}

/// Decides on one request that costs `cost`, and charges it to all subjects where all let it through. No subject
/// may be in several of the charges.
pub fn decide(charges: &mut [Charge<'_>], cost: u64, now: UnixMicros) -> Outcome {
    decide_at(charges, cost, cost, now)
}

/// The same for a request that has to fit as `asked` and is charged as `charged`.
#[inline]
pub(super) fn decide_at(charges: &mut [Charge<'_>], asked: u64, charged: u64, now: UnixMicros) -> Outcome {
    let mut gauges = Gauges::new();
    let mut refusal = None;
    for charge in &*charges {
        judge(charge.rules, charge.windows, charge.calendar, asked, now, &mut gauges, &mut refusal);
    }
    let mut standings = Standings::new();
    let mut crossed = Crossed::new();
    let mut gauges = gauges.iter_mut();
    for Charge { rules, windows, .. } in charges {
        for (rule, gauge) in rules.iter().zip(&mut gauges) {
            if refusal.is_none() {
                if rule.is_watched() {
                    let before = gauge.used();
                    gauge.charge(charged);
                    let (after, period_end_secs) = (gauge.used(), gauge.period_end_secs(rule, now));
                    crossed.extend(rule.crossings(standings.len(), Use { before, after, period_end_secs }));
                } else {
                    gauge.charge(charged);
                }
                windows.update(rule.window, |stored| gauge.counted(stored));
            }
            standings.push(gauge.standing());
        }
    }
    Outcome { standings, refusal, crossed }
}

/// Where a subject stands, and whether a request that costs `cost` would be let through; charges nothing.
pub fn inspect(
    rules: &[LimitRule],
    windows: &SubjectWindows,
    calendar: Calendar<'_>,
    cost: u64,
    now: UnixMicros,
) -> Outcome {
    let mut gauges = Gauges::new();
    let mut refusal = None;
    judge(rules, windows, calendar, cost, now, &mut gauges, &mut refusal);
    let standings = gauges.iter().map(Gauge::standing).collect();
    Outcome { standings, refusal, crossed: Crossed::new() }
}

/// Charges one subject what a request cost beyond its charge, over the limit too: it was used. What it cost less is
/// given back, within the period that was charged and never more than that.
pub fn settle(
    rules: &[LimitRule],
    windows: &mut SubjectWindows,
    calendar: Calendar<'_>,
    settlement: Settlement,
    now: UnixMicros,
) -> Settled {
    let mut settled = Settled::default();
    for (index, rule) in rules.iter().enumerate() {
        let read = |windows: &SubjectWindows| Gauge::read(rule, windows.find(rule.window), calendar, 1, now);
        let before = rule.is_watched().then(|| read(windows).used());
        // One that corrects nothing leaves what is stored as it is: a clock may go back behind it.
        if settlement.actual != settlement.charged {
            windows.update(rule.window, |stored| Gauge::settled(rule, stored, calendar, settlement, now));
        }
        let gauge = read(windows);
        if let Some(before) = before {
            let (after, period_end_secs) = (gauge.used(), gauge.period_end_secs(rule, now));
            settled.crossed.extend(rule.crossings(index, Use { before, after, period_end_secs }));
        }
        settled.standings.push(gauge.standing());
    }
    settled
}

/// Charges each of these limits what was used of it elsewhere, over the limit too.
pub fn charge_each<'r>(
    used: impl IntoIterator<Item = (&'r LimitRule, u64)>,
    windows: &mut SubjectWindows,
    calendar: Calendar<'_>,
    now: UnixMicros,
) {
    for (rule, used) in used {
        settle(std::slice::from_ref(rule), windows, calendar, Settlement::uncharged(used, now), now);
    }
}

/// What a subject has used of each limit, as far as it counts now; beyond the limit too.
pub fn used(rules: &[LimitRule], windows: &SubjectWindows, now: UnixMicros) -> SmallVec<[u64; 4]> {
    rules.iter().map(|rule| gauge::used(rule, windows.find(rule.window), now)).collect()
}

type Gauges = SmallVec<[Gauge; 4]>;

/// Adds the gauges of one subject's rules, and its refusal where that lasts longer than those before.
#[inline]
fn judge(
    rules: &[LimitRule],
    windows: &SubjectWindows,
    calendar: Calendar<'_>,
    cost: u64,
    now: UnixMicros,
    gauges: &mut Gauges,
    refusal: &mut Option<Refusal>,
) {
    for rule in rules {
        let gauge = Gauge::read(rule, windows.find(rule.window), calendar, cost, now);
        if let Some(retry_after_micros) = gauge.refusal(cost, now)
            && rule.overage == Overage::Deny
            && refusal.is_none_or(|earlier| earlier.retry_after_micros < retry_after_micros)
        {
            *refusal = Some(Refusal { rule: gauges.len(), retry_after_micros });
        }
        gauges.push(gauge);
    }
}

#[cfg(test)]
mod tests;
