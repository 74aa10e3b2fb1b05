//! The target that was picked, and the next one where that fails.

use std::mem;
use std::time::{Duration, Instant};

use tollgate_core::balance::{Duty, TargetSet, Unpicked};
use tollgate_core::cause::Cause;
use tollgate_core::retry::{Again, Elsewhere, Failed, Repeatable, Retries};
use tollgate_core::snapshot::{Picking, Service, Target, Traffic};
use tollgate_core::uptime::Uptime;

use super::Stumble;
use super::circuit::refuse;
use crate::forward::affinity::key_of;
use crate::forward::send::Forward;
use crate::live::{self, Asked, LocalService, Picked};
use crate::record::Record;
use crate::rejection::Rejection;
use crate::worker::Worker;

/// The target that was picked, and what is needed to pick another.
pub(super) struct Choice<'j> {
    pub live: &'j LocalService,
    pub traffic: &'j Traffic,
    pub retries: Option<Retries<'j>>,
    pub picked: Picked<'j>,
    tried: TargetSet,
    attempts: u32,
    /// Whether an attempt before this one was a failure of the service's.
    pub has_failed: bool,
    method: Repeatable,
    /// When the request has to be over.
    deadline: Option<Instant>,
    revision: u64,
    key: u64,
}

impl<'j> Choice<'j> {
    pub fn first(
        forward: &Forward<'j, '_>,
        live: &'j LocalService,
        traffic: &'j Traffic,
        deadline: Option<Instant>,
        now: Uptime,
        record: &mut Record<'_>,
    ) -> Result<Self, Rejection> {
        let service = forward.selected.service;
        let key = match &traffic.picking {
            Picking::Hash { on, .. } => key_of(forward, on),
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
            Err(Unpicked::Refused(refused)) => return Err(refuse(refused, record)),
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
            has_failed: false,
            method: if is_idempotent { Repeatable::Idempotent } else { Repeatable::NotIdempotent },
            deadline,
            revision: asked.revision,
            key,
        })
    }

    /// Whether it goes out again, and how much later; if so, the next target is picked already.
    pub fn again(
        &mut self,
        worker: &Worker,
        service: &'j Service,
        cause: Cause,
        stumble: Stumble,
        retry_after: impl FnOnce() -> Option<Duration>,
        now: Instant,
    ) -> Option<Duration> {
        let retries = self.retries?;
        let failed = Failed {
            cause,
            method: self.method,
            sent: stumble.sent,
            body: stumble.body,
            attempts: self.attempts,
            retry_after: retry_after(),
            remaining: self.remaining(now),
        };
        // Before anybody is picked: that may use up the one probe of a circuit.
        if !retries.allow(&failed, Elsewhere::Yes) {
            return None;
        }
        let uptime = worker.gateway.live.uptime(now);
        let withdrawn = self.withdrawn(worker, service);
        let next = self.another(worker, service, withdrawn, uptime);
        if next.is_none() {
            if withdrawn.contains(self.picked.place) || !retries.allow(&failed, Elsewhere::No) {
                return None;
            }
            self.ask_again(worker, service, uptime)?;
        }
        let withdraw = || self.live.withdraw(&retries.rules.budget, uptime);
        let wait = match retries.decide(&failed, elsewhere(next.as_ref()), worker.random(), withdraw) {
            Again::No => {
                self.picked.give_up();
                return None;
            }
            Again::AtOnce => Duration::ZERO,
            Again::After(wait) => {
                self.attempts += 1;
                wait
            }
        };
        if let Some(next) = next {
            self.go_on_at(next);
        }
        Some(wait)
    }

    /// Another target, where there is one that was not tried.
    pub fn another(
        &self,
        worker: &Worker,
        service: &'j Service,
        withdrawn: TargetSet,
        now: Uptime,
    ) -> Option<Picked<'j>> {
        let asked = Asked {
            revision: self.revision,
            now,
            random: worker.random(),
            tried: self.tried.with(self.picked.place).union(withdrawn),
            key: self.key,
        };
        pick(worker, service, self.live, self.traffic, &asked).ok()
    }

    /// To another target, where an edit has taken this one away while the attempt was waited for.
    pub fn go_on(&mut self, worker: &Worker, service: &'j Service, now: Uptime) -> Result<(), Rejection> {
        let withdrawn = self.withdrawn(worker, service);
        if withdrawn.contains(self.picked.place) {
            let next = self.another(worker, service, withdrawn, now).ok_or(Rejection::NoTarget)?;
            self.go_on_at(next);
        }
        Ok(())
    }

    /// The targets that an edit has taken away or drains since the request began: they get no new attempts.
    pub fn withdrawn(&self, worker: &Worker, service: &Service) -> TargetSet {
        let snapshot = worker.snapshot();
        if snapshot.revision() == self.revision {
            return TargetSet::NONE;
        }
        let current = live::find(&snapshot, self.live.shared.tenant, service.id);
        let serves = |target: &Target| {
            current.is_some_and(|current| {
                current.targets.iter().any(|other| other.id == target.id && other.duty == Duty::Serving)
            })
        };
        let places = service.targets.iter().enumerate().filter(|(_, target)| !serves(target));
        places.fold(TargetSet::NONE, |withdrawn, (place, _)| withdrawn.with(place))
    }

    /// The request is at another target from now on.
    pub fn go_on_at(&mut self, next: Picked<'j>) {
        let before = mem::replace(&mut self.picked, next);
        self.note_tried(&before);
    }

    /// Another attempt does not go there.
    pub const fn note_tried(&mut self, picked: &Picked<'_>) {
        self.tried = self.tried.with(picked.place);
    }

    /// Until the request has to be over.
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(now))
    }

    /// There is nobody else: the same target's own circuit, where it has one, has to let the request through again.
    fn ask_again(&self, worker: &Worker, service: &Service, now: Uptime) -> Option<()> {
        if let Some(transition) = self.picked.ask_again(&self.traffic.circuits, now).ok()? {
            worker.gateway.live.changes.target_circuit(service, self.picked.target, transition);
        }
        Some(())
    }
}

pub(super) const fn elsewhere(another: Option<&Picked<'_>>) -> Elsewhere {
    match another {
        Some(_) => Elsewhere::Yes,
        None => Elsewhere::No,
    }
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
