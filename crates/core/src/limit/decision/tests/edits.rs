//! Limits that are edited between two requests, or before an earlier one is settled.

use proptest::prelude::*;

use super::*;

fn bucket(requests: u64, secs: u32, burst: u64) -> [LimitRule; 1] {
    [rule(requests, &format!("{secs}s"), Some(burst), None)]
}

proptest! {
    /// What sweeps and restarts drop is what nobody would miss.
    #[test]
    fn a_bucket_is_not_forgotten_before_it_is_full_at_a_rate_that_was_lowered_to_a_tenth(
        (requests, lower) in (1u64..1_000).prop_flat_map(|requests| (Just(requests), requests.div_ceil(10)..=requests)),
        secs in 1u32..7_200,
        (burst, burst_after) in (1u64..1_000, 1u64..1_000),
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
}
