//! Decisions over several subjects, costs, and what is settled afterwards.

use proptest::prelude::*;

use super::model::any_rule;
use super::*;

fn charge<'c>(rules: &'c [LimitRule], windows: &'c mut SubjectWindows) -> Charge<'c> {
    Charge { rules, windows, calendar: Calendar::utc() }
}

fn decide_together(
    levels: &[Vec<LimitRule>],
    windows: &mut [SubjectWindows],
    cost: u64,
    now: UnixMicros,
) -> Outcome {
    let mut charges: Vec<_> =
        levels.iter().zip(windows).map(|(rules, windows)| charge(rules, windows)).collect();
    super::super::decide(&mut charges, cost, now)
}

fn remaining(rules: &[LimitRule], windows: &SubjectWindows, now: UnixMicros) -> u64 {
    inspect(rules, windows, now).standings[0].remaining
}

fn settle(rules: &[LimitRule], windows: &mut SubjectWindows, charged: u64, actual: u64, now: UnixMicros) {
    super::super::settle(
        rules,
        windows,
        Calendar::utc(),
        Settlement { charged, charged_at: START, actual },
        now,
    );
}

#[test]
fn one_subject_that_refuses_leaves_the_others_uncharged() {
    let levels = [
        vec![rule(10, "minute", None, None)],
        vec![rule(100, "day", None, None), rule(1, "hour", None, None)],
    ];
    let mut windows = [SubjectWindows::default(), SubjectWindows::default()];
    assert_eq!(decide_together(&levels, &mut windows, 1, START).refusal, None);
    let outcome = decide_together(&levels, &mut windows, 1, START);
    assert_eq!(outcome.refusal.unwrap().rule, 2, "rules are counted through all subjects");
    let remaining: Vec<_> = outcome.standings.iter().map(|standing| standing.remaining).collect();
    assert_eq!(remaining, [9, 99, 0]);
}

#[test]
fn a_cost_is_taken_whole_or_not_at_all() {
    for algorithm in ["token_bucket", "fixed_window", "sliding_window", "sliding_log"] {
        let rules = vec![rule(10, "hour", None, Some(algorithm))];
        let mut windows = [SubjectWindows::default()];
        let mut passes =
            |cost| decide_together(std::slice::from_ref(&rules), &mut windows, cost, START).refusal.is_none();
        assert_eq!([passes(7), passes(4), passes(3), passes(1)], [true, false, true, false], "{algorithm}");
        assert!(!passes(11), "{algorithm}");
    }
}

#[test]
fn what_can_never_pass_is_told_to_wait_for_the_window() {
    let rules = [rule(10, "hour", None, None)];
    let outcome = super::super::inspect(&rules, &SubjectWindows::default(), Calendar::utc(), 11, START);
    assert_eq!(outcome.refusal.unwrap().retry_after_secs(), 3_600);
}

#[test]
fn what_cost_more_is_charged_over_the_limit_too() {
    for algorithm in ["token_bucket", "fixed_window", "sliding_window", "sliding_log"] {
        let rules = [rule(10, "hour", None, Some(algorithm))];
        let mut windows = SubjectWindows::default();
        assert!(passes(&rules, &mut windows, START));
        settle(&rules, &mut windows, 1, 25, START);
        assert!(!passes(&rules, &mut windows, START), "{algorithm}");
    }
    // An overdrawn bucket has to fill beyond nothing first: 15 tokens of a debt, at ten an hour.
    let rules = [rule(10, "hour", None, None)];
    let mut windows = SubjectWindows::default();
    assert!(passes(&rules, &mut windows, START));
    settle(&rules, &mut windows, 1, 25, START);
    assert!(!passes(&rules, &mut windows, seconds_later(3_600 + 1_800)));
    assert!(passes(&rules, &mut windows, seconds_later(3_600 + 1_800 + 360)));
}

#[test]
fn what_cost_less_is_given_back_within_its_period() {
    let fixed = [rule(10, "hour", None, Some("fixed_window"))];
    for algorithm in ["token_bucket", "fixed_window", "sliding_window", "sliding_log"] {
        let rules = [rule(10, "hour", None, Some(algorithm))];
        let mut windows = SubjectWindows::default();
        assert!(passes(&rules, &mut windows, START));
        settle(&rules, &mut windows, 1, 0, START);
        assert_eq!(remaining(&rules, &windows, START), 10, "{algorithm}");
        settle(&rules, &mut windows, 5, 0, START);
        assert_eq!(remaining(&rules, &windows, START), 10, "{algorithm}: never below zero");
        assert!(passes(&rules, &mut windows, START));
        assert_eq!(remaining(&rules, &windows, START), 9, "{algorithm}");
    }
    let mut windows = SubjectWindows::default();
    assert!(passes(&fixed, &mut windows, START));
    // The next period has nothing to give back.
    let next =
        UnixMicros::from_secs(fixed[0].window.period(Anchor::Calendar, Calendar::utc(), START).end_secs);
    assert!(passes(&fixed, &mut windows, next));
    settle(&fixed, &mut windows, 1, 0, next);
    assert_eq!(remaining(&fixed, &windows, next), 9);
}

#[test]
fn a_bucket_gives_nothing_back_that_has_flowed_back() {
    let rules = [rule(60, "minute", None, None)];
    let mut windows = SubjectWindows::default();
    let charge = |windows: &mut SubjectWindows, cost, now| {
        decide_alone(&rules, windows, Calendar::utc(), cost, now).refusal.is_none()
    };
    assert!(charge(&mut windows, 60, START));
    assert!(charge(&mut windows, 60, seconds_later(60)));
    settle(&rules, &mut windows, 60, 0, seconds_later(60));
    assert_eq!(remaining(&rules, &windows, seconds_later(60)), 0, "it was full in between");
    settle(&rules, &mut windows, 60, 0, seconds_later(30));
    assert_eq!(remaining(&rules, &windows, seconds_later(60)), 0, "whatever the clock does");
}

