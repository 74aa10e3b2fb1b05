//! One decision over subjects that are counted in different places: all are charged, or none in the end.
//!
//! What is here is charged first, then what the store has to be asked for, all subjects at once. Whatever was charged is
//! given back when one of them refuses, and when the request goes away while it waits.

use std::sync::Arc;

use smallvec::SmallVec;
use tollgate_core::limit::{Crossed, Demand, LimitRule, Outcome, Refusal, Settlement, Standings};
use tollgate_core::time::UnixMicros;

use super::Shared;
use super::charged::Charged;
use super::here::{Decided, is_local};
use crate::{Decision, LocalCounters, Moment, Permits, Verdict};

/// A request that is not decided yet. What it was charged so far is given back when this is dropped.
#[must_use = "what it was charged is given back when this is dropped"]
pub struct Undecided<'c, 's> {
    local: &'c LocalCounters,
    pub(super) shared: &'c Arc<Shared>,
    pub(super) demands: SmallVec<[Demand<'s>; 4]>,
    /// One a demand.
    pub(super) parts: SmallVec<[Part; 4]>,
    pub(super) cost: u64,
    pub(super) now: Moment,
    permits: Permits<'c>,
}

pub(super) enum Part {
    Open { extra: u64 },
    Charged { by: By, standings: Standings, crossed: Crossed },
}

/// Where a demand was charged.
pub(super) enum By {
    Local,
    Slice(UnixMicros),
    Store(Charged),
    /// Here, as the store cannot be reached.
    Apart,
}

/// Decides what can be decided at once: the outcome, or what the store has to be asked for.
pub(crate) fn begin<'c, 's>(
    local: &'c LocalCounters,
    shared: &'c Arc<Shared>,
    demands: &[Demand<'s>],
    cost: u64,
    now: Moment,
) -> Result<Decision<'c>, Box<Undecided<'c, 's>>> {
    let mut undecided = Box::new(Undecided {
        local,
        shared,
        demands: demands.into(),
        parts: demands.iter().map(|_| Part::Open { extra: 0 }).collect(),
        cost,
        now,
        permits: local.no_permits(),
    });
    if let Some(refused) = undecided.charge_local().or_else(|| undecided.take_places()) {
        return Ok(refused);
    }
    for index in 0..undecided.demands.len() {
        if let Part::Open { .. } = undecided.parts[index]
            && let Some(refused) = undecided.charge_here(index)
        {
            return Ok(refused);
        }
    }
    if undecided.is_open() { Err(undecided) } else { Ok(undecided.admitted()) }
}

impl<'c> Undecided<'c, '_> {
    /// Charges the demands that this node counts alone.
    fn charge_local(&mut self) -> Option<Decision<'c>> {
        let is_home = |index: &usize| self.shared.counts_at_home(&self.demands[*index], self.now);
        let of: SmallVec<[usize; 4]> = (0..self.demands.len()).filter(is_home).collect();
        if of.is_empty() {
            return None;
        }
        let demands: SmallVec<[Demand<'_>; 4]> = of.iter().map(|&index| self.demands[index]).collect();
        let Decision { standings, verdict, crossed } = self.local.decide(&demands, self.cost, self.now.wall);
        match verdict {
            Verdict::Admitted(permits) => {
                self.permits.join(permits);
                let mut first = 0;
                for &index in &of {
                    let rules = first..first + self.demands[index].limits.rules.len();
                    first = rules.end;
                    let (standings, crossed) = (standings[rules.clone()].into(), crossed.of_rules(rules));
                    self.parts[index] = Part::Charged { by: By::Local, standings, crossed };
                }
                None
            }
            Verdict::Limited(Refusal { mut rule, retry_after_micros }) => {
                // Which of these demands' rules it was, among those of all demands.
                for &index in &of {
                    let rules = self.demands[index].limits.rules.len();
                    if rule < rules {
                        let refusal = Some(Refusal { rule, retry_after_micros });
                        let outcome = Outcome { refusal, ..self.stand(index) };
                        return Some(self.refused(index, outcome));
                    }
                    rule -= rules;
                }
                Some(self.unavailable())
            }
            Verdict::Busy { demand } => Some(self.busy(of[demand])),
            Verdict::Unavailable => Some(self.unavailable()),
        }
    }

