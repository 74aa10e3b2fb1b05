//! What a journey knows of second copies: when one goes out, where to, and what is told of how it went.

use std::time::{Duration, Instant};

use tollgate_core::cause::Cause;
use tollgate_core::hedge::{Hedge, HedgeRules, Late};
use tollgate_core::outlier::Outcome;
use tollgate_core::snapshot::Target;
use tollgate_http1::Method;

use super::choice::elsewhere;
use super::{Journey, Stage};
use crate::live::{Picked, Place};
use crate::request::Request;

/// A second copy at another target, as long as it is under way.
pub(in crate::forward) struct Hedged<'j> {
    picked: Picked<'j>,
    began: Instant,
    /// Of a channel's, until one of the two copies has won.
    _place: Option<Place<'j>>,
}

impl<'j> Hedged<'j> {
    pub const fn target(&self) -> &'j Target {
        self.picked.target
    }
}

impl<'j> Journey<'j> {
    /// When a second copy goes out, where the service has that and the request may be sent twice.
    pub fn hedging(&self, request: &Request<'_>) -> Option<&'j HedgeRules> {
        let Stage::Picked(choice) = &self.stage else { return None };
        let rules = choice.traffic.hedging.as_ref()?;
        let is_read = matches!(request.head.method, Method::Get | Method::Head);
        (is_read && !request.has_body() && request.upgrade.is_none()).then_some(rules)
    }

    /// `None` while too little is known to say who is late.
    pub fn hedge_delay(&self, rules: &HedgeRules, now: Instant) -> Option<Duration> {
        let now = self.worker.gateway.live.uptime(now);
        rules.delay(&mut self.live.get().shared.latencies.lock(), now)
    }

    /// How long a request took that might have been hedged, however many copies there were.
    pub fn note_latency(&self, took: Duration, now: Instant) {
        let now = self.worker.gateway.live.uptime(now);
        self.live.get().shared.latencies.lock().note(took, now);
    }

    /// A second copy of the request, which is late; `None` where there is to be none.
    pub fn hedge(&self, now: Instant) -> Option<Hedged<'j>> {
        let Stage::Picked(choice) = &self.stage else { return None };
        let retries = choice.retries?;
        let uptime = self.worker.gateway.live.uptime(now);
        // Nobody waits for a place because of a copy. Before anybody is picked: that may use up the one probe of a circuit.
        let place = match self.service.channel() {
            None => None,
            Some(rules) => Some(choice.live.shared.queue.spare(rules)?),
        };
        let withdrawn = choice.withdrawn(self.worker, self.service);
        let next = choice.another(self.worker, self.service, withdrawn, uptime);
        let own_circuit = next.as_ref().and_then(Picked::circuit).map(|(state, _)| state);
        let late = Late {
            circuit: self.circuit.state().or(own_circuit),
            elsewhere: elsewhere(next.as_ref()),
            remaining: choice.remaining(now),
        };
        match late.decide(|| choice.live.withdraw(&retries.rules.budget, uptime)) {
            Hedge::No => {
                if let Some(place) = place {
                    place.decline();
                }
                None
            }
            Hedge::Send => {
                choice.live.shared.hedges.sent();
                Some(Hedged { picked: next?, began: now, _place: place })
            }
        }
    }

    /// The second copy has won: what was sent first is no longer spoken of.
    pub fn adopt(&mut self, hedged: Hedged<'j>) {
        let Stage::Picked(choice) = &mut self.stage else { return };
        choice.go_on_at(hedged.picked);
        choice.live.shared.hedges.won();
        self.began = hedged.began;
    }

    /// The first copy has failed; the second goes on.
    pub fn note_first_failed(&self, cause: Option<Cause>, now: Instant) {
        if cause.is_some_and(|cause| self.service.failures().contain(cause)) {
            self.note_at_target(Outcome::Failure, now);
        }
    }

    /// Where the first fails too, the request goes out again elsewhere than to either's target.
    pub fn note_second_failed(&mut self, hedged: &Hedged<'_>, cause: Option<Cause>, now: Instant) {
        if cause.is_some_and(|cause| self.service.failures().contain(cause)) {
            self.note_at(&hedged.picked, hedged.began, Outcome::Failure, now);
        }
        if let Stage::Picked(choice) = &mut self.stage {
            choice.note_tried(&hedged.picked);
        }
    }
}
