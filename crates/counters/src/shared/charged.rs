//! What was charged in the store, and how that is corrected.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tollgate_core::limit::{self, Demand, LimitRule, Settled, Settlement, Subject, SubjectWindows};
use tollgate_core::time::UnixMicros;

use super::call::{self, Amount, Answer, Depths, Periods, WHICHEVER};
use super::slices::Unused;
use super::{About, NotGivenBack, Shared, Then};
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
        (cmd, Then::Told(amounts))
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
        // Before the store is told: its answer takes the place of what is known here.
        let mut shard = self.ledgers.shard(demand.subject).lock();
        let ledger = shard.ledger(demand.subject, rules, now.instant);
        let settled = limit::settle(rules, ledger.mirror_mut(), demand.calendar, settlement, server_now);
        let standings = ledger.inspect(rules, demand.calendar, 1, server_now).standings;
        drop(shard);
        let amounts = vec![amount; rules.len()].into_boxed_slice();
        self.adjust(demand.subject, rules, Periods::Now(demand.calendar, server_now), amounts, server_now);
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
        if self.is_up() {
            let nowhere = SubjectWindows::default();
            self.adjust(subject, rules, Periods::Of(&nowhere), amounts, charged_at);
        } else if charged_at.0 <= self.heard_until.load(Ordering::Acquire) {
            let about = About { subject, rules: Arc::clone(rules), sent };
            self.not_given_back.lock().push(NotGivenBack { about, amounts, said_in: WHICHEVER });
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

    /// Gives back what was charged and not used.
    pub(super) fn give_back(
        &self,
        subject: Subject,
        rules: &Arc<[LimitRule]>,
        unused: impl IntoIterator<Item = Unused>,
    ) {
        for unused in unused {
            let nowhere = SubjectWindows::default();
            let amounts = unused.amounts(rules.len());
            self.adjust(subject, rules, Periods::Of(&nowhere), amounts, unused.granted_at);
        }
    }

    pub(super) fn adjust(
        &self,
        subject: Subject,
        rules: &Arc<[LimitRule]>,
        periods: Periods<'_>,
        amounts: Box<[Amount]>,
        server_now: UnixMicros,
    ) {
        let cmd = self.caller(subject, rules, server_now).adjust(periods, &amounts);
        self.send(subject, rules, Instant::now(), cmd, Then::Told(amounts));
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::limit::{Calendar, LevelLimits};
    use tollgate_core::resource::{Counting, LimitDraft, OnUnavailable};

    use super::*;
    use crate::shared::unanswered::{owe, unanswered};

    const BEFORE: UnixMicros = UnixMicros::from_secs(1_769_351_520);

    fn limits() -> LevelLimits {
        let limit = |per: &str| LimitDraft { requests: 100, per: per.into(), ..LimitDraft::default() };
        let limits = ["hour", "month"].map(|per| limit(per).parse().unwrap());
        LevelLimits::of_plan(&limits, None).counted(Counting::Exact, OnUnavailable::Local)
    }

    fn demand(limits: &LevelLimits) -> Demand<'_> {
        Demand { subject: Subject(uuid::Uuid::from_u128(2)), limits, calendar: Calendar::utc() }
    }

    fn units(amounts: &[Amount]) -> Vec<u64> {
        amounts
            .iter()
            .map(|amount| if let Amount::Less { units, .. } = *amount { units } else { 0 })
            .collect()
    }

    #[test]
    fn what_the_store_was_told_meanwhile_is_given_back_there() {
        let (shared, [mut asked, _]) = unanswered();
        shared.status.is_back();
        let (limits, now) = (limits(), Instant::now());
        let demand = demand(&limits);
        for owed in [1, 0] {
            owe(&shared, &demand, owed, BEFORE);
            let nothing = Settlement { charged: 1, charged_at: BEFORE, actual: 0 };
            shared.unowe(&demand, nothing, BEFORE, now);
            let given_back = asked.try_recv().ok().map(|op| match op.then {
                Then::Told(amounts) => units(&amounts),
                _ => panic!("it was asked something else"),
            });
            assert_eq!(given_back, (owed == 0).then(|| vec![1, 1]));
        }
    }

    #[test]
    fn a_clock_that_was_set_since_puts_no_charge_into_another_period() {
        let (shared, [mut asked, _]) = unanswered();
        shared.status.is_back();
        let limits = limits();
        let now = Moment { wall: BEFORE.after(6_000_000), instant: Instant::now() };
        shared.ahead_micros.store(3_600_000_000, Ordering::Relaxed);
        let nothing = Settlement { charged: 5, charged_at: BEFORE, actual: 0 };
        let _settled = shared.settle(&demand(&limits), nothing, 40, now);
        let Ok(Then::Told(amounts)) = asked.try_recv().map(|op| op.then) else { panic!("nothing is told") };
        let charged_at = |amount: &Amount| match *amount {
            Amount::Less { units, charged_at, .. } => (units, charged_at),
            Amount::More(_) => panic!("it is to be less"),
        };
        assert_eq!(amounts.iter().map(charged_at).collect::<Vec<_>>(), [(5, BEFORE.after(40)); 2]);
    }

    #[test]
    fn what_it_is_being_told_of_while_it_is_away_is_given_back_too() {
        let (shared, _asked) = unanswered();
        let (limits, instant) = (limits(), Instant::now());
        let demand = demand(&limits);
        owe(&shared, &demand, 1, BEFORE);
        let owed = shared.begin_telling(demand.subject, &limits.rules, BEFORE.after(1)).unwrap();
        for (number, charged_at) in [(1, BEFORE), (2, BEFORE.after(2))] {
            let now = Moment { wall: BEFORE.after(3), instant };
            let _settled = shared.settle(&demand, Settlement { charged: 1, charged_at, actual: 0 }, 0, now);
            assert_eq!(shared.not_given_back.lock().len(), number);
        }
        shared.still_owes(&owed);
    }

    #[test]
    fn while_it_is_away_no_more_is_kept_for_it_than_it_was_charged_before() {
        let (shared, _asked) = unanswered();
        shared.heard_until.store(BEFORE.0, Ordering::Relaxed);
        let (limits, instant) = (limits(), Instant::now());
        let demand = demand(&limits);
        for (micros, kept) in [(0, 1), (1, 1)] {
            let charged_at = BEFORE.after(micros);
            let now = Moment { wall: BEFORE.after(10), instant };
            let _settled = shared.settle(&demand, Settlement { charged: 3, charged_at, actual: 1 }, 0, now);
            assert_eq!(shared.not_given_back.lock().len(), kept);
        }
        assert_eq!(units(&shared.not_given_back.lock()[0].amounts), [2, 2]);
    }
}
