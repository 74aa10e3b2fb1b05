//! The request head that a target is sent.

use tollgate_core::resource::UpstreamHost;
use tollgate_core::snapshot::{Snapshot, Target};
use tollgate_http1::{BodyLength, FieldId, HeadWriter, RequestHead, Version, list_tokens};

use super::hidden::Hidden;
use super::nominations::Nominations;
use crate::authenticate::is_credential;
use crate::caller::Caller;
use crate::gateway::Gateway;
use crate::identity::{Origin, RequestId, is_traceparent};
use crate::request::{MAX_FORWARDS, Request};
use crate::route::Selected;

pub(crate) struct UpstreamHead<'x> {
    pub gateway: &'x Gateway,
    pub snapshot: &'x Snapshot,
    pub request: &'x Request<'x>,
    pub selected: &'x Selected<'x, 'x>,
    pub caller: &'x Caller<'x>,
    /// The service's own, which carries keys.
    pub auth_header: Hidden<'x>,
    pub target: &'x Target,
    pub origin: &'x Origin<'x>,
    pub request_id: &'x RequestId,
}

pub(crate) fn write_request(out: &mut Vec<u8>, head: &UpstreamHead<'_>) {
    let UpstreamHead { request, caller, origin, .. } = head;
    let fields = &request.head.fields;
    let mut writer = HeadWriter::request(out, request.head.method_name(), target_parts(head));
    writer.field(b"Host", host(head));
    let nominated = Nominations::of(fields);
    // One means nothing without the other.
    let is_traced = fields.first(FieldId::Traceparent).is_some_and(is_traceparent)
        && !nominated.contain(FieldId::Traceparent, b"traceparent");
    writer.fields(fields, |field| {
        let is_dropped = nominated.contain(field.id, field.name)
            || matches!(field.id, FieldId::Traceparent | FieldId::Tracestate) && !is_traced
            || carries_credential(head, field.id, field.name, field.value)
            || field.id == FieldId::Other
                && (imitates_guarded(head, field.name) || !origin.may_say(field.name))
            || request.max_forwards.is_some() && field.name.eq_ignore_ascii_case(MAX_FORWARDS);
        keeps(head, field.id) && !is_dropped
    });
    if let Some(hops) = request.max_forwards {
        writer.field_number(MAX_FORWARDS, u64::from(hops));
    }
    match (&request.upgrade, takes_trailers(request.head)) {
        (None, false) => {}
        (None, true) => {
            writer.lines(b"Connection: TE\r\nTE: trailers\r\n");
        }
        (Some(upgrade), false) => {
            writer.field(b"Connection", b"Upgrade").field(b"Upgrade", upgrade);
        }
        (Some(upgrade), true) => {
            writer.lines(b"Connection: Upgrade, TE\r\nTE: trailers\r\n").field(b"Upgrade", upgrade);
        }
    }
    if request.body == BodyLength::Chunked {
        writer.field(b"Transfer-Encoding", b"chunked");
    }
    origin.write_forwarding(&mut writer, request.authority);
    writer.lines(head.gateway.via.line(request.head.version));
    writer.field(b"X-Request-ID", head.request_id.as_bytes());
    if !is_traced {
        writer.field(b"traceparent", head.request_id.traceparent());
    }
    match caller.consumer {
        Some(consumer) => {
            let client_id = consumer.client_id.as_str().as_bytes();
            writer
                .field(b"X-Tenant-ID", caller.tenant.slug.as_str().as_bytes())
                .field(b"X-Organization-ID", client_id)
                .field(b"X-Consumer-ID", client_id);
        }
        None => {
            writer.lines(caller.tenant.identity_lines.as_bytes());
        }
    }
    if let Some(plan) = caller.plan {
        writer.lines(plan.tier_line.as_bytes());
    }
    writer.finish();
}

/// Whether the client keeps what follows a response's body. The gateway passes that on, and so says the same of itself (RFC 9110
/// section 10.1.4); of the codings that the client takes besides it knows none. HTTP/1.0 has no place for what follows.
fn takes_trailers(head: &RequestHead) -> bool {
    let is_trailers = |coding: &[u8]| coding.eq_ignore_ascii_case(b"trailers");
    head.version == Version::Http11 && head.fields.all(FieldId::Te).flat_map(list_tokens).any(is_trailers)
}

fn host<'x>(head: &UpstreamHead<'x>) -> &'x [u8] {
    let own = head.target.authority.as_bytes();
    match head.selected.route.map(|route| &route.rules.upstream_host) {
        None | Some(UpstreamHost::Target) => own,
        Some(UpstreamHost::Preserved) => head.request.authority.unwrap_or(own),
        Some(UpstreamHost::Rewritten(host)) => host.as_bytes(),
    }
}

/// The target's own path before the rest of the request's.
fn target_parts<'x>(head: &UpstreamHead<'x>) -> [&'x [u8]; 3] {
    let prefix = head.target.path_prefix().as_bytes();
    let rest = head.selected.rest.as_bytes();
    let rest = if prefix.is_empty() && rest.is_empty() { b"/" } else { rest };
    [prefix, rest, head.request.query]
}

/// Whether a field of this kind goes on as it came. What is left out is either for this connection alone,
/// or written by the gateway itself.
fn keeps(head: &UpstreamHead<'_>, id: FieldId) -> bool {
    match id {
        FieldId::Host
        | FieldId::XRequestId
        | FieldId::XTenantId
        | FieldId::XOrganizationId
        | FieldId::XConsumerId
        | FieldId::XPlanTier
        | FieldId::XForwardedFor
        | FieldId::XForwardedProto
        | FieldId::XForwardedHost
        | FieldId::XForwardedPort
        | FieldId::Forwarded => false,
        // An HTTP/1.0 client cannot be sent an interim response (RFC 9110 section 10.1.1).
        FieldId::Expect => head.request.head.version == Version::Http11,
        FieldId::Trailer => head.request.body == BodyLength::Chunked,
        other => !other.is_hop_by_hop(),
    }
}

fn carries_credential(head: &UpstreamHead<'_>, id: FieldId, name: &[u8], value: &[u8]) -> bool {
    let fields = &head.request.head.fields;
    // Other known fields can carry none: reserved names are no `auth_header`.
    matches!(id, FieldId::Other | FieldId::XApiKey | FieldId::Authorization)
        && is_credential(head.gateway, head.snapshot, head.auth_header, fields, id, name, value)
}

/// Whether a name with underscores is, to an upstream behind CGI, WSGI or PHP, one that the gateway writes,
/// checks or takes out: `X_Tenant_ID` would speak for another tenant there.
fn imitates_guarded(head: &UpstreamHead<'_>, name: &[u8]) -> bool {
    if !name.contains(&b'_') {
        return false;
    }
    head.auth_header.is_same_variable(name)
        || match FieldId::imitated_by(name) {
            FieldId::Other => false,
            FieldId::Authorization
            | FieldId::ContentLength
            | FieldId::Traceparent
            | FieldId::Tracestate
            | FieldId::Via
            | FieldId::XApiKey
            | FieldId::XClientId => true,
            other => !keeps(head, other),
        }
}
