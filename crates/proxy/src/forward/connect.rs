//! A connection to a target, pooled or new, and what becomes of waiting for it.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tollgate_core::retry::{self, BodyRead, Connection, FailedAttempt, Repeatable};
use tollgate_core::snapshot::Target;

use super::UpstreamFailure;
use super::attempt::{Attempt, Upload};
use super::deadlines::Deadlines;
use super::dial::{Upstream, dial};
use super::hedge::{Dialled, while_dialling};
use super::journey::{Journey, Stumble};
use super::kept_body::KeptBody;
use super::pool::CheckedOut;
use super::send::{Forward, Sides};
use crate::rejection::Rejection;

pub(super) fn check_out(forward: &Forward<'_, '_>, target: &Target) -> CheckedOut {
    let worker = forward.worker;
    let now = || worker.gateway.live.uptime(worker.clock.last());
    worker.gateway.pools.check_out(worker.index, &target.endpoint, now)
}

pub(super) enum Connected {
    /// Unless the request still flows, the final response's head is there: a second copy was answered before the first had
    /// a connection.
    Over(Upstream, Connection, Upload),
    /// None came about: so much later at what is then the journey's target.
    Again(Duration),
    ClientGone,
}

/// The idle connection, once, else a new one.
pub(super) async fn connect<'j>(
    forward: &Forward<'j, '_>,
    sides: &mut Sides<'_>,
    journey: &mut Journey<'j>,
    checked_out: &mut CheckedOut,
    stumble: Stumble,
    deadlines: &Deadlines,
) -> Result<Connected, Rejection> {
    if let Some(upstream) = checked_out.idle.take() {
        return Ok(Connected::Over(upstream, Connection::Reused, Upload::Flowing));
    }
    let dialling = dial_in_time(forward, sides, journey.target(), checked_out.first, deadlines);
    let dialled = match journey.hedging(forward.request) {
        None => dialling.await,
        // Boxed: few services hedge.
        Some(rules) => match Box::pin(while_dialling(forward, journey, rules, deadlines, dialling)).await {
            Dialled::First(dialled) => dialled,
            Dialled::Second(answered, hedged) => {
                let (upstream, upload) = answered.put_into(sides.upstream_buffers, sides.response);
                journey.adopt(hedged);
                return Ok(Connected::Over(upstream, Connection::Reused, upload));
            }
        },
    };
    match dialled {
        Ok(Some(upstream)) => Ok(Connected::Over(upstream, Connection::Fresh, Upload::Flowing)),
        Ok(None) => Ok(Connected::ClientGone),
        Err(failure) => {
            let wait = journey.failed(failure.cause(), stumble, Instant::now());
            wait.map(Connected::Again).ok_or(Rejection::Upstream(failure))
        }
    }
}

/// A new connection; `None` where the client has gone meanwhile.
async fn dial_in_time(
    forward: &Forward<'_, '_>,
    sides: &mut Sides<'_>,
    target: &Target,
    first: Option<IpAddr>,
    deadlines: &Deadlines,
) -> Result<Option<Upstream>, UpstreamFailure> {
    let began = Instant::now();
    let within = deadlines.connect_within(began);
    let deadline = began + within;
    // Boxed: dialling is rare, and its state would make every connection's task larger.
    let dialling =
        Box::pin(dial(&forward.worker.gateway, &target.endpoint, first, within, forward.selected.tenant.id));
    let mut dialling = pin!(dialling);
    poll_fn(|cx| {
        if let Poll::Ready(outcome) = dialling.as_mut().poll(cx) {
            return Poll::Ready(outcome.map(Some).map_err(UpstreamFailure::Dial));
        }
        if sides.poll_gone(cx, forward.request).is_ready() {
            return Poll::Ready(Ok(None));
        }
        let timed_out = || deadlines.timeout(began, UpstreamFailure::ConnectTimeout);
        sides.client.watchdog.poll_past(cx, deadline).map(|()| Err(timed_out()))
    })
    .await
}

/// A host that has gone without a word is noticed by what does not come over an idle connection to it.
pub(super) fn note_silence(
    forward: &Forward<'_, '_>,
    target: &Target,
    attempt: &Attempt<'_>,
    failure: &UpstreamFailure,
) {
    if attempt.connection == Connection::Reused && failure.is_silence() {
        let gateway = &forward.worker.gateway;
        gateway.pools.note_silence(
            &target.endpoint,
            attempt.upstream.ip,
            gateway.live.uptime(Instant::now()),
        );
    }
}

/// Whether the connection's server may have closed it while it was idle, so that the same request goes out once more: that is no
/// failure of the target.
pub(super) fn was_stale(
    attempt: &Attempt<'_>,
    failure: &UpstreamFailure,
    kept_body: Option<&KeptBody>,
) -> bool {
    let is_idempotent = attempt.request.head.method.is_idempotent();
    let is_body_gone = attempt.upload.has_begun() && kept_body.is_none();
    let failed = || FailedAttempt {
        method: if is_idempotent { Repeatable::Idempotent } else { Repeatable::NotIdempotent },
        connection: attempt.connection,
        bytes_sent: attempt.upstream_buffers.sent_bytes(),
        body: if is_body_gone { BodyRead::Begun } else { BodyRead::Untouched },
    };
    matches!(failure, UpstreamFailure::Closed) && retry::may_send_again(failed())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paused {
    Over,
    ClientGone,
}

/// Between two attempts; the next goes to where it may go by then.
pub(super) async fn pause(
    forward: &Forward<'_, '_>,
    sides: &mut Sides<'_>,
    journey: &mut Journey<'_>,
    wait: Duration,
) -> Result<Paused, Rejection> {
    let deadline = Instant::now() + wait;
    let paused = poll_fn(|cx| {
        if sides.poll_gone(cx, forward.request).is_ready() {
            return Poll::Ready(Paused::ClientGone);
        }
        sides.client.watchdog.poll_past(cx, deadline).map(|()| Paused::Over)
    });
    match paused.await {
        Paused::ClientGone => Ok(Paused::ClientGone),
        Paused::Over => journey.go_on(Instant::now()).map(|()| Paused::Over),
    }
}
