//! Thresholds, and limits that may be gone over.

use proptest::prelude::*;

use super::model::any_rule;
use super::*;
use crate::limit::{Crossed, Threshold};
use crate::resource::Overage;

const ALGORITHMS: [&str; 4] = ["token_bucket", "fixed_window", "sliding_window", "sliding_log"];

fn watched(requests: u64, per: &str, algorithm: Option<&str>, thresholds: &[u32]) -> LimitRule {
    let (per, algorithm) = (per.into(), algorithm.map(str::to_owned));
    let draft =
        LimitDraft { requests, per, algorithm, thresholds: thresholds.to_vec(), ..LimitDraft::default() };
    LimitRule::compile(&draft.parse().unwrap())
}

fn soft(rule: LimitRule) -> LimitRule {
    LimitRule { overage: Overage::Allow, ..rule }
}

fn crossed(
    rules: &[LimitRule],
    windows: &mut SubjectWindows,
    cost: u64,
    now: UnixMicros,
) -> Vec<(usize, u16, u64)> {
    told(&decide_alone(rules, windows, Calendar::utc(), cost, now).crossed)
}

fn told(crossed: &Crossed) -> Vec<(usize, u16, u64)> {
    crossed.iter().map(|crossing| (crossing.rule, crossing.percent, crossing.used)).collect()
}

fn settle(
    rules: &[LimitRule],
    windows: &mut SubjectWindows,
    actual: u64,
    now: UnixMicros,
) -> Vec<(usize, u16, u64)> {
    let settlement = Settlement { charged: 1, charged_at: now, actual };
    told(&super::super::settle(rules, windows, Calendar::utc(), settlement, now).crossed)
}

fn used(rules: &[LimitRule], windows: &SubjectWindows, now: UnixMicros) -> Vec<u64> {
    super::super::used(rules, windows, now).into_vec()
}

#[test]
fn the_charge_that_reaches_a_threshold_says_so_whatever_the_algorithm() {
    for algorithm in ALGORITHMS {
        let rules = [watched(10, "hour", Some(algorithm), &[80, 100])];
        let mut windows = SubjectWindows::default();
        let told: Vec<_> = (0..12).map(|_| crossed(&rules, &mut windows, 1, START)).collect();
        let expected = |index| match index {
            7 => vec![(0, 80, 8)],
            9 => vec![(0, 100, 10)],
            _ => Vec::new(),
        };
        assert_eq!(told, (0..12).map(expected).collect::<Vec<_>>(), "{algorithm}");
    }
}

#[test]
fn one_charge_may_reach_several_and_a_refusal_reaches_none() {
    let rules = [
        rule(1_000, "minute", None, None),
        watched(10, "month", None, &[1, 50, 80, 100]),
        watched(100, "day", None, &[9]),
    ];
    let mut windows = SubjectWindows::default();
    assert_eq!(crossed(&rules, &mut windows, 9, START), [(1, 1, 9), (1, 50, 9), (1, 80, 9), (2, 9, 9)]);
    assert_eq!(crossed(&rules, &mut windows, 2, START), []);
    assert_eq!(crossed(&rules, &mut windows, 1, START), [(1, 100, 10)]);
}

#[test]
fn a_share_that_is_no_whole_number_is_reached_with_the_next() {
    let rules = [watched(7, "day", None, &[80])];
    assert_eq!(*rules[0].thresholds, [Threshold { percent: 80, requests: 6 }]);
    let largest = watched(1_000_000_000_000, "day", None, &[1_000]);
    assert_eq!(largest.thresholds[0].requests, 10_000_000_000_000);
}

#[test]
fn a_crossing_names_the_period_that_it_counts_for() {
    let rules = [watched(1, "month", None, &[100])];
    let mut windows = SubjectWindows::default();
    let outcome = decide(&rules, &mut windows, START);
    assert_eq!(crate::time::rfc3339(outcome.crossed[0].period_end_secs), *b"2026-02-01T00:00:00Z");
    for algorithm in ALGORITHMS {
        let rules = [watched(1, "hour", Some(algorithm), &[100])];
        let outcome = decide(&rules, &mut SubjectWindows::default(), START);
        let hour = START.secs() / 3_600;
        assert_eq!(outcome.crossed[0].period_end_secs, (hour + 1) * 3_600, "{algorithm}");
    }
}

#[test]
fn what_a_response_adds_may_reach_a_threshold_and_what_is_given_back_does_not() {
    for algorithm in ALGORITHMS {
        let rules = [watched(10, "hour", Some(algorithm), &[80, 250])];
        let mut windows = SubjectWindows::default();
        assert_eq!(crossed(&rules, &mut windows, 1, START), []);
        assert_eq!(settle(&rules, &mut windows, 8, START), [(0, 80, 8)], "{algorithm}");
        assert_eq!(settle(&rules, &mut windows, 0, START), []);
        assert_eq!(crossed(&rules, &mut windows, 1, START), [(0, 80, 8)], "{algorithm}: it is reached again");
        assert_eq!(settle(&rules, &mut windows, 18, START), [(0, 250, 25)], "{algorithm}");
    }
}

