//! Random events, beside a model of what the words say.

use proptest::prelude::*;

use super::*;

/// What the words say, in the plainest way: every request is remembered.
#[derive(Default)]
struct Model {
    open_until: Option<Uptime>,
    half_open: Option<HalfOpen>,
    /// What has ended since it was closed, and when.
    ended: Vec<(Uptime, Outcome)>,
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
            self.ended.extend(outcome.map(|outcome| (now, outcome)));
        }
        let has_failed = era == self.era && outcome == Some(Outcome::Failure);
        if has_failed && (self.half_open.is_some() || self.is_tripped(&rules.trip, now)) {
            self.close();
            self.open_until = Some(now.after(rules.recovery));
        }
    }

    fn is_tripped(&self, trip: &Trip, now: Uptime) -> bool {
        match trip {
            Trip::Consecutive(most) => self.failures_in_a_row() >= most.get() as usize,
            Trip::Count { failures, window } => self.within(*window, now)[1] >= failures.get() as usize,
            Trip::Ratio(ErrorRatio { percent, minimum_requests, window }) => {
                let [requests, failures] = self.within(*window, now);
                requests >= minimum_requests.get() as usize && failures * 100 >= requests * *percent as usize
            }
        }
    }

    fn failures_in_a_row(&self) -> usize {
        self.ended.iter().rev().take_while(|(_, outcome)| *outcome == Outcome::Failure).count()
    }

    /// Requests and failures of this tenth of a window and of the nine before.
    fn within(&self, window: Duration, now: Uptime) -> [usize; 2] {
        let tenth = |at: Uptime| u128::from(at.0) * 10 / window.as_micros();
        let recent = || self.ended.iter().filter(|(at, _)| tenth(now) < tenth(*at) + 10);
        [recent().count(), recent().filter(|(_, outcome)| *outcome == Outcome::Failure).count()]
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
    /// Ends one that went ahead unasked, when the breaker was new.
    EndUnasked(Outcome),
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
        2 => prop_oneof![Just(Outcome::Success), Just(Outcome::Failure)].prop_map(Event::EndUnasked),
        3 => (0u64..20_000).prop_map(Event::Wait),
        1 => Just(Event::Reset),
    ]
}

fn any_trip() -> impl Strategy<Value = Trip> {
    // Such as divide into ten.
    let window = || (1u64..40).prop_map(Duration::from_secs);
    prop_oneof![
        (1u32..4).prop_map(|most| Trip::Consecutive(count(most))),
        (1u32..5, window()).prop_map(|(failures, window)| Trip::Count { failures: count(failures), window }),
        (1u32..=100, 1u32..6, window()).prop_map(|(percent, minimum, window)| {
            Trip::Ratio(ErrorRatio { percent, minimum_requests: count(minimum), window })
        }),
    ]
}

proptest! {
    #[test]
    fn it_does_what_the_model_does(
        events in prop::collection::vec(any_event(), 1..300),
        trip in any_trip(),
        probes in 1u32..4,
        successes in 1u32..4,
    ) {
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
                Event::EndUnasked(outcome) => {
                    model.end((0, now), Some(outcome), &rules, now);
                    let _transition = breaker.asked_when_new(&rules, now).report(outcome, now);
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
            prop_assert_eq!(reading.failures_in_a_row as usize, model.failures_in_a_row());
        }
    }
}
