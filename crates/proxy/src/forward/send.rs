//! Sends an admitted request to a target and the response back.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use tollgate_core::retry::Sent;
use tollgate_core::snapshot::{Snapshot, Target};
use tollgate_http1::{BodyError, BodyLength, FieldId, RequestHead, ResponseHead, Version};

use super::attempt::{Attempt, AttemptFailure, Consent};
use super::bounds::{deadlines, most_body_bytes};
use super::connect::{Connected, Paused, check_out, connect, note_silence, pause, was_stale};
use super::deadlines::Deadlines;
use super::hedge;
use super::journey::{Journey, Stumble};
use super::kept_body::{Kept, KeptBody};
use super::queue::{Entry, enter};
use super::relay::Held;
use super::respond::respond;
use super::waited::{edited, selected_now};
use crate::admit::Admitted;
use crate::client::Client;
use crate::clock::Moment;
use crate::identity::{Origin, RequestId};
use crate::live::Lookup;
use crate::message::{Hidden, Nominations, Persistence, UpstreamHead, write_request};
use crate::record::Record;
use crate::rejection::Rejection;
use crate::request::Request;
use crate::route::Selected;
use crate::wire::{Buffers, Pump};
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
    /// Later where an issuer's keys or the counter store were waited for.
    pub admitted_at: Instant,
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

impl Sides<'_> {
    /// Ready when the client has gone. Of a body on its way nothing is read before there is somewhere to send it.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>, request: &Request<'_>) -> Poll<()> {
        if request.has_body() {
            self.client.poll_closed(cx)
        } else {
            self.client.poll_gone(cx, self.client_buffers)
        }
    }
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
    let (place, began, waited) = match enter(forward, sides, &live, &deadlines).await? {
        Entry::Open { place, at, waited } => (place, at, waited),
        Entry::ClientGone => return Ok(Forwarded::Abandoned),
    };
    let current = edited(forward, waited);
    let snapshot = current.as_deref().map_or(forward.snapshot, |current| current);
    let Some(selected) = selected_now(forward, sides, snapshot, waited).await? else {
        return Ok(Forwarded::Abandoned);
    };
    let forward = &Forward { snapshot, selected: &selected, ..*forward };
    let mut journey = Journey::begin(forward, &live, began, deadlines.total, record)?;
    let kept_body = match keep_body(forward, sides, &mut journey, &deadlines).await? {
        Kept::Whole(body) => Some(body),
        Kept::None => None,
        Kept::ClientGone => return Ok(Forwarded::Abandoned),
    };
    let kept_body = kept_body.as_ref();
    let held = Held { admitted: forward.admitted, place: place.as_ref(), picked: None };
    let new_upload = || upload(forward, most_body_bytes);
    let mut upload = new_upload();
    write_head(forward, sides, journey.target());
    let mut pooled = check_out(forward, journey.target());
    loop {
        let target = journey.target();
        let unsent = Stumble::of(Sent::Nothing, &upload, kept_body);
        let wait = match connect(forward, sides, &mut journey, &mut pooled, unsent, &deadlines).await? {
            Connected::ClientGone => return Ok(Forwarded::Abandoned),
            Connected::Again(wait) => wait,
            Connected::Over(upstream, connection, upload_state) => {
                let began = journey.attempt_began(connection);
                let mut attempt = Attempt {
                    client: sides.client,
                    client_buffers: sides.client_buffers,
                    upstream,
                    connection,
                    upstream_buffers: sides.upstream_buffers,
                    upload: &mut upload,
                    upload_state,
                    consent: consent(forward.request.head),
                    response: sides.response,
                    parser: sides.parser,
                    request: forward.request,
                    limits: forward.worker.gateway.settings.limits.head,
                    client_until: None,
                    hidden: forward.admitted.cost_header(forward.selected.service),
                };
                let head = hedge::response_head(forward, &mut attempt, &mut journey, &deadlines, began).await;
                let began = attempt.client_until.inspect(|&until| journey.begins_at(until)).unwrap_or(began);
                match head {
                    Ok(announced) => {
                        let now = forward.worker.clock.now();
                        let stumble = Stumble::of(Sent::Something, attempt.upload, kept_body);
                        let took = now.instant.saturating_duration_since(began);
                        held.note_answer(attempt.response.status, took);
                        match journey.answered(attempt.response, stumble, now) {
                            None => {
                                record.upstream_took = Some(journey.took(now.instant));
                                let target = journey.target();
                                let held = Held { picked: journey.picked(), ..held };
                                let answer = (announced, now);
                                let sent =
                                    respond(forward, attempt, answer, target, &held, &deadlines, record);
                                return sent.await;
                            }
                            Some(wait) => wait,
                        }
                    }
                    Err(AttemptFailure::Upstream(failure)) => {
                        note_silence(forward, target, &attempt, &failure);
                        let was_stale = was_stale(&attempt, &failure, kept_body);
                        let sent = attempt.sent();
                        if was_stale {
                            if sent == Sent::Something {
                                rewind(forward, sides, target, &upload, kept_body);
                                upload = new_upload();
                            }
                            continue;
                        }
                        let (stumble, now) = (Stumble::of(sent, &upload, kept_body), Instant::now());
                        held.note_failure(failure.cause(), now.saturating_duration_since(began));
                        let wait = journey.failed(failure.cause(), stumble, now);
                        wait.ok_or(Rejection::Upstream(failure))?
                    }
                    Err(of_client) => return ended_by_client(of_client),
                }
            }
        };
        if pause(forward, sides, &mut journey, wait).await? == Paused::ClientGone {
            return Ok(Forwarded::Abandoned);
        }
        rewind(forward, sides, journey.target(), &upload, kept_body);
        upload = new_upload();
        pooled = check_out(forward, journey.target());
    }
}

