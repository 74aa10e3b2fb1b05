//! Decisions that need nobody: out of slices in hand, and of what the store said a moment ago.

use std::sync::Arc;

use smallvec::SmallVec;
use tollgate_core::limit::{self, Crossed, Demand, LimitRule, Outcome, Standings, SubjectWindows};
use tollgate_core::resource::Counting;
use tollgate_core::time::UnixMicros;
use tollgate_core::uptime::micros;

use super::call::{Depths, Take, WHICHEVER};
use super::ledger::{Due, Kept, Ledger, Stale};
use super::slices::{Spent, Unused, life};
use super::{Shared, Then};
use crate::{Decision, LocalCounters, Moment, Verdict};

/// What was decided without asking the store.
pub enum Decided {
    FromSlice(UnixMicros),
    Refused(Outcome),
    Ask {
        extra: u64,
    },
    /// The store cannot be reached, and the request is let through for now.
    Apart(Standings, Crossed),
    ApartRefused(Outcome),
    Unavailable,
}

/// Counted by this node alone, or not at all.
pub(crate) fn is_local(demand: &Demand<'_>) -> bool {
    demand.limits.counting == Counting::Local || demand.limits.rules.is_empty()
}

/// The usual case, which is as short as without a store: one subject, of which a slice is in hand.
#[inline]
pub(crate) fn decide_one<'c>(
    local: &'c LocalCounters,
    shared: &Shared,
    demand: &Demand<'_>,
    cost: u64,
    now: Moment,
) -> Option<Decision<'c>> {
    if shared.counts_at_home(demand, now) {
        return Some(local.decide(std::slice::from_ref(demand), cost, now.wall));
    }
    if demand.limits.counting != Counting::Leased || demand.limits.concurrency.is_some() {
        return None;
    }
    let (standings, crossed) = shared.spend_in_hand(demand, cost, now)?;
    Some(Decision { standings, verdict: Verdict::Admitted(local.no_permits()), crossed })
}

impl Shared {
    /// What one demand's subject says to a request of this cost, without waiting.
    #[inline]
    pub(super) fn decide_here(&self, demand: &Demand<'_>, cost: u64, now: Moment) -> Decided {
        if !self.is_up() {
            return self.decide_apart(demand, cost, now);
        }
        let rules = &demand.limits.rules;
        let mut shard = self.ledgers.shard(demand.subject).lock();
        let ledger = shard.ledger(demand.subject, rules, now.instant);
        let due = ledger.adopt(rules);
        let spent = match demand.limits.counting {
            Counting::Leased => ledger.slices.spend(cost, now.instant, self.server_time(now.wall)),
            Counting::Exact | Counting::Local => Spent::Ask { extra: 0 },
        };
        let decided = match spent {
            Spent::FromSlice { granted_at, .. } => Decided::FromSlice(granted_at),
            Spent::Refused => {
                let now = self.server_time(now.wall);
                Decided::Refused(ledger.inspect(rules, demand.calendar, cost, now))
            }
            Spent::Ask { extra } => Decided::Ask { extra },
        };
        drop(shard);
        self.tell_due(demand, due);
        if let Spent::FromSlice { refill: Some(extra), .. } = spent {
            self.refill(demand, extra, now);
        }
        decided
    }

    /// Tells the store what it has to hear of a subject before it is asked.
    #[inline]
    pub(super) fn tell_due(&self, demand: &Demand<'_>, Due { kept, stale }: Due) {
        if kept == Kept::Untold {
            self.tell_kept(demand.subject, &demand.limits.rules);
        }
        if let Some(Stale { rules, slices }) = stale {
            self.give_back(demand.subject, &rules, WHICHEVER, slices);
        }
    }

    /// A request's part of a slice in hand, where the subject stands then, and the thresholds that are to be told of it.
    #[inline]
    pub(super) fn spend_in_hand(
        &self,
        demand: &Demand<'_>,
        cost: u64,
        now: Moment,
    ) -> Option<(Standings, Crossed)> {
        if !self.is_up() {
            return None;
        }
        let (rules, server_now) = (&demand.limits.rules, self.server_time(now.wall));
        let mut shard = self.ledgers.shard(demand.subject).lock();
        let ledger = shard.find_mut(demand.subject)?;
        if !Arc::ptr_eq(&ledger.rules, rules) || !ledger.slices.has_in_hand(cost, now.instant, server_now) {
            return None;
        }
        let spent = ledger.slices.spend(cost, now.instant, server_now);
        let outcome = ledger.inspect(rules, demand.calendar, cost, server_now);
        let crossed = ledger.take_crossed(rules);
        drop(shard);
        if let Spent::FromSlice { refill: Some(extra), .. } = spent {
            self.refill(demand, extra, now);
        }
        Some((outcome.standings, crossed))
    }

