//! An admitted request's way to a target, and on to another where that one fails: the circuit that lets it through, who
//! is picked, and what is told of how it went.
//!
//! A service with one target of which nothing was written, and that never failed, is asked for nothing at all, unless
//! the request's route wants retries.

mod choice;
mod circuit;
mod hedging;

use std::time::{Duration, Instant};

use tollgate_core::cause::Cause;
use tollgate_core::outlier::Outcome;
use tollgate_core::resource::Route;
use tollgate_core::retry::{Connection, Replay, RetryRules, Sent};
use tollgate_core::snapshot::{Picking, Service, Target, Traffic};
use tollgate_http1::ResponseHead;

pub(super) use circuit::whole_secs;
pub(super) use hedging::Hedged;

use self::choice::Choice;
use self::circuit::Circuit;

use super::kept_body::KeptBody;
use super::retry_after::retry_after;
use super::send::Forward;
use crate::clock::Moment;
use crate::live::{Lookup, Picked};
use crate::record::Record;
use crate::rejection::Rejection;
use crate::wire::Pump;
use crate::worker::Worker;

pub(super) struct Journey<'j> {
    worker: &'j Worker,
    live: &'j Lookup<'j>,
    service: &'j Service,
    circuit: Circuit<'j>,
    stage: Stage<'j>,
    /// When this attempt began.
    began: Instant,
}

enum Stage<'j> {
    Only(&'j Target),
    Picked(Choice<'j>),
}

/// What is known of an attempt that failed, besides why.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stumble {
    sent: Sent,
    body: Replay,
}

impl Stumble {
    pub fn of(sent: Sent, upload: &Pump, kept: Option<&KeptBody>) -> Self {
        let can_be_sent_again = kept.is_some() || !upload.has_begun();
        Self { sent, body: if can_be_sent_again { Replay::Possible } else { Replay::Impossible } }
    }
}

impl<'j> Journey<'j> {
    pub fn begin(
        forward: &Forward<'j, '_>,
        live: &'j Lookup<'j>,
        began: Instant,
        deadline: Option<Instant>,
        record: &mut Record<'_>,
    ) -> Result<Self, Rejection> {
        let worker: &'j Worker = forward.worker;
        let service = forward.selected.service;
        let now = worker.gateway.live.uptime(began);
        let circuit = Circuit::ask(worker, live, service, now, record)?;
        let stage = match (service.traffic.as_deref(), forward.selected.route) {
            (None, route) if !wants_retries(route) => {
                Stage::Only(service.targets.first().ok_or(Rejection::NoTarget)?)
            }
            (traffic, _) => {
                let traffic = traffic.unwrap_or(Traffic::OF_ONE_TARGET);
                Stage::Picked(Choice::first(forward, live.get(), traffic, deadline, now, record)?)
            }
        };
        Ok(Self { worker, live, service, circuit, stage, began })
    }

