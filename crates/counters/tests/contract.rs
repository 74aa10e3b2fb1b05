//! What every place to count limits promises.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use proptest::prelude::*;
use tollgate_core::limit::{Calendar, Crossed, Demand, LevelLimits, Settlement, Subject};
use tollgate_core::resource::LimitDraft;
use tollgate_core::time::UnixMicros;
use tollgate_counters::{LocalCounters, Permits, Verdict};
use uuid::Uuid;

const NOW: UnixMicros = UnixMicros::from_secs(1_769_351_520);

fn limits(limits: &[(u64, &str)], concurrency: u32) -> LevelLimits {
    let limit = |&(requests, per): &(u64, &str)| {
        LimitDraft { requests, per: per.into(), ..LimitDraft::default() }.parse().unwrap()
    };
    LevelLimits::of_plan(&limits.iter().map(limit).collect::<Vec<_>>(), NonZeroU32::new(concurrency))
}

fn rules(given: &[(u64, &str)]) -> LevelLimits {
    limits(given, 0)
}

fn subject(number: u128) -> Subject {
    Subject(Uuid::from_u128(number))
}

fn demand(subject: Subject, limits: &LevelLimits) -> Demand<'_> {
    Demand { subject, limits, calendar: Calendar::utc() }
}

fn is_admitted(counters: &LocalCounters, demands: &[Demand<'_>]) -> bool {
    counters.decide(demands, 1, NOW).verdict.is_admitted()
}

fn admitted(counters: &LocalCounters, subject: Subject, limits: &LevelLimits, requests: usize) -> usize {
    (0..requests).filter(|_| is_admitted(counters, &[demand(subject, limits)])).count()
}

fn remaining(counters: &LocalCounters, subject: Subject, limits: &LevelLimits, now: UnixMicros) -> Vec<u64> {
    let standings = counters.inspect(&[demand(subject, limits)], now).standings;
    standings.iter().map(|standing| standing.remaining).collect()
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
fn every_algorithm_gives_many_threads_exactly_the_limit_and_keeps_it() {
    for algorithm in ["token_bucket", "fixed_window", "sliding_window", "sliding_log"] {
        let draft = LimitDraft {
            requests: 500,
            per: "hour".into(),
            algorithm: Some(algorithm.into()),
            ..LimitDraft::default()
        };
        let rules = LevelLimits::of_plan(&[draft.parse().unwrap()], None);
        let counters = LocalCounters::new();
        let total: usize = thread::scope(|scope| {
            let ask = || admitted(&counters, subject(1), &rules, 200);
            let threads: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(total, 500, "{algorithm}");
        let after = LocalCounters::new();
        after.restore(counters.take_changed());
        assert_eq!(remaining(&after, subject(1), &rules, NOW), [0], "{algorithm}");
        assert_eq!(admitted(&after, subject(1), &rules, 3), 0, "{algorithm}");
    }
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
        assert_eq!(remaining(&counters, subject(1), &rules, NOW), [3]);
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
    assert_eq!(remaining(&after, subject(1), &rules, NOW)[1], 90);
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
    assert_eq!(remaining(&counters, subject(1), &rules, next_hour), [2, 1]);
}

fn buckets(requests: u64, burst: u64) -> LevelLimits {
    let (per, burst) = ("minute".into(), Some(burst));
    LevelLimits::of_plan(
        &[LimitDraft { requests, per, burst, ..LimitDraft::default() }.parse().unwrap()],
        None,
    )
}

#[test]
fn a_bucket_whose_rate_was_lowered_outlasts_sweeps_and_restarts_until_it_is_full_again() {
    let (before, after) = (buckets(60, 60), buckets(30, 60));
    let counters = LocalCounters::new();
    assert_eq!(admitted(&counters, subject(1), &before, 70), 60);
    let kept = counters.take_changed();
    let minutes = |minutes: u64| NOW.after(minutes * 60_000_000);
    // The bucket would be full after a minute at the rate that it had.
    for (at, expected) in [(minutes(1), 30), (NOW.after(119_000_000), 59), (minutes(2), 60)] {
        counters.sweep(at);
        assert_eq!(remaining(&counters, subject(1), &after, at), [expected]);
        let restarted = LocalCounters::new();
        restarted.restore(kept.iter().filter(|record| at < record.over_at()).cloned());
        assert_eq!(remaining(&restarted, subject(1), &after, at), [expected]);
    }
    assert!(kept.iter().all(|record| record.over_at() <= minutes(2)), "and no longer");
}

#[test]
fn many_threads_over_many_subjects_are_never_over_and_never_charge_for_a_refusal() {
    const SUBJECTS: usize = 24;
    let counters = LocalCounters::new();
    // So many subjects that some share a shard, and limits that run out one after the other.
    let levels: Vec<LevelLimits> =
        (0..SUBJECTS).map(|index| rules(&[(40 + 7 * index as u64, "month")])).collect();
    let charged: Vec<AtomicUsize> = (0..SUBJECTS).map(|_| AtomicUsize::new(0)).collect();
    thread::scope(|scope| {
        for seed in 0..8u64 {
            let (counters, levels, charged) = (&counters, &levels, &charged);
            scope.spawn(move || {
                let mut state = seed + 1;
                for _ in 0..600 {
                    let mut chosen = Vec::new();
                    for _ in 0..5 {
                        state = state
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1_442_695_040_888_963_407);
                        let index = (state >> 33) as usize % SUBJECTS;
                        if !chosen.contains(&index) {
                            chosen.push(index);
                        }
                    }
                    let demand = |&index: &usize| demand(subject(index as u128), &levels[index]);
                    let demands: Vec<_> = chosen.iter().map(demand).collect();
                    if is_admitted(counters, &demands) {
                        for &index in &chosen {
                            charged[index].fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let mut exhausted = 0;
    for (index, limits) in levels.iter().enumerate() {
        let charged = charged[index].load(Ordering::Relaxed) as u64;
        let left = remaining(&counters, subject(index as u128), limits, NOW)[0];
        assert_eq!(charged + left, limits.rules[0].requests, "subject {index}");
        exhausted += usize::from(left == 0);
    }
    assert!(exhausted > 0, "the traffic was too little to run into a limit");
}

proptest! {
    #[test]
    fn all_subjects_are_charged_or_none(
        capacities in prop::collection::vec(1u64..12, 1..7),
        traffic in prop::collection::vec((1u64..4, any::<u8>()), 1..60),
    ) {
        let counters = LocalCounters::new();
        let levels: Vec<LevelLimits> =
            capacities.iter().map(|&requests| rules(&[(requests, "month"), (1_000, "day")])).collect();
        let mut used = vec![0; levels.len()];
        for (cost, chosen) in traffic {
            let meets: Vec<usize> = (0..levels.len()).filter(|index| chosen >> index & 1 == 1).collect();
            let demands: Vec<_> = meets
                .iter()
                .map(|&index| demand(subject(index as u128), &levels[index]))
                .collect();
            let expected = meets.iter().all(|&index| used[index] + cost <= capacities[index]);
            let decision = counters.decide(&demands, cost, NOW);
            prop_assert_eq!(decision.verdict.is_admitted(), expected);
            if expected {
                for &index in &meets {
                    used[index] += cost;
                }
            }
            let told: Vec<u64> = decision.standings.iter().step_by(2).map(|standing| standing.remaining).collect();
            let left: Vec<u64> = meets.iter().map(|&index| capacities[index] - used[index]).collect();
            prop_assert_eq!(told, left);
        }
    }
}

#[test]
fn what_is_settled_is_charged_and_given_back_to_all_subjects() {
    let counters = LocalCounters::new();
    let (first, second) = (rules(&[(10, "month")]), rules(&[(20, "month"), (30, "day")]));
    let demands = [demand(subject(1), &first), demand(subject(2), &second)];
    assert!(counters.decide(&demands, 5, NOW).verdict.is_admitted());
    let settle = |actual| {
        let settlement = Settlement { charged: 5, charged_at: NOW, actual };
        let standings = counters.settle(&demands, settlement, NOW).standings;
        standings.iter().map(|standing| standing.remaining).collect::<Vec<_>>()
    };
    assert_eq!(settle(8), [2, 12, 22]);
    assert_eq!(settle(2), [5, 15, 25]);
    assert_eq!(settle(500), [0, 0, 0]);
    assert!(!is_admitted(&counters, &demands));
    assert_eq!(counters.take_changed().len(), 3, "it is kept over a restart");
}

/// A request that was let through under limits that are edited while it is under way.
#[test]
fn what_is_settled_late_leaves_the_count_to_the_limits_in_force() {
    let hourly = |algorithm: &str| {
        let algorithm = Some(algorithm.to_owned());
        let draft = LimitDraft { requests: 10, per: "hour".into(), algorithm, ..LimitDraft::default() };
        LevelLimits::of_plan(&[draft.parse().unwrap()], None)
    };
    let (before, after) = (hourly("token_bucket"), hourly("sliding_log"));
    let counters = LocalCounters::new();
    assert!(counters.decide(&[demand(subject(1), &before)], 3, NOW).verdict.is_admitted());
    assert_eq!(admitted(&counters, subject(1), &after, 20), 7);
    let settlement = Settlement { charged: 3, charged_at: NOW, actual: 2 };
    counters.settle(&[demand(subject(1), &before)], settlement, NOW);
    // A bucket would have half of it back by then.
    let half_an_hour = NOW.after(1_800 * 1_000_000);
    assert_eq!(remaining(&counters, subject(1), &after, half_an_hour), [1]);
}

#[test]
fn thresholds_are_told_with_the_charge_that_reaches_them_and_by_whose_rule() {
    let counters = LocalCounters::new();
    let watched = |requests, per: &str, thresholds: &[u32]| {
        let thresholds = thresholds.to_vec();
        LimitDraft { requests, per: per.into(), thresholds, ..LimitDraft::default() }.parse().unwrap()
    };
    let first = LevelLimits::of_plan(&[watched(10, "day", &[]), watched(10, "month", &[50, 80])], None);
    let second = LevelLimits::of_plan(&[watched(20, "month", &[50])], None);
    let demands = [demand(subject(1), &first), demand(subject(2), &second)];
    let told = |crossed: Crossed| -> Vec<_> {
        crossed.iter().map(|crossing| (crossing.rule, crossing.percent, crossing.used)).collect()
    };
    assert_eq!(told(counters.decide(&demands, 4, NOW).crossed), []);
    assert_eq!(told(counters.decide(&demands[..1], 1, NOW).crossed), [(1, 50, 5)]);
    let settlement = Settlement { charged: 4, charged_at: NOW, actual: 11 };
    assert_eq!(told(counters.settle(&demands, settlement, NOW).crossed), [(1, 80, 12), (2, 50, 11)]);
    assert_eq!(told(counters.decide(&demands, 1, NOW).crossed), [], "what is refused reaches nothing");
    assert_eq!(counters.used(&demands, NOW), [12, 12, 11]);
    assert_eq!(counters.used(&[demand(subject(3), &first)], NOW), [0, 0]);
}

fn permits(verdict: Verdict<'_>) -> Option<Permits<'_>> {
    match verdict {
        Verdict::Admitted(permits) => Some(permits),
        Verdict::Limited(_) | Verdict::Busy { .. } | Verdict::Unavailable => None,
    }
}

#[test]
fn only_so_many_are_under_way_at_once() {
    let counters = LocalCounters::new();
    let (own, other) = (limits(&[(100, "month")], 2), rules(&[(100, "month")]));
    let alone = [demand(subject(1), &own)];
    let together = [alone[0], demand(subject(2), &other)];
    let first = permits(counters.decide(&alone, 1, NOW).verdict).unwrap();
    let second = permits(counters.decide(&together, 1, NOW).verdict).unwrap();
    for demands in [&alone[..], &together] {
        assert!(matches!(counters.decide(demands, 1, NOW).verdict, Verdict::Busy { demand: 0 }));
    }
    assert_eq!(remaining(&counters, subject(1), &own, NOW), [98], "who is turned away is not charged");
    assert_eq!(remaining(&counters, subject(2), &other, NOW), [99]);
    // It stays known while it is under way, however long ago its windows were over.
    counters.sweep(NOW.after(40 * 86_400 * 1_000_000));
    assert!(!is_admitted(&counters, &alone));
    drop(second);
    assert!(is_admitted(&counters, &together), "and gives its place back at once");
    drop(first);
    assert_eq!(admitted(&counters, subject(1), &own, 5), 5);
}

#[test]
fn places_among_many_threads_are_never_too_many_and_none_is_lost() {
    const AT_ONCE: usize = 3;
    let counters = LocalCounters::new();
    let (own, shared) = (limits(&[], 3), rules(&[(1_000_000, "month")]));
    let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let barrier = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..500 {
                    let demands = [demand(subject(1), &own), demand(subject(2), &shared)];
                    if let Some(permits) = permits(counters.decide(&demands, 1, NOW).verdict) {
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(permits);
                    }
                }
            });
        }
    });
    assert!((1..=AT_ONCE).contains(&most.load(Ordering::SeqCst)));
    let held: Vec<_> = (0..AT_ONCE)
        .map(|_| permits(counters.decide(&[demand(subject(1), &own)], 1, NOW).verdict).unwrap())
        .collect();
    assert!(!is_admitted(&counters, &[demand(subject(1), &own)]));
    drop(held);
}
