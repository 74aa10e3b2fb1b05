//! What was charged in the store, and how that is corrected.

use std::sync::Arc;
use std::time::Instant;

use tollgate_core::limit::{self, Demand, LimitRule, Settled, Settlement, Subject, SubjectWindows};
use tollgate_core::time::UnixMicros;

use super::call::{Amount, Periods};
use super::ledger::Ledger;
use super::slices::Unused;
use super::{About, Shared, Then};
use crate::Moment;

/// Units charged in the store for a request that is not decided yet; given back when this is dropped.
pub struct Charged {
    pub shared: Arc<Shared>,
    pub about: About,
    pub units: u64,
    pub at: UnixMicros,
    /// The answer, as long as the ledger has not noted it.
    pub number: u64,
}

/// Of an answer that the ledger has noted.
const NOTED: u64 = u64::MAX;

impl Charged {
    /// So many of the units, to go another way.
    pub fn split(&mut self, units: u64) -> Self {
        let units = units.min(self.units);
        self.units -= units;
        Self {
            shared: Arc::clone(&self.shared),
            about: self.about.clone(),
            units,
            at: self.at,
            number: self.number,
        }
    }

    pub const fn is_noted(&mut self) {
        self.number = NOTED;
    }

    pub fn keep(mut self) {
        self.units = 0;
    }

    /// Of an answer that is in doubt: it is given back before anything is put back, as the larger count would count then. For
    /// who has the ledger locked.
    pub fn take_back(self, ledger: &Ledger) {
        if self.units > 0 && !ledger.was_before_put_back(self.number) {
            let About { subject, ref rules, .. } = self.about;
            let amount = Amount::Less { units: self.units, charged_at: self.at };
            let amounts = vec![amount; rules.len()].into_boxed_slice();
            let nowhere = SubjectWindows::default();
            let cmd = self.shared.caller(subject, rules, self.at).adjust(Periods::Of(&nowhere), &amounts);
            self.shared.send_within(subject, rules, Instant::now(), cmd, Then::Told(amounts));
        }
        self.keep();
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        if self.units == 0 {
            return;
        }
        let shard = self.shared.ledgers.shard(self.about.subject).lock();
        let is_put_back =
            shard.find(self.about.subject).is_some_and(|ledger| ledger.was_before_put_back(self.number));
        drop(shard);
        // What was put back after it is the larger count already.
        if !is_put_back {
            let unused = Unused { units: self.units, granted_at: self.at };
            self.shared.give_back(self.about.subject, &self.about.rules, [unused]);
        }
    }
}

impl Shared {
    /// Corrects what a request was charged; gives where the subject stands then, as far as this node knows.
    pub fn settle(&self, demand: &Demand<'_>, settlement: Settlement, now: Moment) -> Settled {
        let server_now = self.server_time(now.wall);
        let charged_at = self.server_time(settlement.charged_at);
        let settlement = Settlement { charged_at, ..settlement };
        if !self.is_up() {
            self.give_back_beyond_owed(demand, settlement, server_now, now.instant);
            let crossed = self.unowe(demand, settlement, server_now);
            if settlement.actual > settlement.charged {
                self.note_owing(demand.subject, &demand.limits.rules, now.instant);
            }
            let standings = self.inspect(demand, 1, now.wall).standings;
            return Settled { standings, crossed };
        }
        let rules = &demand.limits.rules;
        let amount = match settlement.actual.checked_sub(settlement.charged) {
            Some(more) => Amount::More(more),
            None => Amount::Less { units: settlement.charged - settlement.actual, charged_at },
        };
        // Before the store is told: its answer takes the place of what is known here.
        let mut shard = self.ledgers.shard(demand.subject).lock();
        let ledger = shard.ledger(demand.subject, rules, now.instant);
        let settled = limit::settle(rules, ledger.mirror_mut(), demand.calendar, settlement, server_now);
        let standings = ledger.inspect(rules, demand.calendar, 1, server_now).standings;
        drop(shard);
        self.adjust(demand.subject, rules, Periods::Now(demand.calendar, server_now), amount, server_now);
        Settled { standings, crossed: settled.crossed }
    }

    /// What was charged in the store before it went away is given back there when it is back: more than is owed here cannot be
    /// taken off what is owed.
    fn give_back_beyond_owed(
        &self,
        demand: &Demand<'_>,
        settlement: Settlement,
        server_now: UnixMicros,
        sent: Instant,
    ) {
        let Settlement { charged, charged_at: granted_at, actual } = settlement;
        let rules = &demand.limits.rules;
        let owed = self.local.used(std::slice::from_ref(demand), server_now);
        let units = charged.saturating_sub(actual).saturating_sub(owed.into_iter().min().unwrap_or(0));
        if units > 0 {
            let about = About { subject: demand.subject, rules: Arc::clone(rules), sent };
            self.not_given_back.lock().push((about, Unused { units, granted_at }));
        }
    }

    /// Gives back what was charged and not used.
    pub(super) fn give_back(
        &self,
        subject: Subject,
        rules: &Arc<[LimitRule]>,
        unused: impl IntoIterator<Item = Unused>,
    ) {
        for Unused { units, granted_at } in unused {
            let amount = Amount::Less { units, charged_at: granted_at };
            let nowhere = SubjectWindows::default();
            self.adjust(subject, rules, Periods::Of(&nowhere), amount, granted_at);
        }
    }

    pub(super) fn adjust(
        &self,
        subject: Subject,
        rules: &Arc<[LimitRule]>,
        periods: Periods<'_>,
        amount: Amount,
        server_now: UnixMicros,
    ) {
        let amounts = vec![amount; rules.len()].into_boxed_slice();
        let cmd = self.caller(subject, rules, server_now).adjust(periods, &amounts);
        self.send(subject, rules, Instant::now(), cmd, Then::Told(amounts));
    }
}
