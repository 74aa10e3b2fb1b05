//! Sends an admitted request to a target and the response back.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tollgate_core::resource::HeaderName;
use tollgate_core::retry::{self, BodyRead, Connection, FailedAttempt, Repeatable, Sent};
use tollgate_core::snapshot::{Service, Snapshot, Target};
use tollgate_http1::{
    BodyError, BodyLength, FieldId, Method, RequestHead, ResponseHead, Version, keep_alive, response_body,
};

use super::UpstreamFailure;
use super::attempt::{Attempt, AttemptFailure, Consent, Deadlines, Upload};
use super::dial::dial;
use super::hedge;
use super::journey::{Journey, Stumble};
use super::kept_body::{Kept, KeptBody};
use super::queue::{Entry, enter};
use super::relay::{Cut, Held, Relayed};
use crate::admit::Admitted;
use crate::client::{Client, Progress};
use crate::clock::Moment;
use crate::identity::{Origin, RequestId};
use crate::live::Lookup;
use crate::message::{ClientHead, Persistence, UpstreamHead, write_request, write_response};
use crate::record::Record;
use crate::rejection::Rejection;
use crate::request::Request;
use crate::route::Selected;
use crate::wire::{Buffers, Pump, Side, Stream, tunnel};
use crate::worker::Worker;

/// Everything that forwarding needs of a request.
pub(crate) struct Forward<'x, 's> {
    pub worker: &'x Rc<Worker>,
    pub snapshot: &'x Snapshot,
    pub request: &'x Request<'x>,
    pub selected: &'x Selected<'x, 'x>,
    pub admitted: &'x Admitted<'s>,
    pub origin: &'x Origin<'x>,
    pub request_id: &'x RequestId,
    pub received: Moment,
    /// Whether the client's connection may outlive the response.
    pub persistence: Persistence,
}

/// What is left of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forwarded {
    KeepAlive,
    /// The response said that it closes; the client may still be sending.
    Close,
    /// Nothing more can be said to this client.
    Abandoned,
}

/// Sockets, buffers and scratch memory of the exchange.
pub(crate) struct Sides<'x> {
    pub client: &'x mut Client,
    pub client_buffers: &'x mut Buffers,
    pub upstream_buffers: &'x mut Buffers,
    pub response: &'x mut ResponseHead,
    pub parser: &'x mut tollgate_http1::ResponseParser,
}

pub(crate) async fn send(
    forward: &Forward<'_, '_>,
    sides: &mut Sides<'_>,
    record: &mut Record<'_>,
) -> Result<Forwarded, Rejection> {
    let Selected { tenant, service, .. } = *forward.selected;
    let deadlines = deadlines(forward);
    let most_body_bytes = most_body_bytes(forward)?;
    let live = Lookup::new(forward.worker, tenant.id, service.id);
    let (place, began) = match enter(forward, sides, &live, &deadlines).await? {
        Entry::Open { place, at } => (place, at),
        Entry::ClientGone => return Ok(Forwarded::Abandoned),
    };
    let mut journey = Journey::begin(forward, &live, began, deadlines.total, record)?;
    let kept_body = match keep_body(forward, sides, &mut journey, &deadlines).await? {
        Kept::Whole(body) => Some(body),
        Kept::None => None,
        Kept::ClientGone => return Ok(Forwarded::Abandoned),
    };
    let kept_body = kept_body.as_ref();
    let held = Held { admitted: forward.admitted, place: place.as_ref(), picked: None };
    let new_upload = || Pump::new(forward.request.body, forward.request.body, most_body_bytes);
    let mut upload = new_upload();
    write_head(forward, sides, journey.target());
    let mut pooled = check_out(forward, journey.target());
    loop {
        let target = journey.target();
        let unsent = Stumble::of(Sent::Nothing, &upload, kept_body);
        let wait = match connect(forward, sides, &mut journey, pooled.take(), unsent, &deadlines).await? {
            Connected::ClientGone => return Ok(Forwarded::Abandoned),
            Connected::Again(wait) => wait,
            Connected::Over(stream, connection) => {
                let began = journey.attempt_began(connection);
                let mut attempt = Attempt {
                    client: sides.client,
                    client_buffers: sides.client_buffers,
                    upstream: stream,
                    upstream_buffers: sides.upstream_buffers,
                    upload: &mut upload,
                    upload_state: Upload::Flowing,
                    consent: consent(forward.request.head),
                    response: sides.response,
                    parser: sides.parser,
                    client_version: forward.request.head.version,
                    limits: forward.worker.gateway.settings.limits.head,
                    hidden: hidden_field(service),
                };
                let head = hedge::response_head(forward, &mut attempt, &mut journey, &deadlines, began);
                match head.await {
                    Ok(()) => {
                        let now = forward.worker.clock.now();
                        let stumble = Stumble::of(Sent::Something, attempt.upload, kept_body);
                        held.note_answer(
                            attempt.response.status,
                            now.instant.saturating_duration_since(began),
                        );
                        match journey.answered(attempt.response, stumble, now) {
                            None => {
                                let target = journey.target();
                                let held = Held { picked: journey.picked(), ..held };
                                return respond(forward, attempt, target, &held, &deadlines, record, now)
                                    .await;
                            }
                            Some(wait) => wait,
                        }
                    }
                    Err(AttemptFailure::ClientGone) => return Ok(Forwarded::Abandoned),
                    Err(AttemptFailure::ClientTooSlow) => return Err(Rejection::TooSlow),
                    Err(AttemptFailure::ClientBodyTooLarge) => return Err(Rejection::BodyTooLarge),
                    Err(AttemptFailure::ClientBody(error)) => return Err(malformed_body(error)),
                    Err(AttemptFailure::Upstream(failure)) => {
                        let failed = failed_attempt(forward.request.head.method, connection, &attempt);
                        let was_closed = matches!(failure, UpstreamFailure::Closed);
                        if was_closed && retry::may_send_again(failed) {
                            sides.parser.reset();
                            if failed.bytes_sent > 0 {
                                write_head(forward, sides, target);
                                upload = new_upload();
                            }
                            continue;
                        }
                        let sent = if failed.bytes_sent == 0 { Sent::Nothing } else { Sent::Something };
                        let cause = failure.cause().filter(|_| !client_was_awaited(&failure, &attempt));
                        let (stumble, now) = (Stumble::of(sent, &upload, kept_body), Instant::now());
                        held.note_failure(cause, now.saturating_duration_since(began));
                        let wait = journey.failed(cause, stumble, now);
                        wait.ok_or(Rejection::Upstream(failure))?
                    }
                }
            }
        };
        if pause(forward, sides, wait).await == Paused::ClientGone {
            return Ok(Forwarded::Abandoned);
        }
        if let Some(body) = kept_body {
            body.restore(&mut sides.client_buffers.input, &upload);
        }
        upload = new_upload();
        sides.upstream_buffers.clear();
        sides.parser.reset();
        write_head(forward, sides, journey.target());
        pooled = check_out(forward, journey.target());
    }
}

