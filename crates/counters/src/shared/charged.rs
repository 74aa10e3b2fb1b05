//! What was charged in the store, and how that is corrected.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tollgate_core::limit::{self, Demand, LimitRule, Settled, Settlement, Subject, SubjectWindows};
use tollgate_core::time::UnixMicros;

use super::call::{self, Amount, Answer, Depths, Periods, WHICHEVER};
use super::slices::Unused;
use super::{About, NotGivenBack, Shared, Then, Told};
use crate::Moment;

/// Units charged in the store for a request that is not decided yet; given back when this is dropped.
pub struct Charged {
    pub shared: Arc<Shared>,
    pub about: About,
    pub units: u64,
    pub at: UnixMicros,
    depths: Depths,
    /// The incarnation of the store in which that was said, as long as the ledger has not noted it: once more is put back, by
    /// whichever node, it is a part of that, as the larger count counts.
    pub said_in: u64,
}

impl Charged {
    pub fn new(shared: &Arc<Shared>, about: About, units: u64, answer: &Answer) -> Self {
        let (at, depths, said_in) = (answer.now, answer.depths.clone(), answer.said_in);
        Self { shared: Arc::clone(shared), about, units, at, depths, said_in }
    }

    /// So many of the units, to go another way.
    pub fn split(&mut self, units: u64) -> Self {
        let (about, depths) = (self.about.clone(), self.depths.clone());
        let units = self.leave(units);
        Self { shared: Arc::clone(&self.shared), about, units, at: self.at, depths, said_in: self.said_in }
    }

    /// So many of the units are somebody else's from now on, who may give them back as well: what is left here is what was charged
    /// before them.
    pub fn leave(&mut self, units: u64) -> u64 {
        let units = units.min(self.units);
        self.units -= units;
        self.depths.iter_mut().for_each(|depth| *depth = depth.saturating_sub(units));
        units
    }

    pub const fn is_noted(&mut self) {
        self.said_in = WHICHEVER;
    }

    pub fn keep(mut self) {
        self.units = 0;
    }

    /// Gives it back before anything else is told or asked of the subject; for who has its ledger locked.
    pub fn give_back_within(mut self) {
        let units = std::mem::take(&mut self.units);
        if units > 0 {
            let (cmd, told) = self.giving_back(units);
            let About { subject, ref rules, .. } = self.about;
            self.shared.send_within(subject, rules, Instant::now(), cmd, told);
        }
    }

    fn giving_back(&self, units: u64) -> (redis::Cmd, Then) {
        let About { subject, ref rules, .. } = self.about;
        let amounts = call::less(rules.len(), units, self.at, &self.depths);
        let nowhere = SubjectWindows::default();
        let caller = self.shared.caller(subject, rules, self.at);
        let cmd = caller.adjust_said_in(self.said_in, Periods::Of(&nowhere), &amounts);
        (cmd, Then::Told(Told { amounts, said_in: self.said_in }))
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        if self.units > 0 {
            let (cmd, told) = self.giving_back(self.units);
            self.shared.send(self.about.subject, &self.about.rules, Instant::now(), cmd, told);
        }
    }
}

impl Shared {
    /// Corrects what a request was charged, when the server's time was ahead by `ahead_micros`; gives where the subject stands
    /// then, as far as this node knows.
    pub fn settle(
        &self,
        demand: &Demand<'_>,
        settlement: Settlement,
        ahead_micros: i64,
        now: Moment,
    ) -> Settled {
        let server_now = self.server_time(now.wall);
        // Not by how the clocks stand to each other now: one of them may have been set since, and what was charged in one period
        // would be given back in the next.
        let charged_at = settlement.charged_at.ahead_by(ahead_micros);
        let settlement = Settlement { charged_at, ..settlement };
        if !self.is_up() {
            let crossed = self.unowe(demand, settlement, server_now, now.instant);
            let standings = self.inspect(demand, 1, now.wall).standings;
            return Settled { standings, crossed };
        }
        let rules = &demand.limits.rules;
        let amount = match settlement.actual.checked_sub(settlement.charged) {
            Some(more) => Amount::More(more),
            None => Amount::Less { units: settlement.charged - settlement.actual, charged_at, depth: 0 },
        };
        // Should the store lose something, this node puts back what it knows from here on.
        let said_in = self.incarnation.since();
        // Before the store is told: its answer takes the place of what is known here.
        let mut shard = self.ledgers.shard(demand.subject).lock();
        let ledger = shard.ledger(demand.subject, rules, now.instant);
        let settled = limit::settle(rules, ledger.mirror_mut(), demand.calendar, settlement, server_now);
        let standings = ledger.inspect(rules, demand.calendar, 1, server_now).standings;
        drop(shard);
        let told = Told { amounts: vec![amount; rules.len()].into_boxed_slice(), said_in };
        self.adjust(demand.subject, rules, Periods::Now(demand.calendar, server_now), told, server_now);
        Settled { standings, crossed: settled.crossed }
    }

    /// Gives back so many units of each limit, as far as they can have been charged in the store: at once, or when it is back. What
    /// was let through since it went away, and not told yet, it never saw.
    pub(super) fn give_back_charged(
        &self,
        demand: &Demand<'_>,
        units: &[u64],
        charged_at: UnixMicros,
        sent: Instant,
    ) {
        if units.iter().all(|units| *units == 0) {
            return;
        }
        let (subject, rules) = (demand.subject, &demand.limits.rules);
        let amounts = units.iter().map(|&units| Amount::Less { units, charged_at, depth: 0 }).collect();
        let told = Told { amounts, said_in: WHICHEVER };
        if self.is_up() {
            let nowhere = SubjectWindows::default();
            self.adjust(subject, rules, Periods::Of(&nowhere), told, charged_at);
        } else if charged_at.0 <= self.heard_until.load(Ordering::Acquire) {
            let about = About { subject, rules: Arc::clone(rules), sent };
            self.not_given_back.lock().push(NotGivenBack { about, told });
            if self.is_up() {
                // Meanwhile; whoever noticed has given back what was there then.
                self.give_back_late();
            }
        }
    }

    /// What was charged until then is in the store, or will be.
    pub(super) fn has_heard_until(&self, at: UnixMicros) {
        self.heard_until.fetch_max(at.0, Ordering::Release);
    }

    /// Gives back what was charged and not used. Where this node does not count it as used any more, it is what the store said in
    /// this incarnation.
    pub(super) fn give_back(
        &self,
        subject: Subject,
        rules: &Arc<[LimitRule]>,
        said_in: u64,
        unused: impl IntoIterator<Item = Unused>,
    ) {
        for unused in unused {
            let nowhere = SubjectWindows::default();
            let told = Told { amounts: unused.amounts(rules.len()), said_in };
            self.adjust(subject, rules, Periods::Of(&nowhere), told, unused.granted_at);
        }
    }

    pub(super) fn adjust(
        &self,
        subject: Subject,
        rules: &Arc<[LimitRule]>,
        periods: Periods<'_>,
        told: Told,
        server_now: UnixMicros,
    ) {
        let cmd = self.caller(subject, rules, server_now).adjust(periods, &told.amounts);
        self.send(subject, rules, Instant::now(), cmd, Then::Told(told));
    }
}

#[cfg(test)]
mod tests;
