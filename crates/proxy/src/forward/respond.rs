//! Passes a final response on to the client.

use tollgate_core::snapshot::Target;
use tollgate_http1::{BodyLength, FieldId, RequestHead, ResponseHead, Version, keep_alive};

use super::UpstreamFailure;
use super::announced::Announced;
use super::attempt::{Attempt, Upload};
use super::deadlines::Deadlines;
use super::relay::{Cut, Held, Relayed};
use super::send::{Forward, Forwarded};
use crate::client::Progress;
use crate::clock::Moment;
use crate::message::{ClientHead, Nominations, Persistence, write_response};
use crate::record::Record;
use crate::rejection::Rejection;
use crate::wire::{Buffers, Pump, TunnelEnd, tunnel};

pub(super) async fn respond(
    forward: &Forward<'_, '_>,
    mut attempt: Attempt<'_>,
    (announced, began): (Announced, Moment),
    target: &Target,
    held: &Held<'_, '_, '_>,
    deadlines: &Deadlines,
    record: &mut Record<'_>,
) -> Result<Forwarded, Rejection> {
    let from = match announced {
        Announced::Body(length) => length,
        Announced::Upgrade => return Ok(switch_protocols(forward, attempt, record, began).await),
    };
    let to = framing_for(forward.request.head.version, from);
    let persistence = match (to, attempt.upload_state) {
        // The rest of the request is not waited for, so where the next one begins will not be known: RFC 9112
        // section 9.6 wants that said.
        (BodyLength::UntilClose, _) | (_, Upload::Flowing | Upload::Broken) => Persistence::Close,
        (BodyLength::None | BodyLength::Exact(_) | BodyLength::Chunked, Upload::Sent) => {
            forward.persistence.unless(forward.worker.gateway.is_draining())
        }
    };
    let sent_before = attempt.client_buffers.sent_bytes();
    write_client_head(forward, &mut attempt, to, persistence, began);
    record.status = Some(attempt.response.status);
    attempt.client.progress = Progress::Answering;
    let nominated = Nominations::of_trailers(&attempt.response.fields, from);
    let mut download = Pump::new(from, to, None).hiding(attempt.hidden).without(nominated);
    let body_bytes = &mut record.body_bytes;
    let (relayed, ended) = attempt.relay(&mut download, held, deadlines, began.instant, body_bytes).await;
    record.ended = Some(forward.worker.clock.note(ended));
    let reusable = from != BodyLength::UntilClose
        && keep_alive(attempt.response.version, &attempt.response.fields)
        && !announces_what_it_may_not_have(attempt.response)
        && !authenticates_connection(forward.request.head, attempt.response);
    match relayed {
        Relayed::Complete => {
            if reusable && attempt.upstream_buffers.input.is_empty() {
                let pools = &forward.worker.gateway.pools;
                pools.check_in(forward.worker.index, &target.endpoint, attempt.upstream, ended);
            }
            Ok(match persistence {
                Persistence::KeepAlive => Forwarded::KeepAlive,
                Persistence::Close => Forwarded::Close,
            })
        }
        Relayed::Early => Ok(Forwarded::Close),
        Relayed::Cut(cut) => match as_failure(cut) {
            Some(failure) if can_be_taken_back(attempt.client_buffers, sent_before) => {
                attempt.client_buffers.clear_output();
                attempt.client.progress = Progress::Unanswered;
                Err(Rejection::Upstream(failure))
            }
            Some(_) | None => {
                note_cut(forward, cut);
                Ok(Forwarded::Abandoned)
            }
        },
    }
}

/// What is wrong with a response that cannot be passed on; `None` where the response is not what it was cut for.
const fn as_failure(cut: Cut) -> Option<UpstreamFailure> {
    match cut {
        Cut::Framing => Some(UpstreamFailure::Protocol("the response's body is framed wrongly")),
        Cut::Trailers => Some(UpstreamFailure::TrailersTooLarge),
        Cut::ClientGone | Cut::Upstream | Cut::Timeout | Cut::TotalTimeout => None,
    }
}

/// Whether the client has nothing of the response yet, nor a part of an interim one.
const fn can_be_taken_back(client: &Buffers, sent_before: u64) -> bool {
    client.sent_bytes() == sent_before && !client.is_partly_sent()
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

/// Whether a 204 says that a body follows, which none may have (RFC 9110 sections 6.4.1 and 8.6): one that does would be
/// read as the answer to the next request.
fn announces_what_it_may_not_have(response: &ResponseHead) -> bool {
    let has_length = || response.fields.first(FieldId::ContentLength).is_some_and(|length| length != b"0");
    response.status == 204 && (response.fields.contains(FieldId::TransferEncoding) || has_length())
}

/// Whether a target may know this connection by who has signed in over it (RFC 4559 section 6; NTLM): nobody else may have
/// it then.
fn authenticates_connection(request: &RequestHead, response: &ResponseHead) -> bool {
    let signs_in = |value: &[u8]| {
        [&b"ntlm"[..], b"negotiate"]
            .iter()
            .any(|scheme| value.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
    };
    let asks_to = || {
        let mut asks =
            response.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(b"WWW-Authenticate"));
        asks.any(|field| signs_in(field.value))
    };
    request.fields.all(FieldId::Authorization).any(signs_in) || response.status == 401 && asks_to()
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
) -> Forwarded {
    write_client_head(forward, &mut attempt, BodyLength::None, Persistence::KeepAlive, now);
    record.status = Some(101);
    attempt.client.progress = Progress::Answering;
    attempt.upstream_buffers.clear_output();
    let Attempt { client, client_buffers, mut upstream, upstream_buffers, .. } = attempt;
    let end = tunnel(
        (&mut client.stream, client_buffers),
        (&mut upstream.stream, upstream_buffers),
        &mut client.watchdog,
        forward.worker.gateway.settings.timeouts.tunnel_idle,
        &mut record.body_bytes,
    )
    .await;
    match end {
        TunnelEnd::Closed => client.progress = Progress::Answered,
        // As a response that is cut, the client's side resets itself.
        TunnelEnd::Broken => upstream.stream.reset_on_close(),
    }
    Forwarded::Abandoned
}

fn note_cut(forward: &Forward<'_, '_>, cut: Cut) {
    let request_id = forward.request_id.as_str();
    match cut {
        Cut::ClientGone => {}
        Cut::Upstream => tracing::warn!(request_id, "the upstream cut its response short"),
        Cut::Framing => {
            tracing::warn!(request_id, "the upstream framed its response wrongly, and it was cut");
        }
        Cut::Trailers => {
            tracing::warn!(request_id, "a response has too many or too large trailers, and was cut");
        }
        Cut::Timeout => tracing::warn!(request_id, "a response stood still for too long and was cut"),
        Cut::TotalTimeout => {
            tracing::warn!(request_id, "a request took longer than it may, and its response was cut");
        }
    }
}
