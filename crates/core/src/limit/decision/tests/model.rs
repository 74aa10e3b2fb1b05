//! Random traffic against the same limits counted the slow way.

use super::decide_alone as decide;
use super::*;
use crate::limit::inspect;
use crate::resource::{Algorithm, Limit, Overage, Thresholds};

/// All requests that were let through, with their costs, oldest first.
type History = Vec<(UnixMicros, u64)>;

fn limit_rule(requests: u64, per: Window, algorithm: Algorithm) -> LimitRule {
    let anchor = Anchor::default();
    let (thresholds, overage) = (Thresholds::default(), Overage::default());
    LimitRule::compile(&Limit { requests, per, algorithm, anchor, thresholds, overage })
}

fn any_algorithm() -> impl Strategy<Value = Algorithm> {
    prop_oneof![
        (1u64..50).prop_map(|burst| Algorithm::TokenBucket { burst }),
        Just(Algorithm::FixedWindow),
        Just(Algorithm::SlidingWindow),
        Just(Algorithm::SlidingLog),
    ]
}

pub(super) fn any_rule() -> impl Strategy<Value = LimitRule> {
    let span = (1u64..50, 1u32..7_200, any_algorithm())
        .prop_map(|(requests, secs, algorithm)| limit_rule(requests, Window::Span { secs }, algorithm));
    let calendar = (1u64..50, prop_oneof![Just(Window::CalendarDay), Just(Window::CalendarMonth)])
        .prop_map(|(requests, window)| limit_rule(requests, window, Algorithm::FixedWindow));
    prop_oneof![3 => span, 1 => calendar]
}

fn any_rules() -> impl Strategy<Value = Vec<LimitRule>> {
    prop::collection::vec(any_rule(), 1..4).prop_map(|mut rules| {
        let mut seen = Vec::new();
        rules.retain(|rule| {
            !seen.contains(&rule.window) && {
                seen.push(rule.window);
                true
            }
        });
        rules
    })
}

fn any_cost() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(1u64), 2 => 1u64..10, 1 => 1u64..80]
}

fn any_gap() -> impl Strategy<Value = u64> {
    prop_oneof![2 => 0u64..2_000_000, 2 => 0u64..600_000_000, 1 => 0u64..4_000_000_000]
}

/// Whether the limit admits the request, by all that it ever admitted.
fn model_admits(rule: &LimitRule, history: &History, cost: u64, now: UnixMicros) -> bool {
    let window_micros = rule.window.nominal_secs() * 1_000_000;
    let between = |from_micros: u64, to_micros: u64| -> u64 {
        let within = |at: UnixMicros| from_micros <= at.0 && at.0 < to_micros;
        history.iter().filter(|(at, _)| within(*at)).map(|(_, cost)| cost).sum()
    };
    match rule.algorithm {
        Algorithm::FixedWindow => {
            let period = rule.window.period(rule.anchor, Calendar::utc(), now);
            between(period.start_secs * 1_000_000, u64::MAX) + cost <= rule.requests
        }
        Algorithm::TokenBucket { burst } => {
            // Level of a leaky bucket, drained between one admitted request and the next.
            let token = u128::from(window_micros);
            let (mut level, mut last) = (0u128, UnixMicros(0));
            for &(at, cost) in history {
                level = level.saturating_sub(u128::from(at.0 - last.0) * u128::from(rule.requests))
                    + u128::from(cost) * token;
                last = at;
            }
            level = level.saturating_sub(u128::from(now.0 - last.0) * u128::from(rule.requests));
            level + u128::from(cost) * token <= u128::from(burst) * token
        }
        Algorithm::SlidingWindow => {
            let start = now.0 / window_micros * window_micros;
            let previous = u128::from(between(start - window_micros, start));
            let current = u128::from(between(start, u64::MAX) + cost);
            let left = u128::from(start + window_micros - now.0);
            previous * left + current * u128::from(window_micros)
                <= u128::from(rule.requests) * u128::from(window_micros)
        }
        Algorithm::SlidingLog => between(now.0 - window_micros + 1, u64::MAX) + cost <= rule.requests,
    }
}

