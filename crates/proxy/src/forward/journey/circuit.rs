//! The circuit of a service, from asking it until it is told how the request went.

use std::mem;
use std::time::{Duration, Instant};

use tollgate_core::breaker::{BreakerRules, Permit, Refused, State, Trip};
use tollgate_core::outlier::Outcome;
use tollgate_core::resource::ServiceId;
use tollgate_core::snapshot::Service;
use tollgate_core::uptime::Uptime;

use crate::live::Lookup;
use crate::record::Record;
use crate::rejection::Rejection;
use crate::worker::Worker;

pub(super) enum Circuit<'j> {
    /// The service has no breaker of its own, or it was told how the request went.
    Nothing,
    /// Closed, with nothing against the service. Its id is here, as the service itself has left the cache by the time of
    /// the response.
    Spotless(&'j BreakerRules, ServiceId),
    /// Until the breaker is told how the request went.
    Asked(Permit<'j>),
}

impl<'j> Circuit<'j> {
    pub fn ask(
        worker: &Worker,
        live: &'j Lookup<'j>,
        service: &'j Service,
        now: Uptime,
        record: &mut Record<'_>,
    ) -> Result<Self, Rejection> {
        Ok(match service.breaker() {
            None => Self::Nothing,
            Some(rules) if is_spotless(worker, service.id, rules) => {
                record.circuit = Some(State::Closed);
                Self::Spotless(rules, service.id)
            }
            Some(rules) => Self::Asked(ask(worker, live, rules, service, now, record)?),
        })
    }

    pub const fn state(&self) -> Option<State> {
        match self {
            Self::Nothing => None,
            Self::Spotless(..) => Some(State::Closed),
            Self::Asked(permit) => Some(permit.state()),
        }
    }

    /// What the client gets.
    pub fn end(
        &mut self,
        worker: &Worker,
        live: &Lookup<'_>,
        service: &Service,
        outcome: Outcome,
        now: Instant,
    ) {
        let now = worker.gateway.live.uptime(now);
        let transition = match mem::replace(self, Self::Nothing) {
            Self::Nothing => None,
            Self::Spotless(rules, id) => {
                if outcome == Outcome::Success && is_spotless(worker, id, rules) {
                    return;
                }
                live.get().shared.breaker.asked_when_new(rules, now).report(outcome, now)
            }
            Self::Asked(permit) => permit.report(outcome, now),
        };
        if let Some(transition) = transition {
            worker.gateway.live.changes.circuit(service, transition);
        }
    }
}

/// Whether the service's breaker is as it is at first, so that neither asking it nor telling it of a success does
/// anything. One that counts within a window counts successes as well.
fn is_spotless(worker: &Worker, service: ServiceId, rules: &BreakerRules) -> bool {
    matches!(rules.trip, Trip::Consecutive(_)) && worker.gateway.live.is_unknown(service)
}

fn ask<'j>(
    worker: &Worker,
    live: &'j Lookup<'j>,
    rules: &'j BreakerRules,
    service: &Service,
    now: Uptime,
    record: &mut Record<'_>,
) -> Result<Permit<'j>, Rejection> {
    let permit = live.get().shared.breaker.ask(rules, now).map_err(|refused| refuse(refused, record))?;
    record.circuit = Some(permit.state());
    if let Some(transition) = permit.transition() {
        worker.gateway.live.changes.circuit(service, transition);
    }
    Ok(permit)
}

pub(super) fn refuse(refused: Refused, record: &mut Record<'_>) -> Rejection {
    record.circuit = Some(refused.state());
    let retry_after_secs = whole_secs(refused.wait());
    match refused {
        Refused::OpenFor(_) => Rejection::CircuitOpen { retry_after_secs },
        Refused::Probed => Rejection::CircuitProbed { retry_after_secs },
    }
}

/// Rounded up, and at least one.
pub(in crate::forward) fn whole_secs(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}
