//! How long a request may take, and how large it may be: the route says it, else the service, else the gateway.

use std::time::Duration;

use tollgate_http1::BodyLength;

use super::deadlines::Deadlines;
use super::send::Forward;
use crate::rejection::Rejection;
use crate::route::Selected;
use crate::worker::Worker;

/// Largest body that the request may have, unless it says by itself that its own is larger.
pub(super) fn most_body_bytes(forward: &Forward<'_, '_>) -> Result<Option<u64>, Rejection> {
    let Selected { service, route, .. } = *forward.selected;
    let most = route
        .and_then(|route| route.rules.max_body_bytes)
        .or_else(|| service.max_body_bytes())
        .or(forward.worker.gateway.settings.limits.max_body_bytes);
    match (forward.request.body, most) {
        (BodyLength::Exact(length), Some(most)) if length > most => Err(Rejection::BodyTooLarge),
        (_, most) => Ok(most),
    }
}

pub(super) fn deadlines(forward: &Forward<'_, '_>) -> Deadlines {
    let defaults = &forward.worker.gateway.settings.timeouts;
    let mut deadlines = Deadlines {
        connect: defaults.connect,
        first_byte: defaults.first_byte,
        idle: defaults.body_idle,
        received: forward.received.instant,
        total: None,
    };
    if let Some(of_service) = forward.selected.service.timeouts() {
        deadlines.connect = of_service.connect.unwrap_or(deadlines.connect);
        deadlines.first_byte = of_service.first_byte.unwrap_or(deadlines.first_byte);
        deadlines.idle = of_service.idle.unwrap_or(deadlines.idle);
    }
    deadlines.total = longest(forward.worker, forward.selected).map(|total| deadlines.received + total);
    deadlines
}

/// How long the request may take as a whole.
pub(crate) fn longest(worker: &Worker, selected: &Selected<'_, '_>) -> Option<Duration> {
    let of_route = selected.route.and_then(|route| route.rules.timeout);
    let of_service = || selected.service.timeouts().and_then(|timeouts| timeouts.total);
    of_route.or_else(of_service).or(worker.gateway.settings.timeouts.total)
}