impl Forward<'_, '_> {
    fn auth_header(&self) -> Hidden<'_> {
        self.admitted.auth_headers(self.selected.service)
    }
}

fn ended_by_client(failure: AttemptFailure) -> Result<Forwarded, Rejection> {
    Err(match failure {
        AttemptFailure::ClientGone => return Ok(Forwarded::Abandoned),
        AttemptFailure::ClientTooSlow => Rejection::TooSlow,
        AttemptFailure::ClientBodyTooLarge => Rejection::BodyTooLarge,
        AttemptFailure::ClientBody(error) => malformed_body(error),
        AttemptFailure::Upstream(failure) => Rejection::Upstream(failure),
    })
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
        let now = Instant::now();
        journey.begins_at(now);
        journey.go_on(now)?;
    }
    Ok(kept)
}

/// The body on its way; no trailer carries what the gateway takes for a credential.
fn upload(forward: &Forward<'_, '_>, most_bytes: Option<u64>) -> Pump {
    let length = forward.request.body;
    let auth_header = if length == BodyLength::Chunked { forward.auth_header() } else { Hidden::default() };
    let nominated = Nominations::of_trailers(&forward.request.head.fields, length);
    Pump::new(length, length, most_bytes).hiding(auth_header).without(nominated)
}

/// An HTTP/1.0 client's `Expect` counts for nothing and goes no further (RFC 9110 section 10.1.1).
fn consent(head: &RequestHead) -> Consent {
    match head.version {
        Version::Http11 if head.fields.contains(FieldId::Expect) => Consent::Awaited,
        Version::Http10 | Version::Http11 => Consent::NotAwaited,
    }
}

const fn malformed_body(error: BodyError) -> Rejection {
    match error {
        BodyError::Malformed(what) => Rejection::Malformed(what),
        BodyError::ExtensionsTooLong => Rejection::Malformed("chunk extensions are too long"),
        BodyError::TrailersTooLarge => Rejection::TrailersTooLarge,
        BodyError::Incomplete => Rejection::Malformed("the body is cut short"),
    }
}

/// Makes the request ready to go out again, with the body that was kept of it.
fn rewind(
    forward: &Forward<'_, '_>,
    sides: &mut Sides<'_>,
    target: &Target,
    upload: &Pump,
    kept_body: Option<&KeptBody>,
) {
    if let Some(body) = kept_body {
        body.restore(&mut sides.client_buffers.input, upload);
    }
    sides.upstream_buffers.clear();
    sides.parser.reset();
    write_head(forward, sides, target);
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
        auth_header: forward.auth_header(),
        target,
        origin: forward.origin,
        request_id: forward.request_id,
    };
    write_request(buffers.output(), &head);
}
