use proptest::prelude::*;

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

/// What the words say, in the plainest way: every request is remembered.
#[derive(Default)]
struct Model {
    open_until: Option<Uptime>,
    half_open: Option<HalfOpen>,
    failures_in_a_row: u32,
    era: u32,
}

#[derive(Default)]
struct HalfOpen {
    /// When each was let through.
    under_way: Vec<Uptime>,
    successes: u32,
}

impl Model {
    fn ask(&mut self, rules: &BreakerRules, now: Uptime) -> Option<(u32, Uptime)> {
        if let Some(until) = self.open_until {
            if now < until {
                return None;
            }
            self.open_until = None;
            self.half_open = Some(HalfOpen::default());
            self.era += 1;
        }
        if let Some(half_open) = &mut self.half_open {
            let with_a_place = half_open.under_way.iter().filter(|began| now.since(**began) < rules.recovery);
            if with_a_place.count() >= rules.probes.get() as usize {
                return None;
            }
            half_open.under_way.push(now);
        }
        Some((self.era, now))
    }

    fn end(
        &mut self,
        (era, began): (u32, Uptime),
        outcome: Option<Outcome>,
        rules: &BreakerRules,
        now: Uptime,
    ) {
        if era != self.era {
            return;
        }
        if let Some(half_open) = &mut self.half_open {
            let place = half_open.under_way.iter().position(|&held| held == began).unwrap();
            half_open.under_way.remove(place);
            half_open.successes += u32::from(outcome == Some(Outcome::Success));
            if half_open.successes >= rules.successes.get() {
                self.close();
            }
        } else {
            match outcome {
                Some(Outcome::Failure) => self.failures_in_a_row += 1,
                Some(Outcome::Success) => self.failures_in_a_row = 0,
                None => {}
            }
        }
        let Trip::Consecutive(most) = rules.trip else { return };
        let probe_failed = self.half_open.is_some() && outcome == Some(Outcome::Failure);
        if probe_failed || self.failures_in_a_row >= most.get() {
            self.close();
            self.open_until = Some(now.after(rules.recovery));
        }
    }

    fn close(&mut self) {
        *self = Self { era: self.era + 1, ..Self::default() };
    }

    fn state(&self) -> State {
        match (self.open_until, &self.half_open) {
            (Some(_), _) => State::Open,
            (None, Some(_)) => State::HalfOpen,
            (None, None) => State::Closed,
        }
    }
}

#[derive(Debug, Clone)]
enum Event {
    Ask,
    /// Ends one of those under way, whichever: without an outcome where it is given up.
    End(usize, Option<Outcome>),
    Wait(u64),
    Reset,
}

fn any_event() -> impl Strategy<Value = Event> {
    let outcome = prop_oneof![
        2 => Just(Some(Outcome::Success)),
        3 => Just(Some(Outcome::Failure)),
        1 => Just(None),
    ];
    prop_oneof![
        10 => Just(Event::Ask),
        10 => (any::<usize>(), outcome).prop_map(|(which, outcome)| Event::End(which, outcome)),
        3 => (0u64..20_000).prop_map(Event::Wait),
        1 => Just(Event::Reset),
    ]
}

proptest! {
    #[test]
    fn it_does_what_the_model_does(
        events in prop::collection::vec(any_event(), 1..300),
        most in 1u32..4,
        probes in 1u32..4,
        successes in 1u32..4,
    ) {
        let trip = Trip::Consecutive(count(most));
        let rules = BreakerRules { trip, probes: count(probes), successes: count(successes), ..RULES };
        let (breaker, mut model, mut now) = (Breaker::default(), Model::default(), secs(1));
        let mut under_way = Vec::new();
        for event in events {
            match event {
                Event::Ask => match (breaker.ask(&rules, now), model.ask(&rules, now)) {
                    (Ok(permit), Some(request)) => under_way.push((permit, request)),
                    (Err(refused), None) => {
                        let wait = refused.wait();
                        prop_assert!(wait > Duration::ZERO && wait <= rules.recovery);
                        prop_assert_eq!(refused.state(), breaker.read(now).state);
                    }
                    (asked, expected) => prop_assert!(false, "{asked:?}, but {expected:?}"),
                },
                Event::End(which, outcome) => {
                    if !under_way.is_empty() {
                        let (permit, request) = under_way.swap_remove(which % under_way.len());
                        model.end(request, outcome, &rules, now);
                        match outcome {
                            Some(outcome) => drop(permit.report(outcome, now)),
                            None => drop(permit),
                        }
                    }
                }
                Event::Wait(millis) => now = now.after(Duration::from_millis(millis)),
                Event::Reset => {
                    let was_closed = model.state() == State::Closed;
                    prop_assert_eq!(breaker.reset().is_none(), was_closed);
                    model.close();
                }
            }
            let reading = breaker.read(now);
            prop_assert_eq!(reading.state, model.state());
            prop_assert_eq!(reading.failures_in_a_row, model.failures_in_a_row);
        }
    }
}