    /// The thresholds that are to be told of a demand's limits.
    pub(super) fn take_crossed(&self, demand: &Demand<'_>) -> Crossed {
        let mut shard = self.ledgers.shard(demand.subject).lock();
        let ledger = shard.find_mut(demand.subject);
        ledger.map(|ledger| ledger.take_crossed(&demand.limits.rules)).unwrap_or_default()
    }

    /// Where a subject stands, as far as this node knows; and whether a request of this cost would pass.
    pub(super) fn inspect(&self, demand: &Demand<'_>, cost: u64, now: UnixMicros) -> Outcome {
        let (rules, now) = (&demand.limits.rules, self.server_time(now));
        let shard = self.ledgers.shard(demand.subject).lock();
        match shard.find(demand.subject) {
            Some(ledger) => self.inspect_within(ledger, demand, cost, now),
            None => limit::inspect(rules, &SubjectWindows::default(), demand.calendar, cost, now),
        }
    }

    /// The same for who has the subject's ledger locked, by the server's time.
    pub(super) fn inspect_within(
        &self,
        ledger: &Ledger,
        demand: &Demand<'_>,
        cost: u64,
        now: UnixMicros,
    ) -> Outcome {
        let rules = &demand.limits.rules;
        match self.apart_of(ledger) {
            Some(apart) => limit::inspect(rules, apart, demand.calendar, cost, now),
            None => ledger.inspect(rules, demand.calendar, cost, now),
        }
    }

    /// What is counted apart holds for as long as the store cannot be reached.
    fn apart_of<'l>(&self, ledger: &'l Ledger) -> Option<&'l SubjectWindows> {
        ledger.apart.as_deref().filter(|_| !self.is_up())
    }

    /// The same of all demands, wherever they are counted.
    pub fn inspect_all(&self, local: &LocalCounters, demands: &[Demand<'_>], now: Moment) -> Standings {
        let stand = |demand: &Demand<'_>| {
            if self.counts_at_home(demand, now) {
                local.inspect(std::slice::from_ref(demand), now.wall).standings
            } else {
                self.inspect(demand, 1, now.wall).standings
            }
        };
        demands.iter().flat_map(stand).collect()
    }

    /// What a subject has used of each limit, as far as this node knows; beyond it too.
    fn used(&self, demand: &Demand<'_>, now: UnixMicros) -> SmallVec<[u64; 4]> {
        let (rules, now) = (&demand.limits.rules, self.server_time(now));
        let shard = self.ledgers.shard(demand.subject).lock();
        match shard.find(demand.subject) {
            Some(ledger) => match self.apart_of(ledger) {
                Some(apart) => limit::used(rules, apart, now),
                None => ledger.used(rules, now),
            },
            None => SmallVec::from_elem(0, rules.len()),
        }
    }

    /// The same of all demands, wherever they are counted.
    pub fn used_of_all(&self, local: &LocalCounters, demands: &[Demand<'_>], now: Moment) -> Vec<u64> {
        let used = |demand: &Demand<'_>| {
            if self.counts_at_home(demand, now) {
                local.used(std::slice::from_ref(demand), now.wall).into()
            } else {
                self.used(demand, now.wall)
            }
        };
        demands.iter().flat_map(used).collect()
    }

    /// Puts back a slice's units, or gives them back where the slice is gone: what this node knows counts them as used.
    pub(super) fn unspend(&self, demand: &Demand<'_>, granted_at: UnixMicros, cost: u64) {
        let mut shard = self.ledgers.shard(demand.subject).lock();
        let is_back =
            shard.find_mut(demand.subject).is_some_and(|ledger| ledger.slices.unspend(granted_at, cost));
        drop(shard);
        if !is_back {
            let unused = Unused { units: cost, granted_at, depths: Depths::new() };
            self.give_back(demand.subject, &demand.limits.rules, WHICHEVER, [unused]);
        }
    }

    /// Asks for a slice ahead of need.
    pub(super) fn refill(&self, demand: &Demand<'_>, extra: u64, now: Moment) {
        let take = self.slice_of(&demand.limits.rules, 1, 0, extra);
        let server_now = self.server_time(now.wall);
        let cmd = self.caller(demand.subject, &demand.limits.rules, server_now).take(
            demand.calendar,
            server_now,
            take,
        );
        self.send(demand.subject, &demand.limits.rules, now.instant, cmd, Then::Refill);
    }

    pub(super) fn slice_of(&self, rules: &[LimitRule], cost: u64, times: u64, extra: u64) -> Take {
        let life_micros = micros(life(rules));
        let nodes = u64::from(self.nodes().get());
        Take { cost, times, extra, life_micros, divisor: 2 * nodes }
    }
}