    pub fn target(&self) -> &'j Target {
        match &self.stage {
            Stage::Only(target) => target,
            Stage::Picked(choice) => choice.picked.target,
        }
    }

    /// The target that was picked among several, with the request that counts as under way there.
    pub fn picked(&self) -> Option<&Picked<'j>> {
        match &self.stage {
            Stage::Picked(choice) => Some(&choice.picked),
            Stage::Only(_) => None,
        }
    }

    /// The attempt begins only now: what came before was the client's time.
    pub const fn begins_at(&mut self, now: Instant) {
        self.began = now;
    }

    /// When the attempt over this connection began.
    pub fn attempt_began(&self, connection: Connection) -> Instant {
        match connection {
            Connection::Fresh => Instant::now(),
            Connection::Reused => self.began,
        }
    }

    /// How long this attempt has taken, the connection included.
    pub fn took(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// How failed requests go out again, where they may.
    pub fn retries(&self) -> Option<&'j RetryRules> {
        match &self.stage {
            Stage::Picked(choice) => choice.retries.map(|retries| retries.rules),
            Stage::Only(_) => None,
        }
    }

    /// The head of a final response is there. Says how long to wait where it is not passed on but the request goes out
    /// again, to what is then the target.
    pub fn answered(&mut self, response: &ResponseHead, stumble: Stumble, now: Moment) -> Option<Duration> {
        let cause = Cause::Status(response.status);
        let outcome = if self.counts(cause) { Outcome::Failure } else { Outcome::Success };
        self.note_at_target(outcome, now.instant);
        if let Some(wait) = self.again(cause, stumble, || retry_after(response, now.wall), now.instant) {
            return Some(wait);
        }
        self.circuit.end(self.worker, self.live, self.service, outcome, now.instant);
        None
    }

    /// The same where no response came.
    pub fn failed(&mut self, cause: Option<Cause>, stumble: Stumble, now: Instant) -> Option<Duration> {
        let Some(cause) = cause else {
            // That says nothing of this target, but another may have failed before.
            if matches!(&self.stage, Stage::Picked(choice) if choice.has_failed) {
                self.circuit.end(self.worker, self.live, self.service, Outcome::Failure, now);
            }
            return None;
        };
        let counts = self.counts(cause);
        if counts {
            self.note_at_target(Outcome::Failure, now);
        }
        if let Some(wait) = self.again(cause, stumble, || None, now) {
            return Some(wait);
        }
        if counts {
            self.circuit.end(self.worker, self.live, self.service, Outcome::Failure, now);
        }
        None
    }

    /// Whether it is a failure of the service's.
    fn counts(&self, cause: Cause) -> bool {
        self.service.failures().contain(cause)
    }

    /// Whether it goes out again; if so, the next target is picked already.
    fn again(
        &mut self,
        cause: Cause,
        stumble: Stumble,
        retry_after: impl FnOnce() -> Option<Duration>,
        now: Instant,
    ) -> Option<Duration> {
        let counts = self.counts(cause);
        let Stage::Picked(choice) = &mut self.stage else { return None };
        let wait = choice.again(self.worker, self.service, cause, stumble, retry_after, now)?;
        choice.has_failed |= counts;
        self.began = now + wait;
        Some(wait)
    }

    /// The wait for the next attempt, or for a body, is over, in which its target may have been removed or begun to drain.
    pub fn go_on(&mut self, now: Instant) -> Result<(), Rejection> {
        let Stage::Picked(choice) = &mut self.stage else { return Ok(()) };
        choice.go_on(self.worker, self.service, self.worker.gateway.live.uptime(now))
    }

    fn note_at_target(&self, outcome: Outcome, now: Instant) {
        let Stage::Picked(choice) = &self.stage else { return };
        self.note_at(&choice.picked, self.began, outcome, now);
    }

    fn note_at(&self, picked: &Picked<'_>, began: Instant, outcome: Outcome, now: Instant) {
        let Stage::Picked(choice) = &self.stage else { return };
        let (target, took) = (picked.live(), now.saturating_duration_since(began));
        let live = &self.worker.gateway.live;
        let now = live.uptime(now);
        if let Some(transition) = picked.report(outcome, now) {
            choice.live.shared.targets_changed();
            live.changes.target_circuit(self.service, picked.target, transition);
        }
        let load = target.load();
        match (&choice.traffic.picking, outcome) {
            (Picking::LowestLatency, Outcome::Success) => load.latency.observe(took, now),
            (Picking::LowestLatency, Outcome::Failure) => load.latency.observe_failure(took, now),
            (Picking::LeastRequests, Outcome::Success) => load.mean_latency.observe(took, now),
            (Picking::LeastRequests, Outcome::Failure) => load.mean_latency.observe_failure(took, now),
            (Picking::RoundRobin | Picking::Hash { .. }, _) => {}
        }
        let Some(rules) = &choice.traffic.outlier else { return };
        if let Some(ejection) = target.note(outcome, rules, now) {
            choice.live.shared.targets_changed();
            live.changes.ejection(self.service, picked.target, ejection, now);
        }
    }
}

fn wants_retries(route: Option<&Route>) -> bool {
    route.is_some_and(|route| route.rules.retries.is_some_and(|retries| retries > 0))
}
