use tollgate_core::limit::{LevelLimits, charge_each};
use tollgate_core::resource::LimitDraft;

use super::*;
use crate::shared::unanswered::first_answer;

const NOW: UnixMicros = UnixMicros::from_secs(1_769_351_520);

#[test]
fn what_a_node_holds_of_a_bucket_puts_off_no_reset() {
    let limit = LimitDraft { requests: 60, per: "minute".into(), ..LimitDraft::default() };
    let rules = LevelLimits::of_plan(&[limit.parse().unwrap()], None).rules;
    let now = Instant::now();
    let mut ledger = Ledger::new(Arc::clone(&rules), now);
    let mut windows = SubjectWindows::default();
    charge_each([(&rules[0], 30)], &mut windows, Calendar::utc(), NOW);
    let answer = first_answer(windows, 20, NOW);
    ledger.note(&rules, &answer);
    ledger.slices.add(&answer, &rules, now, now);
    let standing = |ledger: &Ledger, after| {
        let standing = ledger.inspect(&rules, Calendar::utc(), 1, NOW.after(after)).standings[0];
        (standing.remaining, standing.reset_secs - NOW.secs())
    };
    assert_eq!(standing(&ledger, 0), (50, 10));
    assert!(ledger.slices.spend_in_hand(5, now).is_some());
    assert_eq!(standing(&ledger, 0), (45, 15));
    // More has come back than was used.
    assert_eq!(standing(&ledger, 16_000_000), (60, 16));
}
