//! Responses of the gateway itself.

use tollgate_core::time::{UnixMicros, rfc3339};
use tollgate_http1::{HeadWriter, Method, RequestHead};

use super::accept::prefers_problem;
use super::{Persistence, push_json_string, push_number};
use crate::identity::RequestId;
use crate::rejection::{Appearance, RateLimited, Rejection};

/// A response without an upstream.
pub(crate) struct Reply {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
    /// Further field lines, each with its CRLF.
    pub lines: Vec<u8>,
}

impl Reply {
    pub fn json(status: u16, body: Vec<u8>) -> Self {
        Self { status, content_type: "application/json", body, lines: Vec::new() }
    }
}

/// Writes the whole reply; to `HEAD` without its body.
pub(crate) fn write_reply(
    out: &mut Vec<u8>,
    reply: &Reply,
    request: &RequestHead,
    request_id: &RequestId,
    persistence: Persistence,
    date: &[u8],
) {
    let mut writer = HeadWriter::response(out, reply.status);
    writer.field(b"Date", date);
    if !reply.body.is_empty() {
        writer.field(b"Content-Type", reply.content_type.as_bytes());
    }
    // RFC 9110 section 8.6.
    if reply.status != 204 {
        writer.field_number(b"Content-Length", reply.body.len() as u64);
    }
    if let Some(option) = persistence.connection_option(request.version) {
        writer.field(b"Connection", option);
    }
    writer.field(b"X-Request-ID", request_id.as_bytes());
    writer.lines(&reply.lines);
    writer.finish();
    if request.method != Method::Head {
        out.extend_from_slice(&reply.body);
    }
}

/// The contract's error body, or problem details (RFC 9457) for a client that asks for them.
pub(crate) fn write_rejection(
    rejection: &Rejection,
    appearance: &Appearance,
    request: &RequestHead,
    request_id: &RequestId,
    now: UnixMicros,
) -> Reply {
    let limited = if let Rejection::RateLimited(limited) = rejection { Some(limited.as_ref()) } else { None };
    let mut reply = if prefers_problem(&request.fields) {
        let body = problem_body(appearance, limited, request_id, now);
        Reply { content_type: "application/problem+json", ..Reply::json(appearance.status, body) }
    } else {
        Reply::json(appearance.status, error_body(appearance, limited, request_id, now))
    };
    push_lines(&mut reply.lines, rejection, appearance, limited);
    reply
}

fn push_lines(
    lines: &mut Vec<u8>,
    rejection: &Rejection,
    appearance: &Appearance,
    limited: Option<&RateLimited>,
) {
    if let Some(limited) = limited {
        lines.extend_from_slice(&limited.lines);
    }
    if let Some(secs) = appearance.retry_after_secs {
        lines.extend_from_slice(b"Retry-After: ");
        push_number(lines, secs);
        lines.extend_from_slice(b"\r\n");
    }
    lines.extend_from_slice(b"Proxy-Status: tollgate; error=");
    lines.extend_from_slice(appearance.proxy_error.as_bytes());
    lines.extend_from_slice(b"\r\n");
    if matches!(rejection, Rejection::NoCredential) {
        lines.extend_from_slice(b"WWW-Authenticate: Bearer realm=\"tollgate\"\r\n");
    }
    if matches!(rejection, Rejection::ConnectRefused) {
        lines.extend_from_slice(ALLOW_ALL);
    }
    if let Rejection::MethodNotAllowed(allowed) = rejection {
        lines.extend_from_slice(b"Allow: ");
        lines.extend_from_slice(allowed.as_bytes());
        lines.extend_from_slice(b"\r\n");
    }
    if matches!(rejection, Rejection::ReadOnly) {
        lines.extend_from_slice(b"Allow: GET, HEAD\r\n");
    }
    if matches!(rejection, Rejection::PostOnly) {
        lines.extend_from_slice(b"Allow: POST\r\n");
    }
}

/// What a service may be asked.
pub(crate) const ALLOW_ALL: &[u8] = b"Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE, PATCH\r\n";

/// `{"error":{"code","message","details"?},"timestamp","request_id"}`
fn error_body(
    appearance: &Appearance,
    limited: Option<&RateLimited>,
    request_id: &RequestId,
    now: UnixMicros,
) -> Vec<u8> {
    let mut body = Vec::with_capacity(320);
    body.extend_from_slice(b"{\"error\":{\"code\":");
    push_number(&mut body, u64::from(appearance.status));
    body.extend_from_slice(b",\"message\":");
    push_json_string(&mut body, appearance.message.as_bytes());
    if let Some(limited) = limited {
        body.extend_from_slice(b",\"details\":{");
        push_details(&mut body, limited);
        body.push(b'}');
    }
    body.push(b'}');
    push_when_and_which(&mut body, request_id, now);
    body
}

/// The same facts as members of a problem (RFC 9457 section 3.2).
fn problem_body(
    appearance: &Appearance,
    limited: Option<&RateLimited>,
    request_id: &RequestId,
    now: UnixMicros,
) -> Vec<u8> {
    let mut body = Vec::with_capacity(320);
    body.extend_from_slice(b"{\"type\":\"about:blank\",\"title\":");
    push_json_string(&mut body, tollgate_http1::reason_phrase(appearance.status).as_bytes());
    body.extend_from_slice(b",\"status\":");
    push_number(&mut body, u64::from(appearance.status));
    body.extend_from_slice(b",\"detail\":");
    push_json_string(&mut body, appearance.message.as_bytes());
    if let Some(limited) = limited {
        body.push(b',');
        push_details(&mut body, limited);
    }
    push_when_and_which(&mut body, request_id, now);
    body
}

fn push_when_and_which(body: &mut Vec<u8>, request_id: &RequestId, now: UnixMicros) {
    body.extend_from_slice(b",\"timestamp\":\"");
    body.extend_from_slice(&rfc3339(now.secs()));
    body.extend_from_slice(b"\",\"request_id\":");
    push_json_string(body, request_id.as_bytes());
    body.push(b'}');
}

fn push_details(body: &mut Vec<u8>, limited: &RateLimited) {
    body.extend_from_slice(b"\"level\":");
    push_json_string(body, limited.level.name().as_bytes());
    body.extend_from_slice(b",\"limit_type\":");
    push_json_string(body, limited.limit_type.as_bytes());
    body.extend_from_slice(b",\"limit\":");
    push_number(body, limited.limit);
    body.extend_from_slice(b",\"used\":");
    push_number(body, limited.used);
    body.extend_from_slice(b",\"reset_at\":\"");
    body.extend_from_slice(&rfc3339(limited.reset_secs));
    body.extend_from_slice(b"\",\"retry_after\":");
    push_number(body, limited.retry_after_secs);
}