#[test]
fn beyond_a_limit_that_may_be_gone_over_requests_pass_and_are_counted() {
    let rules = [soft(watched(3, "day", None, &[100, 200])), rule(1_000, "month", None, None)];
    let mut windows = SubjectWindows::default();
    for number in 1..=7 {
        let outcome = decide(&rules, &mut windows, START);
        assert_eq!(outcome.refusal, None);
        assert_eq!(outcome.standings[0].remaining, 3u64.saturating_sub(number));
        let expected = match number {
            3 => vec![(0, 100, 3)],
            6 => vec![(0, 200, 6)],
            _ => Vec::new(),
        };
        assert_eq!(told(&outcome.crossed), expected);
    }
    assert_eq!(used(&rules, &windows, START), [7, 7]);
    // One that costs more than the whole limit passes as well.
    assert!(decide_alone(&rules, &mut windows, Calendar::utc(), 20, START).refusal.is_none());
    // The next period begins with nothing, and refusing again forgives nothing.
    let tomorrow = seconds_later(86_400);
    assert_eq!(used(&rules, &windows, tomorrow), [0, 27]);
    let hard = [rule(3, "day", None, None)];
    assert_eq!(inspect(&hard, &windows, START).standings[0].remaining, 0);
    assert!(!passes(&hard, &mut windows, START));
    assert!(passes(&hard, &mut windows, tomorrow));
}

#[test]
fn another_limit_refuses_and_then_nothing_is_counted_beyond() {
    let rules = [soft(rule(1, "day", None, None)), rule(2, "month", None, None)];
    let mut windows = SubjectWindows::default();
    assert_eq!([(); 4].map(|()| passes(&rules, &mut windows, START)), [true, true, false, false]);
    assert_eq!(decide(&rules, &mut windows, START).refusal.unwrap().rule, 1);
    assert_eq!(used(&rules, &windows, START), [2, 2]);
}

fn any_watched_rule() -> impl Strategy<Value = LimitRule> {
    (any_rule(), prop::collection::btree_set(1u64..400, 1..8)).prop_map(|(rule, requests)| {
        let threshold = |requests| Threshold { percent: u16::try_from(requests).unwrap(), requests };
        LimitRule { thresholds: requests.into_iter().map(threshold).collect(), ..rule }
    })
}

/// What happens to a limit: a charge of so much, corrected to so much.
fn any_traffic() -> impl Strategy<Value = Vec<(u64, u64, Option<u64>)>> {
    let gap = prop_oneof![2 => 0u64..2_000_000, 2 => 0u64..600_000_000, 1 => 0u64..4_000_000_000];
    prop::collection::vec((gap, 1u64..20, prop::option::of(0u64..60)), 1..120)
}

proptest! {
    /// Each threshold between what was used before and after, and no other.
    #[test]
    fn what_was_crossed_lies_between_before_and_after(limit in any_watched_rule(), traffic in any_traffic()) {
        let rules = [limit];
        let mut windows = SubjectWindows::default();
        let between = |before: u64, after: u64| -> Vec<(usize, u16, u64)> {
            let crossed = rules[0].thresholds.iter().filter(|it| before < it.requests && it.requests <= after);
            crossed.map(|it| (0, it.percent, after)).collect()
        };
        let mut now = START;
        for (gap, cost, actual) in traffic {
            now = now.after(gap);
            let before = used(&rules, &windows, now)[0];
            let outcome = decide_alone(&rules, &mut windows, Calendar::utc(), cost, now);
            let after = used(&rules, &windows, now)[0];
            if outcome.refusal.is_some() {
                prop_assert_eq!((after, outcome.crossed), (before, Crossed::new()));
                continue;
            }
            prop_assert_eq!(told(&outcome.crossed), between(before, after));
            if let Some(actual) = actual {
                let settlement = Settlement { charged: cost, charged_at: now, actual };
                let settled = super::super::settle(&rules, &mut windows, Calendar::utc(), settlement, now);
                let settled_at = used(&rules, &windows, now)[0];
                prop_assert_eq!(told(&settled.crossed), between(after, settled_at));
            }
        }
    }

    /// A period's count is the sum of what its requests cost, however far beyond the limit.
    #[test]
    fn a_limit_that_may_be_gone_over_counts_everything_and_refuses_nothing(
        limit in any_watched_rule(),
        traffic in any_traffic(),
    ) {
        let rules = [soft(LimitRule { algorithm: crate::resource::Algorithm::FixedWindow, ..limit })];
        let mut windows = SubjectWindows::default();
        let (mut now, mut end_secs, mut sum, mut highest) = (START, 0, 0, 0);
        let mut reached: Vec<u16> = Vec::new();
        for (gap, cost, actual) in traffic {
            now = now.after(gap);
            let period = rules[0].window.period(rules[0].anchor, Calendar::utc(), now);
            if period.end_secs != end_secs {
                (end_secs, sum, highest) = (period.end_secs, 0, 0);
                reached.clear();
            }
            let outcome = decide_alone(&rules, &mut windows, Calendar::utc(), cost, now);
            prop_assert_eq!(outcome.refusal, None);
            sum += cost;
            highest = highest.max(sum);
            reached.extend(outcome.crossed.iter().map(|crossing| crossing.percent));
            prop_assert!(outcome.crossed.iter().all(|crossing| crossing.period_end_secs == end_secs));
            prop_assert_eq!(outcome.standings[0].remaining, rules[0].requests.saturating_sub(sum));
            if let Some(actual) = actual {
                let settlement = Settlement { charged: cost, charged_at: now, actual };
                let settled = super::super::settle(&rules, &mut windows, Calendar::utc(), settlement, now);
                reached.extend(settled.crossed.iter().map(|crossing| crossing.percent));
                sum = sum - cost + actual;
                highest = highest.max(sum);
            }
            prop_assert_eq!(used(&rules, &windows, now)[0], sum);
            // Whoever keeps one of each has exactly the thresholds up to the highest use of the period.
            let mut kept = reached.clone();
            kept.sort_unstable();
            kept.dedup();
            let due = rules[0].thresholds.iter().filter(|threshold| threshold.requests <= highest);
            prop_assert_eq!(kept, due.map(|threshold| threshold.percent).collect::<Vec<_>>());
        }
    }
}
