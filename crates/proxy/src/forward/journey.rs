//! An admitted request's way to a target, and on to another where that one fails: the circuit that lets it through, who
//! is picked, and what is told of how it went.
//!
//! A service with one target of which nothing was written, and that never failed, is asked for nothing at all, unless
//! the request's route wants retries.

mod hedging;

use std::mem;
use std::time::{Duration, Instant};

use tollgate_core::balance::{TargetSet, Unpicked};
use tollgate_core::breaker::{BreakerRules, OpenFor, Permit, State, Trip};
use tollgate_core::cause::Cause;
use tollgate_core::outlier::Outcome;
use tollgate_core::resource::Route;
use tollgate_core::retry::{
    Again, Connection, Elsewhere, Failed, Repeatable, Replay, Retries, RetryRules, Sent,
};
use tollgate_core::snapshot::{Picking, Service, Target, Traffic};
use tollgate_core::uptime::Uptime;
use tollgate_http1::ResponseHead;

pub(super) use hedging::Hedged;

use super::affinity::key_of;
use super::kept_body::KeptBody;
use super::retry_after::retry_after;
use super::send::Forward;
use crate::clock::Moment;
use crate::live::{Asked, LocalService, Lookup, Picked};
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

enum Circuit<'j> {
    /// The service has no breaker, or it was told how the request went.
    Nothing,
    /// Closed, with nothing against the service.
    Spotless(&'j BreakerRules),
    /// Until the breaker is told how the request went.
    Asked(Permit<'j>),
}

enum Stage<'j> {
    Only(&'j Target),
    Picked(Choice<'j>),
}

/// The target that was picked, and what is needed to pick another.
struct Choice<'j> {
    live: &'j LocalService,
    traffic: &'j Traffic,
    retries: Option<Retries<'j>>,
    picked: Picked<'j>,
    tried: TargetSet,
    attempts: u32,
    method: Repeatable,
    /// When the request has to be over.
    deadline: Option<Instant>,
    revision: u64,
    key: u64,
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

impl Circuit<'_> {
    const fn state(&self) -> Option<State> {
        match self {
            Self::Nothing => None,
            Self::Spotless(_) => Some(State::Closed),
            Self::Asked(permit) => Some(permit.state()),
        }
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
        let circuit = match service.breaker() {
            None => Circuit::Nothing,
            Some(rules) if is_spotless(worker, service, rules) => {
                record.circuit = Some(State::Closed);
                Circuit::Spotless(rules)
            }
            Some(rules) => Circuit::Asked(ask(worker, live, rules, service, now, record)?),
        };
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
        let outcome = if response.status >= 400 && self.service.failures().contain(cause) {
            Outcome::Failure
        } else {
            Outcome::Success
        };
        self.note_at_target(outcome, now.instant);
        if let Some(wait) = self.again(cause, stumble, || retry_after(response, now.wall), now.instant) {
            return Some(wait);
        }
        self.end(outcome, now.instant);
        None
    }

    /// The same where no response came.
    pub fn failed(&mut self, cause: Option<Cause>, stumble: Stumble, now: Instant) -> Option<Duration> {
        // What is the gateway's own matter says nothing of the service.
        let cause = cause?;
        let counts = self.service.failures().contain(cause);
        if counts {
            self.note_at_target(Outcome::Failure, now);
        }
        if let Some(wait) = self.again(cause, stumble, || None, now) {
            return Some(wait);
        }
        if counts {
            self.end(Outcome::Failure, now);
        }
        None
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
        match (&choice.traffic.picking, outcome) {
            (Picking::LowestLatency, Outcome::Success) => target.load().latency.observe(took, now),
            (Picking::LowestLatency, Outcome::Failure) => target.load().latency.observe_failure(took, now),
            (Picking::RoundRobin | Picking::LeastRequests | Picking::Ring { .. }, _) => {}
        }
        let Some(rules) = &choice.traffic.outlier else { return };
        if let Some(ejection) = target.note(outcome, rules, now) {
            choice.live.shared.targets_changed();
            live.changes.ejection(self.service, picked.target, ejection, now);
        }
    }

    /// Whether it goes out again; if so, the next target is picked already.
    fn again(
        &mut self,
        cause: Cause,
        stumble: Stumble,
        retry_after: impl FnOnce() -> Option<Duration>,
        now: Instant,
    ) -> Option<Duration> {
        let Stage::Picked(choice) = &mut self.stage else { return None };
        let retries = choice.retries.filter(|retries| retries.rules.causes.contain(cause))?;
        let uptime = self.worker.gateway.live.uptime(now);
        let tried = choice.tried.with(choice.picked.place);
        let asked = Asked {
            revision: choice.revision,
            now: uptime,
            random: self.worker.random(),
            tried,
            key: choice.key,
        };
        let next = pick(self.worker, self.service, choice.live, choice.traffic, &asked).ok();
        let failed = Failed {
            cause,
            method: choice.method,
            sent: stumble.sent,
            body: stumble.body,
            attempts: choice.attempts,
            // Said of the one target alone.
            retry_after: if next.is_none() { retry_after() } else { None },
            elsewhere: if next.is_some() { Elsewhere::Yes } else { Elsewhere::No },
            remaining: choice.deadline.map(|deadline| deadline.saturating_duration_since(now)),
        };
        let withdraw = || choice.live.withdraw(&retries.rules.budget, uptime);
        match retries.decide(&failed, self.worker.random(), withdraw) {
            Again::No => None,
            Again::After(wait) => {
                if let Some(next) = next {
                    choice.picked = next;
                    choice.tried = tried;
                }
                choice.attempts += 1;
                self.began = now + wait;
                Some(wait)
            }
        }
    }

    fn end(&mut self, outcome: Outcome, now: Instant) {
        let now = self.worker.gateway.live.uptime(now);
        let transition = match mem::replace(&mut self.circuit, Circuit::Nothing) {
            Circuit::Nothing => None,
            Circuit::Spotless(rules) => {
                if outcome == Outcome::Success && is_spotless(self.worker, self.service, rules) {
                    return;
                }
                // One that has opened meanwhile was told enough.
                let permit = self.live.get().shared.breaker.ask(rules, now);
                permit.ok().and_then(|permit| permit.report(outcome, now))
            }
            Circuit::Asked(permit) => permit.report(outcome, now),
        };
        if let Some(transition) = transition {
            self.worker.gateway.live.changes.circuit(self.service, transition);
        }
    }
}

fn wants_retries(route: Option<&Route>) -> bool {
    route.is_some_and(|route| route.rules.retries.is_some_and(|retries| retries > 0))
}

/// Whether the service's breaker is as it is at first, so that neither asking it nor telling it of a success does
/// anything. One that counts within a window counts successes as well.
fn is_spotless(worker: &Worker, service: &Service, rules: &BreakerRules) -> bool {
    matches!(rules.trip, Trip::Consecutive(_)) && worker.gateway.live.is_unknown(service.id)
}

fn ask<'j>(
    worker: &Worker,
    live: &'j Lookup<'j>,
    rules: &'j BreakerRules,
    service: &Service,
    now: Uptime,
    record: &mut Record<'_>,
) -> Result<Permit<'j>, Rejection> {
    let permit = live.get().shared.breaker.ask(rules, now).map_err(|open| refuse(open, record))?;
    record.circuit = Some(permit.state());
    if let Some(transition) = permit.transition() {
        worker.gateway.live.changes.circuit(service, transition);
    }
    Ok(permit)
}

