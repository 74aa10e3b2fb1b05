//! Targets with circuits of their own: who is picked has to be let through as well.
//!
//! Invariants:
//! - *Whoever is picked was let through*: closed, or half open with a place for one more probe.
//! - *A request is refused only where no circuit lets it through* of the targets that take requests, and is told of the
//!   first that will.

use super::TargetSet;
use crate::breaker::Refused;

/// Why a request has no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unpicked {
    /// None takes requests.
    Nobody,
    /// Circuits are in the way.
    Refused(Refused),
}

/// Picks among those that are not left out, until one is let through. Open circuits should be left out by the shares
/// already: what is refused here are half-open ones that have their probes, and such as have opened just now.
pub fn pick_permitted<P>(
    left_out: TargetSet,
    mut pick: impl FnMut(TargetSet) -> Option<usize>,
    mut ask: impl FnMut(usize) -> Result<P, Refused>,
) -> Result<(usize, P), Unpicked> {
    let (mut left_out, mut refused) = (left_out, Unpicked::Nobody);
    while let Some(place) = pick(left_out) {
        match ask(place) {
            Ok(permit) => return Ok((place, permit)),
            Err(other) => refused = refused.or_sooner(other),
        }
        left_out.insert(place);
    }
    Err(refused)
}

impl Unpicked {
    #[must_use]
    pub fn or_sooner(self, other: Refused) -> Self {
        match self {
            Self::Refused(sooner) if sooner.wait() <= other.wait() => self,
            Self::Nobody | Self::Refused(_) => Self::Refused(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::balance::{Duty, SmoothWeighted, Standing, serving};
    use crate::breaker::{Breaker, BreakerRules, Per, Permit, State, Trip};
    use crate::health::Verdict;
    use crate::outlier::Outcome;
    use crate::uptime::Uptime;

    const TARGETS: usize = 3;

    /// Picks as a worker does: by shares that leave open circuits out, and then by asking.
    fn pick<'b>(
        breakers: &'b [Breaker],
        rules: &'b BreakerRules,
        cursor: &mut SmoothWeighted,
        now: Uptime,
    ) -> Result<(usize, Permit<'b>), Unpicked> {
        let standing = |breaker: &Breaker| Standing {
            weight: 1,
            duty: Duty::Serving,
            health: Verdict::Unknown,
            ejected_until: None,
            open_until: breaker.open_until(),
            back_since: None,
        };
        let serving = serving(&breakers.iter().map(standing).collect::<Vec<_>>(), 50, None, now);
        let next = |left_out| cursor.pick(serving.shares.without(left_out));
        let picked = pick_permitted(TargetSet::NONE, next, |place| breakers[place].ask(rules, now));
        picked.map_err(|refused| match serving.reopens_at {
            Some(at) => refused.or_sooner(Refused::OpenFor(at.since(now))),
            None => refused,
        })
    }

    /// One target as the words say it.
    #[derive(Debug, Clone, Default)]
    struct Model {
        open_until: Option<Uptime>,
        /// When each probe under way began, and successes.
        half_open: Option<(Vec<Uptime>, u32)>,
        failures: u32,
        era: u32,
    }

    impl Model {
        fn is_free(&self, rules: &BreakerRules, now: Uptime) -> bool {
            match (self.open_until, &self.half_open) {
                (Some(until), _) => until <= now,
                (None, Some((under_way, _))) => {
                    let with_a_place = under_way.iter().filter(|began| now.since(**began) < rules.recovery);
                    with_a_place.count() < rules.probes.get() as usize
                }
                (None, None) => true,
            }
        }

        fn begin(&mut self, now: Uptime) {
            if self.open_until.take().is_some() {
                *self = Self { half_open: Some((Vec::new(), 0)), era: self.era + 1, ..Self::default() };
            }
            if let Some((under_way, _)) = &mut self.half_open {
                under_way.push(now);
            }
        }

        fn end(&mut self, began: Uptime, outcome: Outcome, rules: &BreakerRules, now: Uptime) {
            let Trip::Consecutive(most) = rules.trip else { return };
            let failed = outcome == Outcome::Failure;
            if let Some((under_way, successes)) = &mut self.half_open {
                let place = under_way.iter().position(|&held| held == began).unwrap();
                under_way.remove(place);
                *successes += u32::from(!failed);
            }
            self.failures = if failed { self.failures + 1 } else { 0 };
            let is_closed_again =
                self.half_open.as_ref().is_some_and(|(_, successes)| *successes >= rules.successes.get());
            let opens = failed && (self.half_open.is_some() || self.failures >= most.get());
            if opens || is_closed_again {
                let open_until = opens.then(|| now.after(rules.recovery));
                *self = Self { open_until, era: self.era + 1, ..Self::default() };
            }
        }
    }

    proptest! {
        #[test]
        fn only_who_is_let_through_is_picked_and_refused_is_only_where_none_is(
            events in prop::collection::vec((0u8..8, any::<usize>()), 1..300),
            most in 1u32..4,
            probes in 1u32..3,
        ) {
            let count = |number| NonZeroU32::new(number).unwrap();
            let rules = BreakerRules {
                per: Per::Target,
                trip: Trip::Consecutive(count(most)),
                probes: count(probes),
                ..BreakerRules::DEFAULT
            };
            let breakers: [Breaker; TARGETS] = Default::default();
            let mut models = vec![Model::default(); TARGETS];
            let (mut cursor, mut now, mut under_way) = (SmoothWeighted::default(), Uptime::from_secs(1), Vec::new());
            for (kind, number) in events {
                match kind {
                    0..=2 => match pick(&breakers, &rules, &mut cursor, now) {
                        Ok((place, permit)) => {
                            prop_assert!(models[place].is_free(&rules, now), "{place} was let through");
                            models[place].begin(now);
                            under_way.push((place, permit, models[place].era, now));
                        }
                        Err(refused) => {
                            prop_assert!(models.iter().all(|model| !model.is_free(&rules, now)));
                            let first = models.iter().filter_map(|model| model.open_until).min();
                            let Unpicked::Refused(refused) = refused else { panic!("{refused:?}") };
                            let wait = refused.wait();
                            let longest = first.map_or(Duration::from_secs(1), |first| first.since(now));
                            prop_assert!(wait > Duration::ZERO && wait <= longest, "{wait:?}");
                            let states = breakers.each_ref().map(|breaker| breaker.read(now).state);
                            prop_assert!(states.contains(&refused.state()), "{refused:?} of {states:?}");
                        }
                    },
                    3..=6 if !under_way.is_empty() => {
                        let (place, permit, era, began) = under_way.swap_remove(number % under_way.len());
                        let outcome = if kind < 6 { Outcome::Failure } else { Outcome::Success };
                        permit.report(outcome, now);
                        if era == models[place].era {
                            models[place].end(began, outcome, &rules, now);
                        }
                    }
                    _ => now = now.after(Duration::from_millis(number as u64 % 20_000)),
                }
                for (breaker, model) in breakers.iter().zip(&models) {
                    let expected = match (model.open_until, &model.half_open) {
                        (Some(_), _) => State::Open,
                        (None, Some(_)) => State::HalfOpen,
                        (None, None) => State::Closed,
                    };
                    prop_assert_eq!(breaker.read(now).state, expected);
                }
            }
        }
    }
}
