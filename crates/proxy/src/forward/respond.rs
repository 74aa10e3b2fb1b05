//! Passes a final response on to the client.

use tollgate_core::resource::HeaderName;
use tollgate_core::snapshot::{Service, Target};
use tollgate_http1::{BodyLength, FieldId, ResponseHead, Version, keep_alive};

use super::announced::Announced;
use super::attempt::{Attempt, Deadlines, Upload};
use super::relay::{Cut, Held, Relayed};
use super::send::{Forward, Forwarded};
use crate::client::Progress;
use crate::clock::Moment;
use crate::message::{ClientHead, Persistence, write_response};
use crate::record::Record;
use crate::wire::{Pump, tunnel};

pub(super) async fn respond(
    forward: &Forward<'_, '_>,
    mut attempt: Attempt<'_>,
    (announced, began): (Announced, Moment),
    target: &Target,
    held: &Held<'_, '_, '_>,
    deadlines: &Deadlines,
    record: &mut Record<'_>,
) -> Forwarded {
    let from = match announced {
        Announced::Body(length) => length,
        Announced::Upgrade => return switch_protocols(forward, attempt, record, began).await,
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
    write_client_head(forward, &mut attempt, to, persistence, began);
    record.status = Some(attempt.response.status);
    attempt.client.progress = Progress::Answering;
    let mut download = Pump::new(from, to, None).hiding(attempt.hidden);
    let body_bytes = &mut record.body_bytes;
    let (relayed, ended) = attempt.relay(&mut download, held, deadlines, began.instant, body_bytes).await;
    record.ended = Some(forward.worker.clock.note(ended));
    let reusable = from != BodyLength::UntilClose
        && keep_alive(attempt.response.version, &attempt.response.fields)
        && !announces_what_it_may_not_have(attempt.response);
    match relayed {
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
            Forwarded::Abandoned
        }
    }
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

/// In which a target tells the gateway alone what a request has cost.
pub(super) fn hidden_field(service: &Service) -> Option<&HeaderName> {
    service.limits()?.cost_header.as_ref()
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
    tunnel(
        (&mut client.stream, client_buffers),
        (&mut upstream.stream, upstream_buffers),
        &mut client.watchdog,
        forward.worker.gateway.settings.timeouts.tunnel_idle,
        &mut record.body_bytes,
    )
    .await;
    client.progress = Progress::Answered;
    Forwarded::Abandoned
}

fn note_cut(forward: &Forward<'_, '_>, cut: Cut) {
    let request_id = forward.request_id.as_str();
    match cut {
        Cut::ClientGone => {}
        Cut::Upstream => tracing::warn!(request_id, "the upstream cut its response short"),
        Cut::Timeout => tracing::warn!(request_id, "a response stood still for too long and was cut"),
        Cut::TotalTimeout => {
            tracing::warn!(request_id, "a request took longer than it may, and its response was cut");
        }
    }
}
