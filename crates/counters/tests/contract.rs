//! What every place to count limits promises.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::sync::Arc;
use std::thread;

use tollgate_core::limit::{Calendar, LimitRule, Subject};
use tollgate_core::resource::LimitDraft;
use tollgate_core::time::UnixMicros;
use tollgate_counters::LocalCounters;
use uuid::Uuid;

const NOW: UnixMicros = UnixMicros::from_secs(1_769_351_520);

fn rules(limits: &[(u64, &str)]) -> Vec<LimitRule> {
    let rule = |&(requests, per): &(u64, &str)| {
        let draft = LimitDraft { requests, per: per.into(), ..LimitDraft::default() };
        LimitRule::compile(&draft.parse().unwrap())
    };
    limits.iter().map(rule).collect()
}

fn subject(number: u128) -> Subject {
    Subject(Uuid::from_u128(number))
}

fn admitted(counters: &LocalCounters, subject: Subject, rules: &[LimitRule], requests: usize) -> usize {
    (0..requests).filter(|_| counters.decide(subject, rules, Calendar::utc(), NOW).refusal.is_none()).count()
}

#[test]
fn many_threads_together_get_exactly_the_limit() {
    let counters = Arc::new(LocalCounters::new());
    let rules = Arc::new(rules(&[(1_000, "minute"), (5_000, "day")]));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (counters, rules) = (Arc::clone(&counters), Arc::clone(&rules));
            thread::spawn(move || admitted(&counters, subject(1), &rules, 400))
        })
        .collect();
    let total: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(total, 1_000);
}

#[test]
fn subjects_do_not_share() {
    let counters = LocalCounters::new();
    let rules = rules(&[(3, "minute")]);
    assert_eq!(admitted(&counters, subject(1), &rules, 5), 3);
    assert_eq!(admitted(&counters, subject(2), &rules, 5), 3);
}

#[test]
fn looking_charges_nothing() {
    let counters = LocalCounters::new();
    let rules = rules(&[(3, "minute")]);
    for _ in 0..10 {
        assert_eq!(counters.inspect(subject(1), &rules, Calendar::utc(), NOW).standings[0].remaining, 3);
    }
    assert_eq!(admitted(&counters, subject(1), &rules, 5), 3);
}

#[test]
fn what_was_kept_goes_on_where_it_stopped() {
    let before = LocalCounters::new();
    let rules = rules(&[(10, "minute"), (100, "month")]);
    assert_eq!(admitted(&before, subject(1), &rules, 4), 4);
    let records = before.take_changed();
    assert_eq!(records.len(), 2);
    assert!(before.take_changed().is_empty(), "taken once");

    let after = LocalCounters::new();
    after.restore(records);
    assert_eq!(admitted(&after, subject(1), &rules, 20), 6);
    assert_eq!(after.inspect(subject(1), &rules, Calendar::utc(), NOW).standings[1].remaining, 90);
}

#[test]
fn a_refusal_changes_nothing_that_would_have_to_be_kept() {
    let counters = LocalCounters::new();
    let rules = rules(&[(1, "minute")]);
    assert_eq!(admitted(&counters, subject(1), &rules, 1), 1);
    counters.take_changed();
    assert_eq!(admitted(&counters, subject(1), &rules, 5), 0);
    assert!(counters.take_changed().is_empty());
}

#[test]
fn sweeping_forgets_only_what_is_over() {
    let counters = LocalCounters::new();
    let rules = rules(&[(2, "minute"), (3, "month")]);
    assert_eq!(admitted(&counters, subject(1), &rules, 2), 2);
    let next_hour = NOW.after(3_600 * 1_000_000);
    counters.sweep(next_hour);
    let standings = counters.inspect(subject(1), &rules, Calendar::utc(), next_hour).standings;
    assert_eq!((standings[0].remaining, standings[1].remaining), (2, 1));
}
