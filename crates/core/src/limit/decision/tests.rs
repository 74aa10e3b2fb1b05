use proptest::prelude::*;

use super::*;
use crate::limit::{Counted, Window};
use crate::resource::{Algorithm, Limit, LimitDraft};
use crate::time::UnixMicros;

const START: UnixMicros = UnixMicros::from_secs(1_769_351_520);

fn rule(requests: u64, per: &str, burst: Option<u64>, algorithm: Option<&str>) -> LimitRule {
    let draft = LimitDraft { requests, per: per.into(), burst, algorithm: algorithm.map(str::to_owned) };
    LimitRule::compile(&draft.parse().unwrap())
}

fn seconds_later(secs: u64) -> UnixMicros {
    START.after(secs * 1_000_000)
}

fn passes(rules: &[LimitRule], windows: &mut SubjectWindows, now: UnixMicros) -> bool {
    decide(rules, windows, now).refusal.is_none()
}

#[test]
fn five_a_minute_lets_five_through_and_then_one_every_twelve_seconds() {
    let rules = [rule(5, "minute", None, None)];
    let mut windows = SubjectWindows::default();
    for left in (0..5).rev() {
        let outcome = decide(&rules, &mut windows, START);
        assert_eq!((outcome.refusal, outcome.standings[0].remaining), (None, left));
    }
    let refusal = decide(&rules, &mut windows, START).refusal.unwrap();
    assert_eq!(refusal.retry_after_secs(), 12);
    assert!(!passes(&rules, &mut windows, START.after(11_999_999)));
    assert!(passes(&rules, &mut windows, seconds_later(12)));
    assert!(!passes(&rules, &mut windows, seconds_later(12)));
}

#[test]
fn a_refusal_charges_no_limit() {
    let rules = [rule(100, "month", None, None), rule(1, "minute", None, None)];
    let mut windows = SubjectWindows::default();
    assert!(passes(&rules, &mut windows, START));
    for _ in 0..10 {
        let outcome = decide(&rules, &mut windows, START);
        assert_eq!(outcome.refusal.unwrap().rule, 1);
        assert_eq!(outcome.standings[0].remaining, 99);
    }
}

#[test]
fn of_several_refusals_the_longest_is_named() {
    let rules = [rule(1, "second", None, None), rule(1, "day", None, None), rule(1, "minute", None, None)];
    let mut windows = SubjectWindows::default();
    assert!(passes(&rules, &mut windows, START));
    assert_eq!(decide(&rules, &mut windows, START).refusal.unwrap().rule, 1);
}

#[test]
fn a_calendar_month_ends_with_the_month() {
    let rules = [rule(1, "month", None, None)];
    let mut windows = SubjectWindows::default();
    assert!(passes(&rules, &mut windows, START));
    let outcome = decide(&rules, &mut windows, START);
    assert_eq!(crate::time::rfc3339(outcome.standings[0].reset_secs), *b"2026-02-01T00:00:00Z");
    let end = UnixMicros::from_secs(outcome.standings[0].reset_secs);
    assert!(!passes(&rules, &mut windows, UnixMicros(end.0 - 1)));
    assert!(passes(&rules, &mut windows, end));
}

#[test]
fn a_clock_that_steps_back_gives_no_period_twice() {
    for algorithm in ["fixed_window", "token_bucket"] {
        let rules = [rule(2, "hour", None, Some(algorithm))];
        let mut windows = SubjectWindows::default();
        assert!(passes(&rules, &mut windows, seconds_later(7_200)));
        assert!(passes(&rules, &mut windows, seconds_later(7_200)));
        assert!(!passes(&rules, &mut windows, START), "{algorithm}");
        assert!(!passes(&rules, &mut windows, seconds_later(7_200)), "{algorithm}");
    }
}

#[test]
fn an_edit_keeps_what_was_used() {
    let mut windows = SubjectWindows::default();
    let before = [rule(10, "hour", None, None)];
    for _ in 0..6 {
        assert!(passes(&before, &mut windows, START));
    }
    for (requests, algorithm, remaining) in
        [(10, "token_bucket", 4), (8, "token_bucket", 2), (20, "fixed_window", 14), (5, "fixed_window", 0)]
    {
        let after = [rule(requests, "hour", None, Some(algorithm))];
        assert_eq!(
            inspect(&after, &windows, START).standings[0].remaining,
            remaining,
            "{requests} {algorithm}"
        );
    }
}

#[test]
fn a_fixed_window_that_becomes_a_bucket_keeps_its_count() {
    let mut windows = SubjectWindows::default();
    let before = [rule(10, "hour", None, Some("fixed_window"))];
    for _ in 0..7 {
        assert!(passes(&before, &mut windows, START));
    }
    let after = [rule(10, "hour", None, Some("token_bucket"))];
    assert_eq!(inspect(&after, &windows, START).standings[0].remaining, 3);
}

