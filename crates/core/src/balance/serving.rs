//! Who takes requests at the moment.
//!
//! Invariants:
//! - While one target is not draining, somebody takes requests, unless an open circuit is in the way.
//! - A draining target takes none, whatever happens to the others.
//! - A target that its checks find unhealthy takes none, unless they find all so: then it is the checks that are
//!   doubted (panic), and everybody takes requests.
//! - A target whose own circuit is open takes none, however many there are. That is doubted by nobody: it is what the
//!   operator has asked for.
//! - Ejections hold while they are of at most the stated share of the targets; else they are doubted in the same way.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Shares, SlowStart, TargetSet};
use crate::health::Verdict;
use crate::uptime::Uptime;

/// While a target warms up, shares are derived anew so often.
const WARMING_STEP: Duration = Duration::from_millis(100);

/// What the operator wants of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Duty {
    #[default]
    Serving,
    /// Takes no new requests; those that have begun end there.
    Draining,
}

/// All that decides whether a target takes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub weight: u32,
    pub duty: Duty,
    /// What its active checks say.
    pub health: Verdict,
    pub ejected_until: Option<Uptime>,
    /// While its own circuit is open, when that lets the first request through.
    pub open_until: Option<Uptime>,
    /// When it last came back, after having been out.
    pub back_since: Option<Uptime>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Usual,
    /// So many targets are out that this is not believed: requests go to all of them.
    Panic,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    pub shares: Shares,
    /// Those that would be out, were it believed: another attempt goes to them last.
    pub doubtful: TargetSet,
    pub mode: Mode,
    /// When the first open circuit lets a request through, of those targets that would take some.
    pub reopens_at: Option<Uptime>,
    /// Time alone changes them then.
    pub valid_until: Uptime,
}

pub fn serving(
    standings: &[Standing],
    most_ejected_percent: u32,
    slow_start: Option<SlowStart>,
    now: Uptime,
) -> Serving {
    let in_duty = || standings.iter().filter(|standing| standing.duty == Duty::Serving);
    let all_unhealthy = in_duty().all(|standing| standing.health == Verdict::Unhealthy);
    let is_healthy = |standing: &Standing| all_unhealthy || standing.health != Verdict::Unhealthy;
    let ejected = in_duty().filter(|standing| standing.is_ejected(now)).count();
    let too_many_ejected = ejected * 100 > in_duty().count() * most_ejected_percent as usize;
    // Whoever is healthy may be ejected as a whole where the unhealthy ones make the share look small.
    let none_left = !in_duty()
        .any(|standing| is_healthy(standing) && !standing.is_ejected(now) && standing.is_open(now).is_none());
    let ejections_hold = !too_many_ejected && !none_left;
    let mut valid_until = Uptime::NEVER;
    let mut reopens_at: Option<Uptime> = None;
    let mut doubtful = TargetSet::NONE;
    for (place, standing) in standings.iter().enumerate() {
        if standing.health == Verdict::Unhealthy || standing.is_ejected(now) {
            doubtful.insert(place);
        }
    }
    let shares = standings.iter().map(|standing| {
        if let Some(until) = standing.ejected_until.filter(|&until| until > now) {
            valid_until = valid_until.min(until);
        }
        let takes_requests = standing.duty == Duty::Serving
            && is_healthy(standing)
            && !(ejections_hold && standing.is_ejected(now));
        if !takes_requests {
            return 0;
        }
        if let Some(until) = standing.is_open(now) {
            valid_until = valid_until.min(until);
            reopens_at = Some(reopens_at.map_or(until, |reopens_at| reopens_at.min(until)));
            return 0;
        }
        match (slow_start, standing.warming_since(now)) {
            (Some(slow_start), Some(since)) if now.since(since) < slow_start.window => {
                valid_until = valid_until.min(now.after(WARMING_STEP));
                slow_start.share(standing.weight, now.since(since))
            }
            (Some(_) | None, _) => standing.weight.saturating_mul(Shares::WHOLE),
        }
    });
    let shares = Shares::new(shares);
    let is_panic = in_duty().count() > 0 && (all_unhealthy || (ejected > 0 && !ejections_hold));
    let mode = if is_panic { Mode::Panic } else { Mode::Usual };
    Serving { shares, doubtful, mode, reopens_at, valid_until }
}

impl Standing {
    fn is_ejected(&self, now: Uptime) -> bool {
        self.ejected_until.is_some_and(|until| until > now)
    }

    /// Until when.
    fn is_open(&self, now: Uptime) -> Option<Uptime> {
        self.open_until.filter(|&until| until > now)
    }

