//! The state machine.
//!
//! Invariants:
//! - *Closed lets all through*; open lets none; half open lets at most `probes` at once.
//! - *Open for at least the recovery timeout*, unless it is reset.
//! - *Only outcomes of its own time count*: what began before the last change of state is not looked at when it ends.
//! - *A probe's place is given back once*: when it is reported, when its permit is dropped, or once the recovery timeout
//!   has passed, so that requests that take for ever, of clients that send slowly say, keep nobody from coming back.
//! - *Half open ends with the first failure, or with the stated number of successes.*

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{BreakerRules, Trip};
use crate::outlier::Outcome;
use crate::tally::Tally;
use crate::uptime::Uptime;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum State {
    #[default]
    Closed,
    Open,
    HalfOpen,
}

/// What is told when it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    Opened,
    HalfOpened,
    Closed,
}

/// Why no request is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It stays open for so long.
    OpenFor(Duration),
    /// It is half open, and as many requests as may try it are under way.
    Probed,
}

/// While half open, places come free at any moment.
const PROBE_RETRY: Duration = Duration::from_secs(1);

impl Refused {
    /// After how long to try again.
    pub const fn wait(self) -> Duration {
        match self {
            Self::OpenFor(wait) => wait,
            Self::Probed => PROBE_RETRY,
        }
    }

    /// What the request has met.
    pub const fn state(self) -> State {
        match self {
            Self::OpenFor(_) => State::Open,
            Self::Probed => State::HalfOpen,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Machine {
    phase: Phase,
    /// Counts the changes of state.
    generation: u64,
    opened: u64,
}

#[derive(Debug)]
enum Phase {
    Closed {
        run: u32,
        tally: Box<Tally>,
    },
    Open {
        until: Uptime,
    },
    /// With when each of those that have a place was let through.
    HalfOpen {
        under_way: Vec<Uptime>,
        successes: u32,
    },
}

impl Default for Phase {
    fn default() -> Self {
        Self::Closed { run: 0, tally: Box::default() }
    }
}

/// That a request was let through, and when. Not a guard: [`super::Permit`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    pub generation: u64,
    pub asked_at: Uptime,
}

impl Machine {
    pub const fn state(&self) -> State {
        match self.phase {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    pub const fn generation(&self) -> u64 {
        self.generation
    }

    pub const fn opened(&self) -> u64 {
        self.opened
    }

    /// Closed, and without a failure since the last success.
    pub const fn is_clean(&self) -> bool {
        matches!(self.phase, Phase::Closed { run: 0, .. })
    }

    pub const fn failures_in_a_row(&self) -> u32 {
        match self.phase {
            Phase::Closed { run, .. } => run,
            Phase::Open { .. } | Phase::HalfOpen { .. } => 0,
        }
    }

    /// When an open one lets the first request through.
    pub const fn open_until(&self) -> Option<Uptime> {
        match self.phase {
            Phase::Open { until } => Some(until),
            Phase::Closed { .. } | Phase::HalfOpen { .. } => None,
        }
    }

    pub fn ask(
        &mut self,
        rules: &BreakerRules,
        now: Uptime,
    ) -> Result<(Ticket, Option<Transition>), Refused> {
        let transition = match &mut self.phase {
            Phase::Closed { .. } => None,
            Phase::Open { until } if *until > now => return Err(Refused::OpenFor(until.since(now))),
            Phase::Open { .. } => {
                self.enter(Phase::HalfOpen { under_way: vec![now], successes: 0 });
                Some(Transition::HalfOpened)
            }
            Phase::HalfOpen { under_way, .. } => {
                under_way.retain(|asked_at| now < asked_at.after(rules.recovery));
                if under_way.len() as u64 >= u64::from(rules.probes.get()) {
                    return Err(Refused::Probed);
                }
                under_way.push(now);
                None
            }
        };
        Ok((Ticket { generation: self.generation, asked_at: now }, transition))
    }

    pub fn report(
        &mut self,
        ticket: Ticket,
        outcome: Outcome,
        rules: &BreakerRules,
        now: Uptime,
    ) -> Option<Transition> {
        if ticket.generation != self.generation {
            return None;
        }
        let next = match &mut self.phase {
            Phase::Closed { run, tally } => {
                let failed = outcome == Outcome::Failure;
                *run = if failed { run.saturating_add(1) } else { 0 };
                trips(*run, tally, failed, &rules.trip, now).then_some(Transition::Opened)
            }
            // Nothing is let through, so nothing of this generation ends.
            Phase::Open { .. } => None,
            Phase::HalfOpen { under_way, successes } => {
                give_back(under_way, ticket);
                match outcome {
                    Outcome::Failure => Some(Transition::Opened),
                    Outcome::Success => {
                        *successes += 1;
                        (*successes >= rules.successes.get()).then_some(Transition::Closed)
                    }
                }
            }
        };
        match next {
            Some(Transition::Opened) => {
                self.opened += 1;
                self.enter(Phase::Open { until: now.after(rules.recovery) });
            }
            Some(Transition::Closed) => self.enter(Phase::default()),
            Some(Transition::HalfOpened) | None => {}
        }
        next
    }

    /// The request says nothing of the service: its client left, or it never got there.
    pub fn cancel(&mut self, ticket: Ticket) {
        if ticket.generation == self.generation
            && let Phase::HalfOpen { under_way, .. } = &mut self.phase
        {
            give_back(under_way, ticket);
        }
    }

    pub fn reset(&mut self) -> Option<Transition> {
        let was_closed = self.state() == State::Closed;
        self.enter(Phase::default());
        (!was_closed).then_some(Transition::Closed)
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.generation += 1;
    }
}

/// Nothing where it has no place any more.
fn give_back(under_way: &mut Vec<Uptime>, ticket: Ticket) {
    if let Some(place) = under_way.iter().position(|&asked_at| asked_at == ticket.asked_at) {
        under_way.swap_remove(place);
    }
}

fn trips(run: u32, tally: &mut Tally, failed: bool, trip: &Trip, now: Uptime) -> bool {
    let mut note = |window| {
        tally.add([1, failed.into()], window, now);
        tally.sums(window, now)
    };
    failed
        & match trip {
            Trip::Consecutive(most) => run >= most.get(),
            Trip::Count { failures: most, window } => note(*window)[1] >= most.get().into(),
            Trip::Ratio(ratio) => {
                let [requests, failures] = note(ratio.window);
                ratio.is_reached(requests, failures)
            }
        }
}
