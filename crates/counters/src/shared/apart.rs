//! While the store cannot be reached: what plans say for that, and what the store is to be told of it afterwards.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tollgate_core::limit::{
    self, Calendar, Charge, Crossed, Demand, LimitRule, Settlement, Subject, SubjectWindows,
};
use tollgate_core::resource::{Counting, OnUnavailable};
use tollgate_core::time::UnixMicros;

use super::call::{Amount, Periods};
use super::here::Decided;
use super::keeper::wall;
use super::ledger::Kept;
use super::{About, Shared, Then};
use crate::Moment;

/// What a store is told that could not be asked.
pub struct Owed {
    pub subject: Subject,
    pub rules: Arc<[LimitRule]>,
    pub windows: SubjectWindows,
    /// What of that the store knows, where this node counted alone.
    known: SubjectWindows,
    pub amounts: Vec<Amount>,
}

impl Shared {
    /// While the store cannot be reached.
    pub(super) fn decide_apart(&self, demand: &Demand<'_>, cost: u64, now: Moment) -> Decided {
        let server_now = self.server_time(now.wall);
        match demand.limits.on_unavailable {
            OnUnavailable::Deny => Decided::Unavailable,
            OnUnavailable::Allow => {
                self.owe(demand, cost, server_now, now.instant);
                // Should the plan come to say `local`, its share is what is left then. Thresholds are told once the store is back.
                let charge = Settlement::uncharged(cost, server_now);
                let _told_later = self.settle_apart(demand, charge, server_now);
                Decided::Apart(self.inspect(demand, 1, now.wall).standings, Crossed::new())
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
            && let Some(granted_at) = ledger.slices.spend_in_hand(cost, now.instant)
        {
            return Decided::FromSlice(granted_at);
        }
        let owed = || self.local.windows(demand.subject);
        let windows = ledger.apart_after(owed, rules, demand.calendar, share.nodes(), server_now);
        let charge = Charge { rules, windows, calendar: demand.calendar };
        let outcome = limit::decide_share(&mut [charge], cost, share, server_now);
        drop(shard);
        if outcome.refusal.is_some() {
            return Decided::ApartRefused(outcome);
        }
        self.owe(demand, cost, server_now, now.instant);
        Decided::Apart(outcome.standings, outcome.crossed)
    }

    /// Notes what the store is to be told of once it is back.
    pub(super) fn owe(&self, demand: &Demand<'_>, cost: u64, server_now: UnixMicros, now: Instant) {
        let settlement = Settlement::uncharged(cost, server_now);
        self.local.owe(demand.subject, &demand.limits.rules, demand.calendar, settlement, server_now);
        self.note_owing(demand.subject, &demand.limits.rules, now);
    }

    /// Corrects what was let through apart; gives the thresholds that this has reached.
    pub(super) fn unowe(
        &self,
        demand: &Demand<'_>,
        settlement: Settlement,
        server_now: UnixMicros,
    ) -> Crossed {
        self.local.owe(demand.subject, &demand.limits.rules, demand.calendar, settlement, server_now);
        self.settle_apart(demand, settlement, server_now)
    }

    /// The same of what was counted apart so far, where it was.
    fn settle_apart(&self, demand: &Demand<'_>, settlement: Settlement, server_now: UnixMicros) -> Crossed {
        let nodes = u64::from(self.share.lock().nodes().get());
        let of_all = Settlement {
            charged: settlement.charged.saturating_mul(nodes),
            actual: settlement.actual.saturating_mul(nodes),
            ..settlement
        };
        let mut shard = self.ledgers.shard(demand.subject).lock();
        match shard.find_mut(demand.subject).and_then(|ledger| ledger.apart.as_mut()) {
            Some(apart) => {
                limit::settle(&demand.limits.rules, apart, demand.calendar, of_all, server_now).crossed
            }
            None => Crossed::new(),
        }
    }

    pub(super) fn note_owing(&self, subject: Subject, rules: &Arc<[LimitRule]>, now: Instant) {
        let mut shard = self.ledgers.shard(subject).lock();
        shard.ledger(subject, rules, now).owes = true;
        drop(shard);
        self.is_owing.store(true, Ordering::Relaxed);
    }

    /// What is owed for a subject under these limits, which counts as told from here on.
    pub(super) fn take_owed(&self, subject: Subject, rules: &Arc<[LimitRule]>, now: UnixMicros) -> Owed {
        let windows = self.local.take_windows(subject, rules);
        let known = self.local.take_windows(subject.in_store(), rules);
        let mut shard = self.ledgers.shard(subject).lock();
        if let Some(ledger) = shard.find_mut(subject) {
            if ledger.is_under(rules) {
                ledger.kept = Kept::Told;
            }
            ledger.is_at_home = false;
        }
        drop(shard);
        let of_known = limit::used(rules, &known, now);
        let used = limit::used(rules, &windows, now).into_iter().zip(of_known);
        let amounts = used.map(|(used, known)| Amount::More(used.saturating_sub(known))).collect();
        Owed { subject, rules: Arc::clone(rules), windows, known, amounts }
    }

    pub(super) fn still_owes(&self, owed: Owed) {
        let Owed { subject, rules, windows, known, .. } = owed;
        self.local.put_windows_back(subject, &windows);
        self.local.put_windows_back(subject.in_store(), &known);
        if !known.is_empty() {
            let mut shard = self.ledgers.shard(subject).lock();
            shard.ledger(subject, &rules, Instant::now()).is_at_home = true;
        }
        self.note_owing(subject, &rules, Instant::now());
    }

    /// What was counted here before the store counted it: it is told so.
    pub(super) fn tell_kept(&self, subject: Subject, rules: &Arc<[LimitRule]>) {
        let now = self.server_time(wall());
        let owed = self.take_owed(subject, rules, now);
        // What was told before is over, and still there.
        if owed.amounts.iter().all(|amount| matches!(amount, Amount::More(0))) {
            return;
        }
        let cmd = self.caller(subject, rules, now).adjust(Periods::Of(&owed.windows), &owed.amounts);
        self.send(subject, rules, Instant::now(), cmd, Then::Told(owed.amounts.into()));
    }

    /// What was to be charged to each limit, and was not.
    pub(super) fn owe_again(&self, about: &About, amounts: &[Amount]) {
        let now = self.server_time(wall());
        for (rule, amount) in about.rules.iter().zip(amounts) {
            let Amount::More(units @ 1..) = *amount else { continue };
            let settlement = Settlement::uncharged(units, now);
            // Where a day or month runs already, it is that one.
            let rule = std::slice::from_ref(rule);
            self.local.owe(about.subject, rule, Calendar::utc(), settlement, now);
        }
        self.note_owing(about.subject, &about.rules, Instant::now());
    }
}