    /// An ejection that has run out ends by itself: the target has been back since then.
    fn warming_since(&self, now: Uptime) -> Option<Uptime> {
        let ejection_ended = self.ejected_until.filter(|&until| until <= now);
        self.back_since.into_iter().chain(ejection_ended).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WELL: Standing = Standing {
        weight: 1,
        duty: Duty::Serving,
        health: Verdict::Healthy,
        ejected_until: None,
        open_until: None,
        back_since: None,
    };
    const NOW: Uptime = Uptime::from_secs(100);
    const EJECTED: Standing = Standing { ejected_until: Some(Uptime::from_secs(130)), ..WELL };
    const OPEN: Standing = Standing { open_until: Some(Uptime::from_secs(120)), ..WELL };
    const UNHEALTHY: Standing = Standing { health: Verdict::Unhealthy, ..WELL };
    const DRAINING: Standing = Standing { duty: Duty::Draining, ..WELL };

    fn who(standings: &[Standing]) -> (Vec<bool>, Mode) {
        let serving = serving(standings, 50, None, NOW);
        ((0..standings.len()).map(|place| serving.shares.of(place) > 0).collect(), serving.mode)
    }

    #[test]
    fn who_is_out_gets_nothing() {
        assert_eq!(
            who(&[WELL, EJECTED, UNHEALTHY, DRAINING]),
            (vec![true, false, false, false], Mode::Usual)
        );
    }

    #[test]
    fn more_ejections_than_the_stated_share_are_not_believed() {
        assert_eq!(who(&[WELL, EJECTED]), (vec![true, false], Mode::Usual));
        assert_eq!(who(&[WELL, EJECTED, EJECTED]), (vec![true, true, true], Mode::Panic));
    }

    #[test]
    fn an_open_circuit_takes_none_however_many_there_are() {
        assert_eq!(who(&[WELL, OPEN, OPEN, OPEN]), (vec![true, false, false, false], Mode::Usual));
        assert_eq!(who(&[OPEN, OPEN]), (vec![false, false], Mode::Usual));
        assert_eq!(who(&[OPEN, UNHEALTHY]), (vec![false, false], Mode::Usual));
        // Where an ejection is all that is in the way, it is doubted.
        assert_eq!(who(&[OPEN, EJECTED]), (vec![false, true], Mode::Panic));
        assert_eq!(who(&[Standing { open_until: Some(NOW), ..OPEN }]), (vec![true], Mode::Usual));
    }

    #[test]
    fn who_waits_for_open_circuits_waits_for_the_first() {
        let late = Standing { open_until: Some(Uptime::from_secs(125)), ..WELL };
        let unhealthy = Standing { open_until: Some(Uptime::from_secs(101)), ..UNHEALTHY };
        let serving = serving(&[late, OPEN, unhealthy], 50, None, NOW);
        assert_eq!((serving.reopens_at, serving.valid_until), (OPEN.open_until, Uptime::from_secs(120)));
    }

    #[test]
    fn requests_go_to_all_where_all_are_unhealthy_but_never_to_one_that_drains() {
        assert_eq!(who(&[UNHEALTHY, DRAINING, UNHEALTHY]), (vec![true, false, true], Mode::Panic));
        assert_eq!(who(&[UNHEALTHY, WELL, UNHEALTHY]), (vec![false, true, false], Mode::Usual));
    }

    #[test]
    fn one_that_is_back_warms_up() {
        let back = Standing { ejected_until: Some(Uptime::from_secs(90)), ..WELL };
        let slow_start = SlowStart { window: Duration::from_secs(20), aggression_percent: 100 };
        let warming = serving(&[WELL, back], 50, Some(slow_start), NOW);
        assert_eq!([0, 1].map(|place| warming.shares.of(place)), [1_024, 512]);
        assert!(warming.valid_until > NOW && warming.valid_until < Uptime::from_secs(101));
    }

    #[test]
    fn what_is_derived_holds_until_the_next_ejection_ends() {
        assert_eq!(serving(&[WELL, EJECTED], 50, None, NOW).valid_until, Uptime::from_secs(130));
        assert_eq!(serving(&[WELL, UNHEALTHY], 50, None, NOW).valid_until, Uptime::NEVER);
    }

    fn any_standing() -> impl Strategy<Value = Standing> {
        let health = prop_oneof![Just(Verdict::Unknown), Just(Verdict::Healthy), Just(Verdict::Unhealthy)];
        let uptime = || prop::option::of((0u64..200).prop_map(Uptime::from_secs));
        let duty = prop_oneof![3 => Just(Duty::Serving), 1 => Just(Duty::Draining)];
        (1u32..9, duty, health, uptime(), uptime(), uptime()).prop_map(
            |(weight, duty, health, ejected_until, open_until, back_since)| Standing {
                weight,
                duty,
                health,
                ejected_until,
                open_until,
                back_since,
            },
        )
    }

    proptest! {
        #[test]
        fn the_invariants_hold(
            standings in prop::collection::vec(any_standing(), 0..12),
            most in 0u32..=100,
            window_secs in prop::option::of(1u64..60),
        ) {
            let slow_start = window_secs.map(|secs| SlowStart {
                window: Duration::from_secs(secs),
                aggression_percent: 100,
            });
            let serving = serving(&standings, most, slow_start, NOW);
            let takes = |place: usize| serving.shares.of(place) > 0;
            let in_duty = standings.iter().filter(|standing| standing.duty == Duty::Serving).count();
            let somebody = (0..standings.len()).any(takes);
            prop_assert_eq!(in_duty > 0, somebody || serving.reopens_at.is_some(), "somebody takes requests");
            prop_assert!(serving.reopens_at.is_none_or(|at| at >= serving.valid_until && at > NOW));
            for (place, standing) in standings.iter().enumerate() {
                prop_assert!(standing.duty == Duty::Serving || !takes(place), "draining takes none");
                prop_assert!(standing.is_open(NOW).is_none() || !takes(place), "an open circuit takes none");
            }
            if serving.mode == Mode::Usual {
                let left_out = standings.iter().enumerate().filter(|(place, standing)| {
                    standing.duty == Duty::Serving
                        && standing.health != Verdict::Unhealthy
                        && standing.is_open(NOW).is_none()
                        && !takes(*place)
                });
                prop_assert!(left_out.count() * 100 <= in_duty * most as usize, "at most the stated share");
            }
            prop_assert!(serving.valid_until > NOW);
        }
    }
}