    /// Places among the requests under way are counted by this node, whatever counts the requests.
    fn take_places(&mut self) -> Option<Decision<'c>> {
        for index in 0..self.demands.len() {
            let demand = self.demands[index];
            if is_local(&demand) {
                continue;
            }
            let Some(most) = demand.limits.concurrency else { continue };
            match self.local.place(demand.subject, most) {
                Some(permits) => self.permits.join(permits),
                None => return Some(self.busy(index)),
            }
        }
        None
    }

    /// Charges a demand without waiting, where that can be; gives the outcome where it refuses.
    fn charge_here(&mut self, index: usize) -> Option<Decision<'c>> {
        let decided = self.shared.decide_here(&self.demands[index], self.cost, self.now);
        self.note(index, decided)
    }

    pub(super) fn note(&mut self, index: usize, decided: Decided) -> Option<Decision<'c>> {
        self.parts[index] = match decided {
            Decided::FromSlice(granted_at) => {
                let standings = self.stand(index).standings;
                Part::Charged { by: By::Slice(granted_at), standings, crossed: Crossed::new() }
            }
            Decided::Apart(standings, crossed) => Part::Charged { by: By::Apart, standings, crossed },
            Decided::Ask { extra } => Part::Open { extra },
            Decided::Refused(outcome) => {
                let refusal = Some(outcome.refusal.unwrap_or(NEARLY));
                return Some(self.refused(index, Outcome { refusal, ..outcome }));
            }
            Decided::ApartRefused(outcome) => return Some(self.refused(index, outcome)),
            Decided::Unavailable => return Some(self.unavailable()),
        };
        None
    }

    pub(super) fn is_open(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Open { .. }))
    }

    pub(super) fn admitted(mut self) -> Decision<'c> {
        let (mut standings, mut crossed) = (Standings::new(), Crossed::new());
        for part in std::mem::take(&mut self.parts) {
            if let Part::Charged { by, standings: own, crossed: own_crossed } = part {
                crossed.append(standings.len(), &own_crossed);
                standings.extend(own);
                if let By::Store(charged) = by {
                    charged.keep();
                }
            }
        }
        let permits = std::mem::replace(&mut self.permits, self.local.no_permits());
        crossed.append(0, &self.learnt());
        Decision { standings, verdict: Verdict::Admitted(permits), crossed }
    }

    pub(super) fn refused(&mut self, index: usize, outcome: Outcome) -> Decision<'c> {
        self.give_back();
        let before: usize = self.demands[..index].iter().map(|demand| demand.limits.rules.len()).sum();
        let refusal = outcome.refusal.unwrap_or(NEARLY);
        let refusal = Refusal { rule: before + refusal.rule, ..refusal };
        let mut standings = self.all_stand();
        let own = standings.iter_mut().skip(before);
        own.zip(outcome.standings).for_each(|(standing, own)| *standing = own);
        Decision { standings, verdict: Verdict::Limited(refusal), crossed: self.learnt() }
    }

    /// A limit that refuses as well lasts longer, and is what the caller is told.
    fn busy(&mut self, demand: usize) -> Decision<'c> {
        self.give_back();
        let refusing = (0..self.demands.len()).find(|&index| self.stand(index).refusal.is_some());
        if let Some(index) = refusing {
            let outcome = self.stand(index);
            return self.refused(index, outcome);
        }
        let standings = self.all_stand();
        Decision { standings, verdict: Verdict::Busy { demand }, crossed: self.learnt() }
    }

    pub(super) fn unavailable(&mut self) -> Decision<'c> {
        self.give_back();
        Decision { standings: self.all_stand(), verdict: Verdict::Unavailable, crossed: self.learnt() }
    }

    /// The thresholds that the store's counts have reached, as this node has heard lately: told with this request,
    /// whatever becomes of it.
    fn learnt(&self) -> Crossed {
        let (mut learnt, mut rules_before) = (Crossed::new(), 0);
        for demand in &self.demands {
            if !is_local(demand) && demand.limits.rules.iter().any(LimitRule::is_watched) {
                learnt.append(rules_before, &self.shared.take_crossed(demand));
            }
            rules_before += demand.limits.rules.len();
        }
        learnt
    }

    fn all_stand(&self) -> Standings {
        (0..self.demands.len()).flat_map(|index| self.stand(index).standings).collect()
    }

    fn stand(&self, index: usize) -> Outcome {
        let demand = &self.demands[index];
        if is_local(demand) {
            self.local.inspect_costing(std::slice::from_ref(demand), self.cost, self.now.wall)
        } else {
            self.shared.inspect(demand, self.cost, self.now.wall)
        }
    }

    fn give_back(&mut self) {
        let nothing = Settlement { charged: self.cost, charged_at: self.now.wall, actual: 0 };
        for (demand, part) in self.demands.iter().zip(std::mem::take(&mut self.parts)) {
            let Part::Charged { by, .. } = part else { continue };
            match by {
                By::Local => {
                    self.local.settle(std::slice::from_ref(demand), nothing, self.now.wall);
                }
                By::Slice(granted_at) => self.shared.unspend(demand, granted_at, self.cost),
                By::Apart => {
                    let server_now = self.shared.server_time(self.now.wall);
                    let nothing = Settlement { charged_at: server_now, ..nothing };
                    self.shared.unowe(demand, nothing, server_now, self.now.instant);
                }
                By::Store(charged) => drop(charged),
            }
        }
        // The places too.
        self.permits = self.local.no_permits();
    }
}

impl Drop for Undecided<'_, '_> {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Of a refusal that does not hold any more when it is looked at.
pub(super) const NEARLY: Refusal = Refusal { rule: 0, retry_after_micros: 1 };