fn refuse(OpenFor(wait): OpenFor, record: &mut Record<'_>) -> Rejection {
    record.circuit = Some(State::Open);
    Rejection::CircuitOpen { retry_after_secs: whole_secs(wait) }
}

/// The next target, as [`LocalService::pick`] has it; a circuit that this makes half open is told of.
fn pick<'j>(
    worker: &Worker,
    service: &'j Service,
    live: &LocalService,
    traffic: &'j Traffic,
    asked: &Asked,
) -> Result<Picked<'j>, Unpicked> {
    let picked = live.pick(service, traffic, asked)?;
    if let Some((_, Some(transition))) = picked.circuit() {
        worker.gateway.live.changes.target_circuit(service, picked.target, transition);
    }
    Ok(picked)
}

impl<'j> Choice<'j> {
    fn first(
        forward: &Forward<'j, '_>,
        live: &'j LocalService,
        traffic: &'j Traffic,
        deadline: Option<Instant>,
        now: Uptime,
        record: &mut Record<'_>,
    ) -> Result<Self, Rejection> {
        let service = forward.selected.service;
        let key = match &traffic.picking {
            Picking::Ring { on, .. } => key_of(forward, on),
            Picking::RoundRobin | Picking::LeastRequests | Picking::LowestLatency => 0,
        };
        let asked = Asked {
            revision: forward.snapshot.revision(),
            now,
            random: forward.worker.random(),
            tried: TargetSet::NONE,
            key,
        };
        let picked = match pick(forward.worker, service, live, traffic, &asked) {
            Ok(picked) => picked,
            Err(Unpicked::Nobody) => return Err(Rejection::NoTarget),
            Err(Unpicked::Open(open)) => return Err(refuse(open, record)),
        };
        if let Some((state, _)) = picked.circuit() {
            record.circuit = Some(state);
        }
        let of_route = forward.selected.route.and_then(|route| route.rules.retries);
        let retries = Retries::of(traffic.retries.as_ref(), of_route);
        if let Some(retries) = retries {
            live.deposit(&retries.rules.budget, now);
        }
        let is_idempotent = forward.request.head.method.is_idempotent();
        Ok(Self {
            live,
            traffic,
            retries,
            picked,
            tried: TargetSet::NONE,
            attempts: 1,
            method: if is_idempotent { Repeatable::Idempotent } else { Repeatable::NotIdempotent },
            deadline,
            revision: asked.revision,
            key,
        })
    }
}

/// Rounded up, and at least one.
pub(super) fn whole_secs(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}
