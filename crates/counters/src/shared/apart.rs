//! While the store cannot be reached: what plans say for that, and what the store is to be told of it afterwards.

use std::num::NonZeroU32;
use std::time::Instant;

use smallvec::SmallVec;
use tollgate_core::limit::{self, Charge, Crossed, Demand, Settlement, SubjectWindows};
use tollgate_core::resource::{Counting, OnUnavailable};
use tollgate_core::time::UnixMicros;

use super::Shared;
use super::here::Decided;
use super::ledger::Ledger;
use crate::Moment;

impl Shared {
    /// While the store cannot be reached.
    pub(super) fn decide_apart(&self, demand: &Demand<'_>, cost: u64, now: Moment) -> Decided {
        let server_now = self.server_time(now.wall);
        match demand.limits.on_unavailable {
            OnUnavailable::Deny => Decided::Unavailable,
            OnUnavailable::Allow => {
                let charge = Settlement::uncharged(cost, server_now);
                // All in one go: were the store back and lost in between, what is begun apart anew would have it already.
                let mut shard = self.ledgers.shard(demand.subject).lock();
                let ledger = shard.ledger(demand.subject, &demand.limits.rules, now.instant);
                self.apart(ledger, demand, self.nodes(), server_now);
                self.owe(ledger, demand, charge, server_now);
                // For whoever looks where the caller stands; and should the plan come to say `local`, its share is what is left then.
                // Thresholds are told once the store is back.
                let _told_later = self.settle_apart(ledger, demand, charge, server_now);
                Decided::Apart(self.inspect_within(ledger, demand, 1, server_now).standings, Crossed::new())
            }
            OnUnavailable::Local => self.decide_share(demand, cost, now),
        }
    }

    /// Out of slices in hand, then within this node's share.
    pub(super) fn decide_share(&self, demand: &Demand<'_>, cost: u64, now: Moment) -> Decided {
        let (rules, server_now) = (&demand.limits.rules, self.server_time(now.wall));
        let share = *self.share.lock();
        let mut shard = self.ledgers.shard(demand.subject).lock();
        let ledger = shard.ledger(demand.subject, rules, now.instant);
        if demand.limits.counting == Counting::Leased
            && ledger.is_under(rules)
            && let Some(granted_at) = ledger.slices.spend_in_hand(cost, now.instant, server_now)
        {
            return Decided::FromSlice(granted_at);
        }
        let windows = self.apart(ledger, demand, share.nodes(), server_now);
        let charge = Charge { rules, windows, calendar: demand.calendar };
        let outcome = limit::decide_share(&mut [charge], cost, share, server_now);
        if outcome.refusal.is_some() {
            return Decided::ApartRefused(outcome);
        }
        self.owe(ledger, demand, Settlement::uncharged(cost, server_now), server_now);
        Decided::Apart(outcome.standings, outcome.crossed)
    }

    /// From here on it is counted apart, with what is owed already.
    fn apart<'l>(
        &self,
        ledger: &'l mut Ledger,
        demand: &Demand<'_>,
        nodes: NonZeroU32,
        server_now: UnixMicros,
    ) -> &'l mut SubjectWindows {
        if self.is_up() {
            // It is slow, and what was counted apart before is older than what it has said since.
            ledger.apart = None;
        }
        let rules = &demand.limits.rules;
        let here = || self.local.tally_and_owed(demand.subject, rules, nodes, server_now);
        ledger.apart_after(here, rules, demand.calendar, nodes, server_now)
    }

    /// Corrects what the store is to be told once it is back; gives the thresholds that this has reached. What is not owed is
    /// given back in the store.
    pub(super) fn unowe(
        &self,
        demand: &Demand<'_>,
        settlement: Settlement,
        server_now: UnixMicros,
        now: Instant,
    ) -> Crossed {
        let mut shard = self.ledgers.shard(demand.subject).lock();
        let ledger = shard.ledger(demand.subject, &demand.limits.rules, now);
        let not_owed = if settlement.actual < settlement.charged {
            self.take_off_owed(ledger, demand, settlement, server_now)
        } else {
            self.owe(ledger, demand, settlement, server_now);
            SmallVec::new()
        };
        let crossed = self.settle_apart(ledger, demand, settlement, server_now);
        drop(shard);
        self.give_back_charged(demand, &not_owed, settlement.charged_at, now);
        crossed
    }

    /// The same of what was counted apart so far, where it was.
    fn settle_apart(
        &self,
        ledger: &mut Ledger,
        demand: &Demand<'_>,
        settlement: Settlement,
        server_now: UnixMicros,
    ) -> Crossed {
        let nodes = u64::from(self.nodes().get());
        let of_all = Settlement {
            charged: settlement.charged.saturating_mul(nodes),
            actual: settlement.actual.saturating_mul(nodes),
            ..settlement
        };
        match ledger.apart.as_mut() {
            Some(apart) => {
                limit::settle(&demand.limits.rules, apart, demand.calendar, of_all, server_now).crossed
            }
            None => Crossed::new(),
        }
    }
}