#[test]
fn a_burst_is_what_a_full_bucket_holds() {
    let rules = [rule(60, "minute", Some(3), None)];
    let mut windows = SubjectWindows::default();
    for _ in 0..3 {
        assert!(passes(&rules, &mut windows, START));
    }
    assert!(!passes(&rules, &mut windows, START));
    assert!(passes(&rules, &mut windows, seconds_later(1)));
}

#[test]
fn what_is_over_is_forgotten_and_what_is_not_is_kept() {
    let rules = [rule(5, "second", None, None), rule(5, "month", None, None)];
    let mut windows = SubjectWindows::default();
    assert!(passes(&rules, &mut windows, START));
    assert!(!windows.forget_past(seconds_later(60)));
    assert_eq!(windows.iter().count(), 1);
    assert!(windows.forget_past(seconds_later(40 * 86_400)));
}

#[test]
fn a_large_burst_is_remembered_until_it_has_come_back() {
    let rules = [rule(1, "second", Some(100), None)];
    let mut windows = SubjectWindows::default();
    for _ in 0..100 {
        assert!(passes(&rules, &mut windows, START));
    }
    assert!(!windows.forget_past(seconds_later(50)));
    assert_eq!(inspect(&rules, &windows, seconds_later(50)).standings[0].remaining, 50);
    assert!(windows.forget_past(seconds_later(101)));
}

fn any_rule() -> impl Strategy<Value = LimitRule> {
    let window = prop_oneof![
        (1u32..7_200).prop_map(|secs| Window::Span { secs }),
        Just(Window::CalendarDay),
        Just(Window::CalendarMonth)
    ];
    let algorithm = prop_oneof![
        Just(Algorithm::FixedWindow),
        (1u64..50).prop_map(|burst| Algorithm::TokenBucket { burst })
    ];
    (1u64..50, window, algorithm)
        .prop_map(|(requests, per, algorithm)| LimitRule::compile(&Limit { requests, per, algorithm }))
}

/// The same limits counted the slow way: the list of all requests that were let through.
fn model_admits(rule: &LimitRule, admitted: &[UnixMicros], now: UnixMicros) -> bool {
    match rule.algorithm {
        Algorithm::FixedWindow => {
            let period = rule.window.period(now);
            let used = admitted.iter().filter(|at| at.secs() >= period.start_secs).count();
            (used as u64) < rule.requests
        }
        Algorithm::TokenBucket { burst } => {
            // Level of a leaky bucket, drained between one admitted request and the next.
            let token = u128::from(rule.window.nominal_secs()) * 1_000_000;
            let mut level = 0u128;
            let mut last = UnixMicros(0);
            for &at in admitted {
                level = level.saturating_sub(u128::from(at.0 - last.0) * u128::from(rule.requests)) + token;
                last = at;
            }
            level = level.saturating_sub(u128::from(now.0 - last.0) * u128::from(rule.requests));
            level + token <= u128::from(burst) * token
        }
    }
}

proptest! {
    #[test]
    fn random_traffic_is_admitted_as_the_model_admits_it(
        rules in prop::collection::vec(any_rule(), 1..4),
        gaps in prop::collection::vec(prop_oneof![0u64..2_000_000, 0u64..4_000_000_000], 1..200),
    ) {
        let mut rules = rules;
        rules.dedup_by_key(|rule| rule.window);
        prop_assume!((1..rules.len()).all(|i| rules[..i].iter().all(|rule| rule.window != rules[i].window)));
        let mut windows = SubjectWindows::default();
        let mut admitted = Vec::new();
        let mut now = START;
        for gap in gaps {
            now = now.after(gap);
            let expected = rules.iter().all(|rule| model_admits(rule, &admitted, now));
            let before = windows.clone();
            let outcome = decide(&rules, &mut windows, now);
            prop_assert_eq!(outcome.refusal.is_none(), expected);
            if expected {
                admitted.push(now);
            } else {
                prop_assert_eq!(before, windows.clone());
                // Waiting as long as the answer says is enough, for the limit that it names.
                let refusal = outcome.refusal.unwrap();
                let later = now.after(refusal.retry_after_micros);
                prop_assert!(inspect(&rules[refusal.rule..=refusal.rule], &windows, later).refusal.is_none());
            }
        }
    }

    #[test]
    fn extremes_do_not_overflow(requests in 1u64..=1_000_000_000_000, at: u64, now: u64, used: u64, missing: u128) {
        for algorithm in [Algorithm::FixedWindow, Algorithm::TokenBucket { burst: requests }] {
            let limit = Limit { requests, per: Window::Span { secs: 31 * 86_400 }, algorithm };
            let rules = [LimitRule::compile(&limit)];
            let mut windows = SubjectWindows::default();
            windows.put(rules[0].window, Counted::Bucket { missing: missing >> 8, at: UnixMicros(at), full_at: UnixMicros(at) });
            let _ = decide(&rules, &mut windows, UnixMicros(now));
            windows.put(rules[0].window, Counted::Fixed { start_secs: at, used });
            let outcome = decide(&rules, &mut windows, UnixMicros(now));
            prop_assert!(outcome.standings[0].remaining <= requests);
        }
    }
}
