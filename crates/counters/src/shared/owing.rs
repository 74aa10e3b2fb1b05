//! What the store does not know of: kept here until it has heard.
//!
//! It is counted on top of what the store said last, as that goes on here meanwhile: a bucket fills by itself once and not twice, nor
//! once for each node, whoever counts it. The store is told the difference.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use smallvec::SmallVec;
use tollgate_core::limit::{Calendar, Demand, LimitRule, Settlement, Subject, Tally};
use tollgate_core::time::UnixMicros;

use super::call::{Amount, Answer, Periods};
use super::keeper::wall;
use super::ledger::{Kept, Ledger};
use super::{About, Shared, Then};
use crate::local::{GoesOn, Heard};

/// What a store is told that could not be asked. It stays here until that was heard: whatever ends in between, the node too, it is told
/// twice rather than never.
pub struct Owed {
    pub subject: Subject,
    pub rules: Arc<[LimitRule]>,
    /// As it was when it was told.
    pub tally: Tally,
    pub amounts: Box<[Amount]>,
}

impl Shared {
    /// Has the store told once it is back of what was charged, or of what it turned out to cost more.
    pub(super) fn owe(
        &self,
        ledger: &mut Ledger,
        demand: &Demand<'_>,
        settlement: Settlement,
        server_now: UnixMicros,
    ) {
        let Demand { subject, limits, calendar } = *demand;
        self.begin_owing(ledger, subject, &limits.rules, server_now);
        self.local.owe(subject, &limits.rules, calendar, settlement, self.nodes(), server_now);
    }

    /// Takes off what the store is to be told what was charged too much, but no more than it does not know, nor is being told of; gives
    /// what is left of each limit.
    pub(super) fn take_off_owed(
        &self,
        ledger: &Ledger,
        demand: &Demand<'_>,
        settlement: Settlement,
        server_now: UnixMicros,
    ) -> SmallVec<[u64; 4]> {
        let (subject, rules) = (demand.subject, &demand.limits.rules);
        if ledger.is_telling_any() {
            self.has_heard_until(server_now);
        }
        let told = ledger.being_told();
        let mut left = self.local.take_off_owed(subject, rules, told, settlement, self.nodes(), server_now);
        let less = settlement.charged.saturating_sub(settlement.actual);
        left.iter_mut().for_each(|taken| *taken = less.saturating_sub(*taken));
        left
    }

    fn begin_owing(&self, ledger: &mut Ledger, subject: Subject, rules: &[LimitRule], now: UnixMicros) {
        if !ledger.is_at_home {
            // Each window when something is owed of it first: the store may have spoken of one since another was.
            self.local.go_on_from(subject, rules, ledger.known(now), self.nodes(), now);
        }
        self.note_owes(ledger);
    }

    fn note_owes(&self, ledger: &mut Ledger) {
        ledger.owes = true;
        self.is_owing.store(true, Ordering::Relaxed);
    }

    /// What was counted here before the store counted it: it is told so.
    pub(super) fn tell_kept(&self, subject: Subject, rules: &Arc<[LimitRule]>) {
        let now = self.server_time(wall());
        if let Some(owed) = self.begin_telling(subject, rules, now) {
            let tell = self.caller(subject, rules, now).adjust(Periods::Of(&owed.tally.here), &owed.amounts);
            self.send(subject, rules, Instant::now(), tell, Then::ToldOwed(Box::new(owed)));
        }
    }

    /// What is owed for a subject under these limits, if anything is that the store is not being told of already.
    pub(super) fn begin_telling(
        &self,
        subject: Subject,
        rules: &Arc<[LimitRule]>,
        now: UnixMicros,
    ) -> Option<Owed> {
        let mut shard = self.ledgers.shard(subject).lock();
        let ledger = shard.ledger(subject, rules, Instant::now());
        if ledger.is_under(rules) {
            ledger.kept = Kept::Told;
        }
        ledger.is_at_home = false;
        self.has_heard_until(now);
        let nodes = self.nodes();
        let (mut tally, owed) = self.local.tally_and_owed(subject, rules, nodes, now);
        tally.narrow_to(rules, ledger.being_told());
        let amount = |(rule, owed): (&LimitRule, u64)| {
            Amount::More(if tally.here.find(rule.window).is_some() { owed } else { 0 })
        };
        let amounts: Box<[Amount]> = rules.iter().zip(owed).map(amount).collect();
        if amounts.iter().all(|amount| matches!(amount, Amount::More(0))) {
            self.local.owed_nothing(subject, rules, &tally, nodes, now);
            return None;
        }
        ledger.begin_telling(&tally);
        Some(Owed { subject, rules: Arc::clone(rules), tally, amounts })
    }

