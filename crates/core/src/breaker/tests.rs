mod model;

use super::*;
use crate::outlier::Outcome;
use crate::uptime::Uptime;

const RULES: BreakerRules = BreakerRules::DEFAULT;

fn count(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn secs(secs: u64) -> Uptime {
    Uptime::from_secs(secs)
}

fn fail(breaker: &Breaker, rules: &BreakerRules, now: Uptime) -> Option<Transition> {
    breaker.ask(rules, now).unwrap().report(Outcome::Failure, now)
}

fn succeed(breaker: &Breaker, rules: &BreakerRules, now: Uptime) -> Option<Transition> {
    breaker.ask(rules, now).unwrap().report(Outcome::Success, now)
}

fn opened(rules: &BreakerRules) -> Breaker {
    let breaker = Breaker::default();
    while fail(&breaker, rules, secs(0)).is_none() {}
    breaker
}

#[test]
fn five_failures_open_it_for_half_a_minute_and_three_successes_close_it() {
    let breaker = Breaker::default();
    for _ in 0..4 {
        assert_eq!(fail(&breaker, &RULES, secs(0)), None);
    }
    assert_eq!(fail(&breaker, &RULES, secs(0)), Some(Transition::Opened));
    assert_eq!(breaker.ask(&RULES, secs(10)).unwrap_err(), Refused::OpenFor(Duration::from_secs(20)));
    let probe = breaker.ask(&RULES, secs(30)).unwrap();
    assert_eq!(probe.transition(), Some(Transition::HalfOpened));
    assert_eq!(probe.report(Outcome::Success, secs(30)), None);
    assert_eq!(succeed(&breaker, &RULES, secs(30)), None);
    assert_eq!(succeed(&breaker, &RULES, secs(30)), Some(Transition::Closed));
    assert_eq!(breaker.read(secs(30)).state, State::Closed);
}

#[test]
fn a_success_between_failures_keeps_it_closed() {
    let breaker = Breaker::default();
    for _ in 0..20 {
        for _ in 0..4 {
            assert_eq!(fail(&breaker, &RULES, secs(0)), None);
        }
        assert_eq!(succeed(&breaker, &RULES, secs(0)), None);
    }
}

#[test]
fn failures_in_a_window_open_it_whatever_succeeds_meanwhile() {
    let window = Duration::from_secs(10);
    let rules = BreakerRules { trip: Trip::Count { failures: count(3), window }, ..RULES };
    let breaker = Breaker::default();
    for second in 0..2 {
        assert_eq!(fail(&breaker, &rules, secs(second)), None);
        assert_eq!(succeed(&breaker, &rules, secs(second)), None);
    }
    assert_eq!(fail(&breaker, &rules, secs(20)), None, "the others are forgotten");
    assert_eq!(fail(&breaker, &rules, secs(21)), None);
    assert_eq!(fail(&breaker, &rules, secs(22)), Some(Transition::Opened));
}

#[test]
fn a_ratio_opens_it_once_there_are_enough_requests() {
    let ratio = ErrorRatio { percent: 50, minimum_requests: count(4), window: Duration::from_secs(10) };
    let rules = BreakerRules { trip: Trip::Ratio(ratio), ..RULES };
    let breaker = Breaker::default();
    assert_eq!(fail(&breaker, &rules, secs(1)), None);
    assert_eq!(succeed(&breaker, &rules, secs(1)), None);
    assert_eq!(succeed(&breaker, &rules, secs(1)), None);
    assert_eq!(fail(&breaker, &rules, secs(1)), Some(Transition::Opened));
}

#[test]
fn a_probe_that_fails_opens_it_again() {
    let breaker = opened(&RULES);
    assert_eq!(fail(&breaker, &RULES, secs(30)), Some(Transition::Opened));
    assert_eq!(breaker.ask(&RULES, secs(59)).unwrap_err(), Refused::OpenFor(Duration::from_secs(1)));
    assert_eq!(breaker.read(secs(30)).opened, 2);
}

#[test]
fn a_probe_that_is_given_up_frees_its_place() {
    let rules = BreakerRules { probes: count(1), ..RULES };
    let breaker = opened(&rules);
    let probe = breaker.ask(&rules, secs(30)).unwrap();
    assert_eq!(breaker.ask(&rules, secs(30)).unwrap_err(), Refused::Probed);
    drop(probe);
    assert!(breaker.ask(&rules, secs(30)).is_ok());
}

#[test]
fn probes_that_do_not_end_keep_nobody_from_coming_back() {
    let breaker = opened(&RULES);
    let mut endless: Vec<_> = (0..3).map(|_| breaker.ask(&RULES, secs(30)).unwrap()).collect();
    assert!(breaker.ask(&RULES, secs(59)).is_err());
    let late: Vec<_> = (0..3).map(|_| breaker.ask(&RULES, secs(60)).unwrap()).collect();
    assert!(breaker.ask(&RULES, secs(60)).is_err());
    // What has no place any more gives none back.
    drop(endless.pop());
    assert!(breaker.ask(&RULES, secs(60)).is_err());
    for probe in late {
        probe.report(Outcome::Success, secs(61));
    }
    assert_eq!(breaker.read(secs(61)).state, State::Closed);
    assert_eq!(endless.pop().unwrap().report(Outcome::Failure, secs(62)), None, "of another time");
}

#[test]
fn what_began_before_it_opened_neither_closes_it_nor_opens_it_again() {
    let breaker = Breaker::default();
    let early: Vec<_> = (0..9).map(|_| breaker.ask(&RULES, secs(0)).unwrap()).collect();
    while fail(&breaker, &RULES, secs(0)).is_none() {}
    let _probe = breaker.ask(&RULES, secs(30)).unwrap();
    for (number, permit) in early.into_iter().enumerate() {
        let outcome = if number % 2 == 0 { Outcome::Success } else { Outcome::Failure };
        assert_eq!(permit.report(outcome, secs(31)), None);
    }
    assert_eq!(breaker.read(secs(31)).state, State::HalfOpen);
}

#[test]
fn what_went_ahead_unasked_counts_as_long_as_nothing_has_changed_since() {
    let breaker = Breaker::default();
    let unasked_fails = || breaker.asked_when_new(&RULES, secs(0)).report(Outcome::Failure, secs(40));
    for _ in 0..4 {
        assert_eq!(unasked_fails(), None);
    }
    assert_eq!(unasked_fails(), Some(Transition::Opened));
    assert_eq!(unasked_fails(), None);
    breaker.reset();
    assert_eq!(unasked_fails(), None);
    assert_eq!(breaker.read(secs(40)).failures_in_a_row, 0);
}

#[test]
fn a_reset_closes_it() {
    let breaker = opened(&RULES);
    assert_eq!(breaker.reset(), Some(Transition::Closed));
    assert_eq!(breaker.reset(), None, "it was closed");
    assert_eq!(succeed(&breaker, &RULES, secs(1)), None);
    assert_eq!(breaker.read(secs(1)).state, State::Closed);
    for _ in 0..4 {
        assert_eq!(fail(&breaker, &RULES, secs(1)), None, "and counts anew");
    }
}