/// What a refusal says of its rule holds: waiting so long is enough, and waiting less is not.
fn check_retry(rule: &LimitRule, windows: &SubjectWindows, cost: u64, now: UnixMicros, wait: u64) {
    let most = match rule.algorithm {
        Algorithm::TokenBucket { burst } => burst,
        Algorithm::FixedWindow | Algorithm::SlidingWindow | Algorithm::SlidingLog => rule.requests,
    };
    let refused_at =
        |at| inspect(std::slice::from_ref(rule), windows, Calendar::utc(), cost, at).refusal.is_some();
    if cost > most {
        assert_eq!(wait, rule.window.nominal_secs() * 1_000_000, "never, so the window's length is told");
        assert!(refused_at(now.after(wait)));
    } else {
        assert!(!refused_at(now.after(wait)), "it is enough");
        assert!(wait > 0 && refused_at(now.after(wait - 1)), "and not more than needed");
    }
}

/// What is said to remain is let through, and no more.
fn check_remaining(rule: &LimitRule, windows: &SubjectWindows, now: UnixMicros) {
    let rules = std::slice::from_ref(rule);
    let costing = |cost| inspect(rules, windows, Calendar::utc(), cost, now);
    let remaining = costing(1).standings[0].remaining;
    assert!(remaining == 0 || costing(remaining).refusal.is_none(), "{remaining} remain");
    assert!(costing(remaining + 1).refusal.is_some(), "no more than {remaining} remain");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_traffic_is_admitted_as_the_model_admits_it(
        rules in any_rules(),
        requests in prop::collection::vec((any_gap(), any_cost()), 1..150),
    ) {
        let mut windows = SubjectWindows::default();
        let mut history = History::new();
        let mut now = START;
        for (gap, cost) in requests {
            now = now.after(gap);
            let expected = rules.iter().all(|rule| model_admits(rule, &history, cost, now));
            let before = windows.clone();
            let outcome = decide(&rules, &mut windows, Calendar::utc(), cost, now);
            prop_assert_eq!(outcome.refusal.is_none(), expected);
            for rule in &rules {
                check_remaining(rule, &windows, now);
            }
            match outcome.refusal {
                None => history.push((now, cost)),
                Some(refusal) => {
                    prop_assert_eq!(&before, &windows, "a refusal charges nothing");
                    check_retry(&rules[refusal.rule], &windows, cost, now, refusal.retry_after_micros);
                }
            }
        }
    }

    /// A clock that stepped back is taken for the instant of the last request that was let through: nothing is let
    /// through that would not have been then.
    #[test]
    fn whatever_the_clock_does_a_limit_is_never_over(
        rule in any_rule(),
        requests in prop::collection::vec((any_gap(), any_cost(), any::<bool>()), 1..150),
    ) {
        let rules = [rule];
        let mut windows = SubjectWindows::default();
        let mut history = History::new();
        let mut now = START;
        for (gap, cost, is_back) in requests {
            now = if is_back { UnixMicros(now.0.saturating_sub(gap).max(START.0)) } else { now.after(gap) };
            let before = windows.clone();
            let outcome = decide(&rules, &mut windows, Calendar::utc(), cost, now);
            let at = history.last().map_or(now, |(last, _)| now.max(*last));
            match outcome.refusal {
                None => {
                    prop_assert!(model_admits(&rules[0], &history, cost, at));
                    history.push((at, cost));
                }
                Some(refusal) => {
                    prop_assert_eq!(&before, &windows, "a refusal charges nothing");
                    check_retry(&rules[0], &windows, cost, now, refusal.retry_after_micros);
                }
            }
        }
    }

    #[test]
    fn an_edit_of_the_algorithm_keeps_what_was_used(
        requests in 1u64..50,
        secs in 1u32..7_200,
        steps in prop::collection::vec((any_gap(), any_cost(), any_algorithm()), 1..60),
    ) {
        let mut windows = SubjectWindows::default();
        let mut now = START;
        let with = |algorithm| {
            // A burst of another size is another limit: what remains of it does not compare.
            let algorithm = match algorithm {
                Algorithm::TokenBucket { .. } => Algorithm::TokenBucket { burst: requests },
                other @ (Algorithm::FixedWindow | Algorithm::SlidingWindow | Algorithm::SlidingLog) => other,
            };
            [limit_rule(requests, Window::Span { secs }, algorithm)]
        };
        let mut before = with(Algorithm::SlidingLog);
        for (gap, cost, algorithm) in steps {
            let _ = decide(&before, &mut windows, Calendar::utc(), cost, now);
            now = now.after(gap);
            let after = with(algorithm);
            let remaining = |rules: &[LimitRule]| inspect(rules, &windows, Calendar::utc(), 1, now).standings[0].remaining;
            prop_assert_eq!(remaining(&before), remaining(&after));
            before = after;
        }
    }

    #[test]
    fn an_edit_of_the_calendar_leaves_the_running_period_alone(
        zones in prop::collection::vec(prop::sample::select(TimeZone::all_names().collect::<Vec<_>>()), 1..12),
        subscribed_at_secs in 0u64..2_000_000_000,
        gaps in prop::collection::vec(0u64..400_000, 12),
    ) {
        let mut windows = SubjectWindows::default();
        let mut now = START;
        let mut running: Option<(u64, u64)> = None;
        for (index, (zone, gap)) in zones.iter().zip(gaps).enumerate() {
            now = now.after(gap * 1_000_000);
            let zone = TimeZone::parse(zone).unwrap();
            let calendar = Calendar { zone: &zone, subscribed_at_secs };
            let anchor = if index % 2 == 0 { Anchor::Calendar } else { Anchor::Subscription };
            let rules = [LimitRule { anchor, ..limit_rule(100, Window::CalendarDay, Algorithm::FixedWindow) }];
            let standing = decide(&rules, &mut windows, calendar, 1, now).standings[0];
            prop_assert!(standing.reset_secs > now.secs());
            let used = 100 - standing.remaining;
            let still_running = running.filter(|(_, end_secs)| now.secs() < *end_secs);
            if let Some((used_before, end_secs)) = still_running {
                prop_assert_eq!((used, standing.reset_secs), (used_before + 1, end_secs));
            } else {
                prop_assert_eq!(used, 1);
            }
            running = Some((used, standing.reset_secs));
        }
    }

    #[test]
    fn extremes_do_not_overflow(
        requests in 1u64..=1_000_000_000_000,
        cost in prop_oneof![Just(1u64), Just(u64::MAX), any::<u64>()],
        (at, now, used, other) in (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()),
        missing: u128,
        secs in prop_oneof![Just(1u32), Just(31 * 86_400), 1u32..=31 * 86_400],
    ) {
        let bucket = Algorithm::TokenBucket { burst: requests };
        let window = Window::Span { secs };
        let states = [
            Counted::Bucket { missing: missing.into(), at: UnixMicros(at), full_at: UnixMicros(at) },
            Counted::Fixed { start_secs: at, end_secs: other, used },
            Counted::Sliding { end_secs: at, previous: used, current: other },
            Counted::Log(Box::new(Log::of([(UnixMicros(at), used.max(1))]).unwrap())),
        ];
        for algorithm in [bucket, Algorithm::FixedWindow, Algorithm::SlidingWindow, Algorithm::SlidingLog] {
            let rules = [limit_rule(requests, window, algorithm)];
            for state in &states {
                let mut windows = SubjectWindows::default();
                windows.put(window, state.clone());
                for now in [0, now, u64::MAX] {
                    let outcome =
                        decide(&rules, &mut windows, Calendar::utc(), cost, UnixMicros(now));
                    prop_assert!(outcome.standings[0].remaining <= requests);
                    prop_assert!(cost <= requests || outcome.refusal.is_some());
                }
                windows.forget_past(UnixMicros(now));
            }
        }
    }
}