    /// The store knows of it.
    pub(super) fn has_heard(&self, owed: &Owed, answer: &Answer) {
        let Owed { subject, ref rules, ref tally, .. } = *owed;
        let mut shard = self.ledgers.shard(subject).lock();
        let ledger = shard.ledger(subject, rules, Instant::now());
        let of_store = if ledger.doubts(rules, answer) {
            self.incarnation.doubt();
            &tally.here
        } else {
            ledger.note(rules, answer);
            &answer.windows
        };
        ledger.end_telling(tally);
        let counting = if ledger.is_at_home { GoesOn::Here } else { GoesOn::InStore };
        let heard = Heard { told: tally, of_store, counting };
        self.local.has_told(subject, rules, heard, self.nodes(), answer.now);
    }

    /// It was not heard, or perhaps it was: counted twice is better than not at all.
    pub(super) fn still_owes(&self, owed: &Owed) {
        let mut shard = self.ledgers.shard(owed.subject).lock();
        let ledger = shard.ledger(owed.subject, &owed.rules, Instant::now());
        ledger.end_telling(&owed.tally);
        self.note_owes(ledger);
    }

    pub(super) fn note_owing(&self, subject: Subject, rules: &Arc<[LimitRule]>) {
        self.note_owes(self.ledgers.shard(subject).lock().ledger(subject, rules, Instant::now()));
    }

    /// What was to be charged to each limit, and was not.
    pub(super) fn owe_again(&self, about: &About, amounts: &[Amount]) {
        let About { subject, ref rules, .. } = *about;
        let (nodes, now) = (self.nodes(), self.server_time(wall()));
        let mut shard = self.ledgers.shard(subject).lock();
        // Where a day or month runs already, it is that one.
        let calendar = Calendar::utc();
        self.begin_owing(shard.ledger(subject, rules, Instant::now()), subject, rules, now);
        for (rule, amount) in rules.iter().zip(amounts) {
            let Amount::More(units @ 1..) = *amount else { continue };
            let settlement = Settlement::uncharged(units, now);
            self.local.owe(subject, std::slice::from_ref(rule), calendar, settlement, nodes, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::limit::{LevelLimits, SubjectWindows, charge_each};
    use tollgate_core::resource::{Counting, LimitDraft, OnUnavailable};
    use uuid::Uuid;

    use super::*;
    use crate::shared::unanswered::{first_answer, owe, unanswered};

    const NOW: UnixMicros = UnixMicros::from_secs(1_769_351_520);
    const SUBJECT: Subject = Subject(Uuid::from_u128(1));

    fn limits(per: &str) -> LevelLimits {
        let limit = LimitDraft { requests: 100, per: per.into(), ..LimitDraft::default() };
        LevelLimits::of_plan(&[limit.parse().unwrap()], None).counted(Counting::Exact, OnUnavailable::Allow)
    }

    /// The store says that so many are used of a limit.
    fn answer(shared: &Shared, rules: &Arc<[LimitRule]>, used: u64) {
        let mut windows = SubjectWindows::default();
        charge_each([(&rules[0], used)], &mut windows, Calendar::utc(), NOW);
        let answer = first_answer(windows, 0, NOW);
        shared.ledgers.shard(SUBJECT).lock().ledger(SUBJECT, rules, Instant::now()).note(rules, &answer);
    }

    #[test]
    fn what_is_charged_while_nothing_is_owed_is_all_that_is_owed_then() {
        let (shared, _asked) = unanswered();
        let (limits, nodes) = (limits("month"), shared.nodes());
        let demand = Demand { subject: SUBJECT, limits: &limits, calendar: Calendar::utc() };
        owe(&shared, &demand, 60, NOW);
        let (tally, _) = shared.local.tally_and_owed(SUBJECT, &limits.rules, nodes, NOW);
        let told = Heard { told: &tally, of_store: &tally.here, counting: GoesOn::Here };
        shared.local.has_told(SUBJECT, &limits.rules, told, nodes, NOW);
        let (tally, owed) = shared.local.tally_and_owed(SUBJECT, &limits.rules, nodes, NOW);
        assert_eq!(owed[0], 0);
        // By a request that is decided here meanwhile.
        assert!(shared.local.decide(&[demand], 1, NOW).verdict.is_admitted());
        shared.local.owed_nothing(SUBJECT, &limits.rules, &tally, nodes, NOW);
        assert_eq!(shared.local.tally_and_owed(SUBJECT, &limits.rules, nodes, NOW).1[0], 1);
    }

    #[test]
    fn what_is_owed_of_a_limit_comes_on_top_of_what_the_store_said_of_it_since_others_are_owed() {
        let (shared, _asked) = unanswered();
        let [month, minute] = ["month", "minute"].map(limits);
        let demand = |limits| Demand { subject: SUBJECT, limits, calendar: Calendar::utc() };
        owe(&shared, &demand(&month), 5, NOW);
        answer(&shared, &minute.rules, 60);
        for _ in 0..2 {
            owe(&shared, &demand(&minute), 5, NOW);
        }
        let used = |limits| shared.local.used(&[demand(limits)], NOW)[0];
        let owed = |limits: &LevelLimits| {
            shared.local.tally_and_owed(SUBJECT, &limits.rules, shared.nodes(), NOW).1[0]
        };
        assert_eq!((used(&minute), owed(&minute)), (70, 10));
        assert_eq!((used(&month), owed(&month)), (5, 5));
    }
}
