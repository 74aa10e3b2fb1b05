//! Limits that are edited between two requests, or before an earlier one is settled.

use std::mem::discriminant;

use proptest::prelude::*;

use super::*;

const ALGORITHMS: [&str; 4] = ["token_bucket", "fixed_window", "sliding_window", "sliding_log"];

fn bucket(requests: u64, secs: u32, burst: u64) -> [LimitRule; 1] {
    [rule(requests, &format!("{secs}s"), Some(burst), None)]
}

proptest! {
    /// What sweeps and restarts drop is what nobody would miss.
    #[test]
    fn a_bucket_is_not_forgotten_before_it_is_full_at_a_rate_that_was_halved(
        (requests, lower, burst) in (1u64..1_000).prop_flat_map(|requests| {
            (Just(requests), requests.div_ceil(2)..=requests, 1..=requests)
        }),
        secs in 1u32..7_200,
        burst_after in 1u64..1_000,
        charges in prop::collection::vec((0u64..40_000_000, 1u64..300), 1..20),
        later_micros in prop_oneof![0u64..100_000_000, 0u64..80_000_000_000],
    ) {
        let (before, after) = (bucket(requests, secs, burst), bucket(lower, secs, burst_after));
        let mut windows = SubjectWindows::default();
        let mut now = START;
        for (gap, cost) in charges {
            now = now.after(gap);
            let _ = decide_alone(&before, &mut windows, Calendar::utc(), cost, now);
        }
        let later = now.after(later_micros);
        let kept = inspect(&after, &windows, later);
        windows.forget_past(later);
        prop_assert_eq!(inspect(&after, &windows, later), kept);
    }

    /// A request's charge is corrected under the limits that it was let through by, which may be others by now.
    #[test]
    fn what_is_settled_late_leaves_the_count_to_the_limits_in_force(
        (before, after) in (0usize..4, 0usize..4),
        (requests_before, requests_after) in (20u64..1_000, 20u64..1_000),
        charges in prop::collection::vec((0u64..40_000_000, 1u64..10), 1..10),
        (charged, actual) in (1u64..20, 0u64..40),
        (gap, later_micros) in (0u64..100_000_000, 0u64..4_000_000_000),
    ) {
        let before = [rule(requests_before, "hour", None, Some(ALGORITHMS[before]))];
        let after = [rule(requests_after, "hour", None, Some(ALGORITHMS[after]))];
        let mut windows = SubjectWindows::default();
        let mut now = START;
        let _ = decide_alone(&before, &mut windows, Calendar::utc(), charged, now);
        for (gap, cost) in charges {
            now = now.after(gap);
            let _ = decide_alone(&after, &mut windows, Calendar::utc(), cost, now);
        }
        let untouched = windows.clone();
        let kept_as = |windows: &SubjectWindows| discriminant(windows.find(after[0].window).unwrap());
        let settlement = Settlement { charged, charged_at: START, actual };
        settle(&before, &mut windows, Calendar::utc(), settlement, now.after(gap));
        // A log of which nothing is left is nothing.
        if inspect(&after, &windows, now).standings[0].remaining < requests_after {
            prop_assert_eq!(kept_as(&windows), kept_as(&untouched));
        }
        // A count that nobody was let through by since the edit knows nothing of it: until now it came back, and is kept, by the
        // old rate. That tells where the rate was lowered by much.
        if requests_after * 2 >= requests_before {
            let later = now.after(gap + later_micros);
            let remaining = |windows: &_| inspect(&after, windows, later).standings[0].remaining;
            let given_back = charged.saturating_sub(actual);
            prop_assert!(remaining(&windows) <= remaining(&untouched) + given_back);
            windows.forget_past(later);
            prop_assert!(remaining(&windows) <= remaining(&untouched) + given_back, "forgotten too early");
        }
    }
}
