use std::time::Duration;

use uuid::Uuid;

use super::*;

fn subject(target: u128) -> Subject {
    Subject {
        tenant: TenantId(Uuid::from_u128(1)),
        service: ServiceId(Uuid::from_u128(2)),
        target: TargetId(Uuid::from_u128(target)),
    }
}

fn every(secs: u64) -> Arc<HealthCheck> {
    let interval = Duration::from_secs(secs);
    Arc::new(HealthCheck { interval, jitter_percent: 0, ..HealthCheck::usual() })
}

const fn at(secs: u64) -> Uptime {
    Uptime::from_secs(secs)
}

/// The only target; its first check has begun at 1 s.
fn checked_every(secs: u64) -> Schedule {
    let mut schedule = Schedule::new(8);
    assert!(schedule.follow([(subject(1), &every(secs))], at(1)).is_empty());
    assert_eq!(schedule.begin(at(1), 0), Some(subject(1)));
    schedule
}

#[test]
fn a_target_is_checked_at_once_and_then_as_often_as_is_said_but_never_twice_at_a_time() {
    let mut schedule = checked_every(10);
    assert_eq!(schedule.begin(at(30), 0), None, "its check is under way");
    schedule.end(subject(1));
    assert_eq!(schedule.next_due(), Some(at(11)));
    assert_eq!(schedule.begin(at(30), 0), Some(subject(1)));
    schedule.end(subject(1));
    assert_eq!(schedule.begin(at(39), 0), None);
    assert_eq!(schedule.begin(at(40), 0), Some(subject(1)));
}

#[test]
fn an_edited_interval_holds_from_the_edit_on() {
    let mut schedule = checked_every(3_600);
    schedule.end(subject(1));
    assert!(schedule.follow([(subject(1), &every(10))], at(5)).is_empty());
    assert_eq!((schedule.begin(at(10), 0), schedule.begin(at(11), 0)), (None, Some(subject(1))));
    schedule.end(subject(1));
    // It is longer again.
    schedule.follow([(subject(1), &every(60))], at(12));
    assert_eq!((schedule.begin(at(70), 0), schedule.begin(at(71), 0)), (None, Some(subject(1))));
}

#[test]
fn a_check_that_is_for_nothing_is_said_to_be_and_holds_its_place_until_it_ends() {
    let mut schedule = checked_every(10);
    assert!(schedule.follow([(subject(1), &every(10))], at(2)).is_empty(), "it was not edited");
    assert_eq!(schedule.follow([(subject(1), &every(60))], at(2)), [subject(1)]);
    assert_eq!(schedule.begin(at(2), 0), None);
    schedule.end(subject(1));
    assert_eq!(schedule.begin(at(2), 0), Some(subject(1)), "it is made again by what holds now");
    assert_eq!(schedule.follow([], at(3)), [subject(1)]);
    schedule.end(subject(1));
    assert_eq!((schedule.begin(at(999), 0), schedule.next_due()), (None, None));
    assert!(schedule.entries.is_empty());
}

#[test]
fn who_asks_for_a_check_that_is_under_way_has_its_result() {
    let mut schedule = checked_every(10);
    assert_eq!(schedule.ask(subject(1)), Asked::UnderWay);
    assert_eq!(schedule.begin(at(2), 0), None);
    schedule.end(subject(1));
    assert_eq!(
        (schedule.ask(subject(1)), schedule.ask(subject(1))),
        (Asked::WaitsForTurn, Asked::WaitsForTurn)
    );
    assert_eq!((schedule.begin(at(3), 0), schedule.begin(at(3), 0)), (Some(subject(1)), None));
    schedule.end(subject(1));
    assert_eq!(schedule.next_due(), Some(at(13)), "the next is as long after this one");
}

#[test]
fn a_target_that_is_not_checked_else_is_checked_once_where_somebody_asks() {
    let mut schedule = Schedule::new(1);
    assert_eq!(
        (schedule.ask(subject(1)), schedule.ask(subject(2))),
        (Asked::WaitsForTurn, Asked::WaitsForTurn)
    );
    let first = schedule.begin(at(1), 0).unwrap();
    assert!(schedule.follow([], at(1)).is_empty(), "an edit of something else ends it not");
    assert_eq!(schedule.begin(at(1), 0), None);
    schedule.end(first);
    let second = schedule.begin(at(1), 0).unwrap();
    assert_ne!(first, second);
    schedule.end(second);
    assert!(schedule.entries.is_empty() && schedule.next_due().is_none());
}

#[test]
fn who_is_asked_for_goes_before_those_that_are_overdue() {
    let mut schedule = Schedule::new(1);
    let check = every(10);
    schedule.follow((1..=9).map(|target| (subject(target), &check)), at(1));
    schedule.ask(subject(7));
    assert_eq!(schedule.begin(at(9), 0), Some(subject(7)));
}

#[test]
fn who_is_gone_is_not_checked_any_more() {
    let mut schedule = Schedule::new(1);
    let check = every(10);
    schedule.follow((1..=3).map(|target| (subject(target), &check)), at(1));
    let first = schedule.begin(at(1), 0).unwrap();
    assert_eq!(schedule.begin(at(1), 0), None, "there is but one place");
    // Two wait for their turn.
    assert_eq!(schedule.follow([], at(2)), [first]);
    schedule.end(first);
    assert_eq!((schedule.begin(at(99), 0), schedule.next_due()), (None, None));
}

#[test]
fn who_was_gone_and_is_back_is_checked_at_once() {
    let mut schedule = checked_every(3_600);
    schedule.follow([], at(2));
    assert_eq!(schedule.follow([(subject(1), &every(3_600))], at(3)), [subject(1)]);
    schedule.end(subject(1));
    assert_eq!(schedule.begin(at(4), 0), Some(subject(1)));
}
