use proptest::prelude::*;

use super::*;
use crate::limit::{Counted, Log, Window};
use crate::resource::{Anchor, LimitDraft, TimeZone};
use crate::time::UnixMicros;

const START: UnixMicros = UnixMicros::from_secs(1_769_351_520);

fn rule(requests: u64, per: &str, burst: Option<u64>, algorithm: Option<&str>) -> LimitRule {
    let algorithm = algorithm.map(str::to_owned);
    let draft = LimitDraft { requests, per: per.into(), burst, algorithm, ..LimitDraft::default() };
    LimitRule::compile(&draft.parse().unwrap())
}

fn seconds_later(secs: u64) -> UnixMicros {
    START.after(secs * 1_000_000)
}

/// One subject alone.
fn decide_alone(
    rules: &[LimitRule],
    windows: &mut SubjectWindows,
    calendar: Calendar<'_>,
    cost: u64,
    now: UnixMicros,
) -> Outcome {
    super::decide(&mut [Charge { rules, windows, calendar }], cost, now)
}

/// A request that costs one, in UTC.
fn decide(rules: &[LimitRule], windows: &mut SubjectWindows, now: UnixMicros) -> Outcome {
    decide_alone(rules, windows, Calendar::utc(), 1, now)
}

fn inspect(rules: &[LimitRule], windows: &SubjectWindows, now: UnixMicros) -> Outcome {
    super::inspect(rules, windows, Calendar::utc(), 1, now)
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

#[test]
fn a_cost_is_charged_whole_or_not_at_all() {
    for algorithm in ["token_bucket", "fixed_window", "sliding_window", "sliding_log"] {
        let rules = [rule(10, "hour", None, Some(algorithm))];
        let mut windows = SubjectWindows::default();
        let mut costing = |cost| decide_alone(&rules, &mut windows, Calendar::utc(), cost, START);
        assert_eq!(costing(7).standings[0].remaining, 3, "{algorithm}");
        assert_eq!(costing(4).standings[0].remaining, 3, "{algorithm}");
        assert!(costing(3).refusal.is_none(), "{algorithm}");
        // What can never pass is told to come back after the window's length.
        assert_eq!(costing(11).refusal.unwrap().retry_after_secs(), 3_600, "{algorithm}");
    }
}

#[test]
fn a_sliding_window_weighs_the_window_before_by_what_is_left_of_it() {
    let rules = [rule(10, "minute", None, Some("sliding_window"))];
    let mut windows = SubjectWindows::default();
    for _ in 0..10 {
        assert!(passes(&rules, &mut windows, START));
    }
    // START is a full minute. A quarter into the next one, three quarters of ten count: 7.5.
    let quarter = seconds_later(75);
    assert_eq!(inspect(&rules, &windows, quarter).standings[0].remaining, 2);
    assert!(passes(&rules, &mut windows, quarter) && passes(&rules, &mut windows, quarter));
    // 7.5 + 2 + 1 > 10; in another three seconds 7 + 2 + 1 fit.
    assert_eq!(decide(&rules, &mut windows, quarter).refusal.unwrap().retry_after_micros, 3_000_000);
    assert!(!passes(&rules, &mut windows, quarter.after(2_999_999)));
    assert!(passes(&rules, &mut windows, seconds_later(78)));
    let standing = inspect(&rules, &windows, seconds_later(78)).standings[0];
    assert_eq!(standing.reset_secs, seconds_later(180).secs());
}

#[test]
fn a_sliding_log_lets_no_stretch_of_the_window_have_more() {
    let rules = [rule(3, "minute", None, Some("sliding_log"))];
    let mut windows = SubjectWindows::default();
    for at in [50, 55, 58] {
        assert!(passes(&rules, &mut windows, seconds_later(at)));
    }
    let refusal = decide(&rules, &mut windows, seconds_later(61)).refusal.unwrap();
    assert_eq!(refusal.retry_after_secs(), 49);
    assert!(!passes(&rules, &mut windows, UnixMicros(seconds_later(110).0 - 1)));
    assert!(passes(&rules, &mut windows, seconds_later(110)));
    assert!(!passes(&rules, &mut windows, seconds_later(114)));
    let costing_two = super::inspect(&rules, &windows, Calendar::utc(), 2, seconds_later(112));
    assert_eq!(costing_two.refusal.unwrap().retry_after_secs(), 6);
    assert_eq!(costing_two.standings[0].reset_secs, seconds_later(170).secs());
}

#[test]
fn a_running_period_outlives_a_change_of_time_zone_and_anchor() {
    let calendar_month = rule(5, "month", None, None);
    let anchored = LimitRule { anchor: Anchor::Subscription, ..rule(5, "month", None, None) };
    let tokyo = TimeZone::parse("Asia/Tokyo").unwrap();
    let elsewhere = Calendar { zone: &tokyo, subscribed_at_secs: START.secs() - 86_400 };
    let mut windows = SubjectWindows::default();
    for _ in 0..5 {
        assert!(passes(std::slice::from_ref(&calendar_month), &mut windows, START));
    }
    // 1 February, by UTC: Tokyo's has begun by then, and the subscription's month ends on the 24th.
    let end = inspect(std::slice::from_ref(&calendar_month), &windows, START).standings[0].reset_secs;
    for rule in [&calendar_month, &anchored] {
        let rules = std::slice::from_ref(rule);
        let last = UnixMicros(UnixMicros::from_secs(end).0 - 1);
        let standing = super::inspect(rules, &windows, elsewhere, 1, last).standings[0];
        assert_eq!((standing.remaining, standing.reset_secs), (0, end));
        let next = super::inspect(rules, &windows, elsewhere, 1, UnixMicros::from_secs(end)).standings[0];
        assert_eq!(next.remaining, 5);
    }
    let next = super::inspect(&[anchored], &windows, elsewhere, 1, UnixMicros::from_secs(end));
    assert_eq!(crate::time::rfc3339(next.standings[0].reset_secs), *b"2026-02-24T14:32:00Z");
}

#[test]
fn a_plan_made_smaller_and_larger_again_refills_nothing() {
    for algorithm in ["token_bucket", "fixed_window", "sliding_window", "sliding_log"] {
        let (large, small) =
            ([rule(100, "hour", None, Some(algorithm))], [rule(10, "hour", None, Some(algorithm))]);
        let mut windows = SubjectWindows::default();
        for _ in 0..90 {
            assert!(passes(&large, &mut windows, START));
        }
        assert!(!passes(&small, &mut windows, seconds_later(60)), "{algorithm}");
        assert!(inspect(&large, &windows, START).standings[0].remaining <= 10, "{algorithm}");
    }
}

#[test]
fn a_log_forgets_what_is_past_as_it_goes() {
    let rules = [rule(100, "minute", None, Some("sliding_log"))];
    let mut windows = SubjectWindows::default();
    for second in 0..600 {
        assert!(passes(&rules, &mut windows, seconds_later(second)));
    }
    let Some((_, Counted::Log(log))) = windows.iter().next() else { panic!("no log") };
    assert_eq!(log.requests().len(), 60);
    assert!(!windows.forget_past(seconds_later(658)));
    assert!(windows.forget_past(seconds_later(659)));
}

mod edits;
mod model;
mod subjects;
mod thresholds;