/// Largest body that the request may have, unless it says by itself that its own is larger.
fn most_body_bytes(forward: &Forward<'_, '_>) -> Result<Option<u64>, Rejection> {
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

/// The body, where the request may go out again and it has to be there for that.
async fn keep_body(
    forward: &Forward<'_, '_>,
    sides: &mut Sides<'_>,
    journey: &mut Journey<'_>,
    deadlines: &Deadlines,
) -> Result<Kept, Rejection> {
    let Some(rules) = journey.retries() else { return Ok(Kept::None) };
    let kept = KeptBody::gather(forward, rules, sides, deadlines).await?;
    if let Kept::Whole(_) = kept {
        journey.begins_at(Instant::now());
    }
    Ok(kept)
}

/// Whether the time was over while the client had not sent its body: that says nothing of the target.
fn client_was_awaited(failure: &UpstreamFailure, attempt: &Attempt<'_>) -> bool {
    matches!(failure, UpstreamFailure::TotalTimeout)
        && attempt.upload_state == Upload::Flowing
        && attempt.upload.waiting_for() == Side::Source
}

pub(super) fn check_out(forward: &Forward<'_, '_>, target: &Target) -> Option<Stream> {
    forward.worker.gateway.pools.check_out(forward.worker.index, &target.endpoint)
}

enum Connected {
    Over(Stream, Connection),
    /// None came about: so much later at what is then the journey's target.
    Again(Duration),
    ClientGone,
}

/// The pooled connection, else a new one.
async fn connect(
    forward: &Forward<'_, '_>,
    sides: &mut Sides<'_>,
    journey: &mut Journey<'_>,
    pooled: Option<Stream>,
    stumble: Stumble,
    deadlines: &Deadlines,
) -> Result<Connected, Rejection> {
    if let Some(stream) = pooled {
        return Ok(Connected::Over(stream, Connection::Reused));
    }
    match dial_in_time(forward, sides, journey.target(), deadlines).await {
        Ok(Some(stream)) => Ok(Connected::Over(stream, Connection::Fresh)),
        Ok(None) => Ok(Connected::ClientGone),
        Err(failure) => {
            let wait = journey.failed(failure.cause(), stumble, Instant::now());
            wait.map(Connected::Again).ok_or(Rejection::Upstream(failure))
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paused {
    Over,
    ClientGone,
}

/// Between two attempts.
async fn pause(forward: &Forward<'_, '_>, sides: &mut Sides<'_>, wait: Duration) -> Paused {
    let deadline = Instant::now() + wait;
    let has_body = forward.request.has_body();
    poll_fn(|cx| {
        // With a body on its way, reading would take it.
        if !has_body && sides.client.poll_gone(cx, sides.client_buffers).is_ready() {
            return Poll::Ready(Paused::ClientGone);
        }
        sides.client.watchdog.poll_past(cx, deadline).map(|()| Paused::Over)
    })
    .await
}

/// An HTTP/1.0 client's `Expect` counts for nothing and goes no further (RFC 9110 section 10.1.1).
fn consent(head: &RequestHead) -> Consent {
    match head.version {
        Version::Http11 if head.fields.contains(FieldId::Expect) => Consent::Awaited,
        Version::Http10 | Version::Http11 => Consent::NotAwaited,
    }
}

const fn malformed_body(error: BodyError) -> Rejection {
    Rejection::Malformed(match error {
        BodyError::Malformed(what) => what,
        BodyError::ExtensionsTooLong => "chunk extensions are too long",
        BodyError::TrailersTooLarge => "the trailer section is too large",
        BodyError::Incomplete => "the body is cut short",
    })
}

fn failed_attempt(method: Method, connection: Connection, attempt: &Attempt<'_>) -> FailedAttempt {
    FailedAttempt {
        method: if method.is_idempotent() { Repeatable::Idempotent } else { Repeatable::NotIdempotent },
        connection,
        bytes_sent: attempt.upstream_buffers.sent_bytes(),
        body: if attempt.upload.has_begun() { BodyRead::Begun } else { BodyRead::Untouched },
    }
}

fn write_head(forward: &Forward<'_, '_>, sides: &mut Sides<'_>, target: &Target) {
    write_head_to(forward, sides.upstream_buffers, target);
}

pub(super) fn write_head_to(forward: &Forward<'_, '_>, buffers: &mut Buffers, target: &Target) {
    buffers.clear_output();
    let head = UpstreamHead {
        gateway: &forward.worker.gateway,
        snapshot: forward.snapshot,
        request: forward.request,
        selected: forward.selected,
        caller: &forward.admitted.caller,
        target,
        origin: forward.origin,
        request_id: forward.request_id,
    };
    write_request(buffers.output(), &head);
}

fn deadlines(forward: &Forward<'_, '_>) -> Deadlines {
    let defaults = &forward.worker.gateway.settings.timeouts;
    let mut deadlines = Deadlines {
        connect: defaults.connect,
        first_byte: defaults.first_byte,
        idle: defaults.body_idle,
        total: None,
    };
    let mut total = defaults.total;
    if let Some(of_service) = forward.selected.service.timeouts() {
        deadlines.connect = of_service.connect.unwrap_or(deadlines.connect);
        deadlines.first_byte = of_service.first_byte.unwrap_or(deadlines.first_byte);
        deadlines.idle = of_service.idle.unwrap_or(deadlines.idle);
        total = of_service.total.or(total);
    }
    if let Some(route) = forward.selected.route {
        total = route.rules.timeout.or(total);
    }
    deadlines.total = total.map(|total| forward.received.instant + total);
    deadlines
}

/// A new connection; `None` where the client has gone meanwhile.
async fn dial_in_time(
    forward: &Forward<'_, '_>,
    sides: &mut Sides<'_>,
    target: &Target,
    deadlines: &Deadlines,
) -> Result<Option<Stream>, UpstreamFailure> {
    // Boxed: dialling is rare, and its state would make every connection's task larger.
    let mut dialling = pin!(Box::pin(dial(&forward.worker.gateway, &target.endpoint)));
    let deadline = deadlines.nearer(Instant::now() + deadlines.connect);
    let has_body = forward.request.has_body();
    poll_fn(|cx| {
        if let Poll::Ready(outcome) = dialling.as_mut().poll(cx) {
            return Poll::Ready(outcome.map(Some).map_err(UpstreamFailure::Dial));
        }
        // With a body on its way, reading would take it; its end shows when it is read.
        if !has_body && sides.client.poll_gone(cx, sides.client_buffers).is_ready() {
            return Poll::Ready(Ok(None));
        }
        let timed_out = || {
            let is_total_past = deadlines.is_total_past();
            Err(if is_total_past { UpstreamFailure::TotalTimeout } else { UpstreamFailure::ConnectTimeout })
        };
        sides.client.watchdog.poll_past(cx, deadline).map(|()| timed_out())
    })
    .await
}

/// Passes a final response on.
async fn respond(
    forward: &Forward<'_, '_>,
    mut attempt: Attempt<'_>,
    target: &Target,
    held: &Held<'_, '_, '_>,
    deadlines: &Deadlines,
    record: &mut Record<'_>,
    began: Moment,
) -> Result<Forwarded, Rejection> {
    let request = forward.request;
    record.upstream_began = Some(began.instant);
    if attempt.response.status == 101 {
        return switch_protocols(forward, attempt, record, began).await;
    }
    let from = response_body(request.head.method, attempt.response)
        .map_err(|_| Rejection::Upstream(UpstreamFailure::Protocol("the response's length is ambiguous")))?;
    let to = framing_for(request.head.version, from);
    let persistence = match (to, attempt.upload_state) {
        // The rest of the request is not waited for, so where the next one begins will not be known: RFC 9112
        // section 9.6 wants that said.
        (BodyLength::UntilClose, _) | (_, Upload::Flowing | Upload::Broken) => Persistence::Close,
        (BodyLength::None | BodyLength::Exact(_) | BodyLength::Chunked, Upload::Sent) => forward.persistence,
    };
    write_client_head(forward, &mut attempt, to, persistence, began);
    record.status = Some(attempt.response.status);
    attempt.client.progress = Progress::Answering;
    let mut download = Pump::new(from, to, None).hiding(attempt.hidden);
    let (relayed, ended) = attempt.relay(&mut download, held, deadlines, began.instant).await;
    record.body_bytes = download.moved_bytes();
    record.ended = Some(forward.worker.clock.note(ended));
    let reusable =
        from != BodyLength::UntilClose && keep_alive(attempt.response.version, &attempt.response.fields);
    Ok(match relayed {
        Relayed::Complete => {
            if reusable && attempt.upstream_buffers.input.is_empty() {
                let pools = &forward.worker.gateway.pools;
                pools.check_in(forward.worker.index, &target.endpoint, attempt.upstream, ended);
            }
            match persistence {
                Persistence::KeepAlive => Forwarded::KeepAlive,
                Persistence::Close => Forwarded::Close,
            }
        }
        Relayed::Early => Forwarded::Close,
        Relayed::Cut(cut) => {
            note_cut(forward, cut);
            attempt.client.stream.reset_on_close();
            Forwarded::Abandoned
        }
    })
}

fn write_client_head(
    forward: &Forward<'_, '_>,
    attempt: &mut Attempt<'_>,
    body: BodyLength,
    persistence: Persistence,
    now: Moment,
) {
    let settled = forward.admitted.settle(attempt.response, now);
    let head = ClientHead {
        response: attempt.response,
        body,
        persistence,
        version: forward.request.head.version,
        limits: settled.as_ref().unwrap_or(forward.admitted.limits()),
        hidden: attempt.hidden,
        request_id: forward.request_id,
        now: now.wall,
        times: &forward.worker.times,
    };
    write_response(attempt.client_buffers.output(), &head);
}

/// In which a target tells the gateway alone what a request has cost.
fn hidden_field(service: &Service) -> Option<&HeaderName> {
    service.limits.as_deref()?.cost_header.as_ref()
}

/// HTTP/1.0 knows no chunks: what has no length ends with the connection there.
const fn framing_for(version: Version, from: BodyLength) -> BodyLength {
    match (version, from) {
        (_, BodyLength::None) => BodyLength::None,
        (_, BodyLength::Exact(length)) => BodyLength::Exact(length),
        (Version::Http11, BodyLength::Chunked | BodyLength::UntilClose) => BodyLength::Chunked,
        (Version::Http10, BodyLength::Chunked | BodyLength::UntilClose) => BodyLength::UntilClose,
    }
}

async fn switch_protocols(
    forward: &Forward<'_, '_>,
    mut attempt: Attempt<'_>,
    record: &mut Record<'_>,
    now: Moment,
) -> Result<Forwarded, Rejection> {
    if forward.request.upgrade.is_none() || attempt.upload_state != Upload::Sent {
        return Err(Rejection::Upstream(UpstreamFailure::Protocol("an upgrade that nobody asked for")));
    }
    write_client_head(forward, &mut attempt, BodyLength::None, Persistence::KeepAlive, now);
    record.status = Some(101);
    attempt.client.progress = Progress::Answering;
    attempt.upstream_buffers.clear_output();
    let Attempt { client, client_buffers, mut upstream, upstream_buffers, .. } = attempt;
    let tunnelled = tunnel(
        (&mut client.stream, client_buffers),
        (&mut upstream, upstream_buffers),
        &mut client.watchdog,
        forward.worker.gateway.settings.timeouts.tunnel_idle,
    )
    .await;
    record.body_bytes = tunnelled.to_client_bytes;
    Ok(Forwarded::Abandoned)
}

fn note_cut(forward: &Forward<'_, '_>, cut: Cut) {
    let request_id = std::str::from_utf8(forward.request_id.as_bytes()).unwrap_or_default();
    match cut {
        Cut::ClientGone => {}
        Cut::Upstream => tracing::warn!(request_id, "the upstream cut its response short"),
        Cut::Timeout => tracing::warn!(request_id, "a response stood still for too long and was cut"),
    }
}