#[test]
fn a_log_gives_back_the_request_itself_or_nothing() {
    let rules = [rule(3, "minute", None, Some("sliding_log"))];
    let mut windows = SubjectWindows::default();
    assert!(passes(&rules, &mut windows, START));
    assert!(passes(&rules, &mut windows, seconds_later(30)));
    assert!(passes(&rules, &mut windows, seconds_later(60)), "the first is past");
    settle(&rules, &mut windows, 1, 0, seconds_later(60));
    assert_eq!(remaining(&rules, &windows, seconds_later(60)), 1, "the others are not its");
    settle(&rules, &mut windows, 1, 0, seconds_later(20));
    assert_eq!(remaining(&rules, &windows, seconds_later(60)), 1, "whatever the clock does");

    let mut windows = SubjectWindows::default();
    assert!(passes(&rules, &mut windows, seconds_later(5)));
    // The clock has stepped back: it is noted with the last one.
    assert!(passes(&rules, &mut windows, START));
    settle(&rules, &mut windows, 1, 0, seconds_later(1));
    assert_eq!(remaining(&rules, &windows, seconds_later(1)), 2);
}

#[test]
fn a_log_that_took_over_another_count_gives_back_more_than_its_first_request() {
    let (bucket, log) = ([rule(10, "hour", None, None)], [rule(10, "hour", None, Some("sliding_log"))]);
    let mut windows = SubjectWindows::default();
    assert!(decide_alone(&bucket, &mut windows, Calendar::utc(), 3, START).refusal.is_none());
    // Two of three have come back, and one counts as let through now.
    for later in [730, 731, 732] {
        assert!(passes(&log, &mut windows, seconds_later(later)));
    }
    assert_eq!(remaining(&log, &windows, seconds_later(732)), 6);
    settle(&log, &mut windows, 3, 0, seconds_later(732));
    assert_eq!(remaining(&log, &windows, seconds_later(732)), 9);
}

proptest! {
    #[test]
    fn all_subjects_are_charged_or_none(
        levels in prop::collection::vec(prop::collection::vec(any_rule(), 0..3), 1..6),
        traffic in prop::collection::vec((0u64..4_000_000_000, 1u64..20, any::<u8>()), 1..150),
    ) {
        let levels: Vec<Vec<LimitRule>> = levels
            .into_iter()
            .map(|mut rules| {
                rules.sort_by_key(|rule| format!("{:?}", rule.window));
                rules.dedup_by_key(|rule| rule.window);
                rules
            })
            .collect();
        let mut windows = vec![SubjectWindows::default(); levels.len()];
        let mut now = START;
        for (gap, cost, chosen) in traffic {
            now = now.after(gap);
            // A request meets some of the levels.
            let meets = |index: usize| index == 0 || chosen >> index & 1 == 1;
            let expected = levels.iter().zip(&windows).enumerate().all(|(index, (rules, windows))| {
                !meets(index) || super::super::inspect(rules, windows, Calendar::utc(), cost, now).refusal.is_none()
            });
            let before = windows.clone();
            let mut charges: Vec<_> = levels
                .iter()
                .zip(&mut windows)
                .enumerate()
                .filter(|(index, _)| meets(*index))
                .map(|(_, (rules, windows))| charge(rules, windows))
                .collect();
            let outcome = super::super::decide(&mut charges, cost, now);
            prop_assert_eq!(outcome.refusal.is_none(), expected);
            for (index, (rules, (before, after))) in levels.iter().zip(before.iter().zip(&windows)).enumerate() {
                if !expected || !meets(index) {
                    prop_assert_eq!(before, after);
                    continue;
                }
                let standing = |windows| super::super::inspect(rules, windows, Calendar::utc(), 1, now).standings;
                for (before, after) in standing(before).iter().zip(&standing(after)) {
                    prop_assert_eq!(before.remaining, after.remaining + cost);
                }
            }
        }
    }

    /// Whoever makes a request that is given back never has more than who did not make it.
    #[test]
    fn giving_back_gives_no_more_than_was_taken(
        limit in any_rule(),
        cost in 1u64..40,
        actual in 0u64..40,
        before in prop::collection::vec((0u64..40_000_000, 1u64..10), 0..20),
        between in prop::collection::vec((0u64..40_000_000, 1u64..10), 0..20),
    ) {
        let rules = [limit];
        let charge = |windows: &mut SubjectWindows, cost, now| {
            decide_alone(&rules, windows, Calendar::utc(), cost, now).refusal.is_none()
        };
        let mut with = SubjectWindows::default();
        let mut now = START;
        for (gap, cost) in before {
            now = now.after(gap);
            charge(&mut with, cost, now);
        }
        let mut without = with.clone();
        let charged_at = now;
        if !charge(&mut with, cost, now) {
            return Ok(());
        }
        for (gap, cost) in between {
            now = now.after(gap);
            // The same requests are let through in both worlds.
            if charge(&mut with, cost, now) {
                prop_assert!(charge(&mut without, cost, now));
            }
        }
        let settlement = Settlement { charged: cost, charged_at, actual: actual.min(cost) };
        super::super::settle(&rules, &mut with, Calendar::utc(), settlement, now);
        prop_assert!(remaining(&rules, &with, now) <= remaining(&rules, &without, now));
    }
}
