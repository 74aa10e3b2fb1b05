use tollgate_core::limit::{Calendar, LevelLimits};
use tollgate_core::resource::{Counting, LimitDraft, OnUnavailable};

use tokio::sync::mpsc;

use super::*;
use crate::shared::Op;
use crate::shared::ledger::{Due, Kept};
use crate::shared::unanswered::{first_answer, owe, unanswered};

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
    amounts.iter().map(|amount| if let Amount::Less { units, .. } = *amount { units } else { 0 }).collect()
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
            Then::Told(told) => units(&told.amounts),
            _ => panic!("it was asked something else"),
        });
        assert_eq!(given_back, (owed == 0).then(|| vec![1, 1]));
    }
}

/// What it was told last, and where that could not be: in which incarnation the counts have to be said to have it given back.
fn given_back(asked: &mut mpsc::UnboundedReceiver<Op>) -> Vec<(u64, u64)> {
    let mut given_back = Vec::new();
    while let Ok(op) = asked.try_recv() {
        let Then::Told(told) = op.then else { panic!("it was asked something else") };
        given_back.push((units(&told.amounts)[0], told.said_in));
    }
    given_back
}

#[test]
fn what_this_node_counts_as_used_is_given_back_late_whatever_the_store_has_lost() {
    let (shared, [mut asked, _]) = unanswered();
    let shared = Arc::new(shared);
    shared.status.is_back();
    shared.incarnation.meet(7);
    let edited = limits().counted(Counting::Local, OnUnavailable::Local);
    let (limits, instant) = (limits(), Instant::now());
    let demand = demand(&limits);
    let rules = &limits.rules;
    let answer = first_answer(SubjectWindows::default(), 5, BEFORE);
    let about = || About { subject: demand.subject, rules: Arc::clone(rules), sent: instant };
    let mut noted = Charged::new(&shared, about(), 3, &answer);
    noted.is_noted();
    drop(noted);
    drop(Charged::new(&shared, about(), 4, &answer));
    assert_eq!(given_back(&mut asked), [(3, WHICHEVER), (4, answer.said_in)]);

    // Spent of a slice that has gone back.
    shared.unspend(&demand, BEFORE, 2);
    assert_eq!(given_back(&mut asked), [(2, WHICHEVER)]);

    // Of a limit that is in force no more.
    let grant = || {
        let mut shard = shared.ledgers.shard(demand.subject).lock();
        shard.ledger(demand.subject, rules, instant).slices.add(&answer, rules, instant, instant);
        shard.holds(demand.subject);
    };
    grant();
    let mut shard = shared.ledgers.shard(demand.subject).lock();
    let ledger = shard.ledger(demand.subject, rules, instant);
    let stale = ledger.adopt(&Arc::from([])).stale;
    let _none = ledger.adopt(&edited.rules);
    drop(shard);
    shared.tell_due(&demand, Due { kept: Kept::Told, stale });
    assert_eq!(given_back(&mut asked), [(5, WHICHEVER)]);

    // From here on it counts as not used.
    let nothing = Settlement { charged: 1, charged_at: BEFORE, actual: 0 };
    let _settled = shared.settle(&demand, nothing, 0, Moment { wall: BEFORE, instant });
    assert_eq!(given_back(&mut asked), [(1, 7)]);
    grant();
    assert!(shared.counts_at_home(&Demand { limits: &edited, ..demand }, Moment { wall: BEFORE, instant }));
    assert_eq!(given_back(&mut asked), [(5, 7)]);
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
    let Ok(Then::Told(told)) = asked.try_recv().map(|op| op.then) else { panic!("nothing is told") };
    let charged_at = |amount: &Amount| match *amount {
        Amount::Less { units, charged_at, .. } => (units, charged_at),
        Amount::More(_) => panic!("it is to be less"),
    };
    assert_eq!(told.amounts.iter().map(charged_at).collect::<Vec<_>>(), [(5, BEFORE.after(40)); 2]);
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
    assert_eq!(units(&shared.not_given_back.lock()[0].told.amounts), [2, 2]);
}
