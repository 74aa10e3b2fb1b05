use tollgate_core::limit::{LevelLimits, charge_each};
use tollgate_core::resource::LimitDraft;

use super::*;
use crate::shared::slices::Spent;
use crate::shared::unanswered::first_answer;

const NOW: UnixMicros = UnixMicros::from_secs(1_769_351_520);

fn monthly(requests: u64) -> Arc<[LimitRule]> {
    let limit = LimitDraft { requests, per: "month".into(), ..LimitDraft::default() };
    LevelLimits::of_plan(&[limit.parse().unwrap()], None).rules
}

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
    assert!(ledger.slices.spend_in_hand(5, now, NOW).is_some());
    assert_eq!(standing(&ledger, 0), (45, 15));
    // More has come back than was used.
    assert_eq!(standing(&ledger, 16_000_000), (60, 16));
}

/// The machine has slept, and the monotonic clock with it.
#[test]
fn a_slice_outlives_no_period_while_the_machine_sleeps() {
    let rules = monthly(60);
    let now = Instant::now();
    let mut ledger = Ledger::new(Arc::clone(&rules), now);
    let mut windows = SubjectWindows::default();
    charge_each([(&rules[0], 30)], &mut windows, Calendar::utc(), NOW);
    let Some(&Counted::Fixed { end_secs, .. }) = windows.find(rules[0].window) else {
        panic!("it is a month")
    };
    let answer = first_answer(windows, 20, NOW);
    ledger.note(&rules, &answer);
    ledger.slices.add(&answer, &rules, now, now);
    let end = UnixMicros::from_secs(end_secs);
    let before = UnixMicros(end.0 - 1);
    assert!(ledger.slices.has_in_hand(5, now, before) && !ledger.slices.has_in_hand(5, now, end));
    assert_eq!(ledger.slices.spend(1, now, before), Spent::FromSlice { granted_at: NOW, refill: None });
    assert!(matches!(ledger.slices.spend(1, now, end), Spent::Ask { .. }));
    assert_eq!(ledger.slices.spend_in_hand(1, now, end), None);
    assert!(ledger.take_unused(now, before).is_empty());
    assert_eq!(ledger.take_unused(now, end)[0].units, 19);
}

#[test]
fn what_is_heard_in_passing_is_taken_over_unless_it_is_less() {
    let rules = monthly(100);
    let mut ledger = Ledger::new(Arc::clone(&rules), Instant::now());
    let answer = |number, used| {
        let mut windows = SubjectWindows::default();
        charge_each([(&rules[0], used)], &mut windows, Calendar::utc(), NOW);
        Answer { number, ..first_answer(windows, 0, NOW) }
    };
    ledger.note(&rules, &answer(1, 40));
    let used = |ledger: &Ledger| ledger.used(&rules, NOW)[0];
    // Slices were given back, or the store has lost something: whoever asks next finds that out.
    ledger.note_unless_less(&rules, &answer(2, 19));
    assert_eq!(used(&ledger), 40);
    assert!(!ledger.doubts(&rules, &answer(3, 40)));
    for (number, heard) in [(4, 90), (5, 60)] {
        ledger.note_unless_less(&rules, &answer(number, heard));
        assert_eq!(used(&ledger), heard);
    }
}
