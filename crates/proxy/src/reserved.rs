//! Paths that the gateway answers itself.

use tollgate_core::snapshot::Snapshot;
use tollgate_core::time::{UnixMicros, rfc3339};
use tollgate_core::token::Issued;
use tollgate_http1::Method;
use uuid::Uuid;

use crate::admit::{self, Limits};
use crate::authenticate::{self, Caller, Found};
use crate::identity::Origin;
use crate::message::{
    ALLOW_ALL, Reply, TimeTexts, push_json_string, push_limit_lines, push_number, push_plain,
};
use crate::rejection::Rejection;
use crate::request::Request;
use crate::token;
use crate::worker::Worker;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reserved {
    Health,
    Live,
    Ready,
    Usage,
    /// Makes a token for a key.
    Token,
    /// The public keys of the tokens.
    KeySet,
}

impl Reserved {
    pub fn of(path: &str) -> Option<Self> {
        match path {
            "/health" => Some(Self::Health),
            "/health/live" => Some(Self::Live),
            "/health/ready" => Some(Self::Ready),
            "/-/usage" => Some(Self::Usage),
            "/-/token" => Some(Self::Token),
            "/.well-known/jwks.json" => Some(Self::KeySet),
            _ => None,
        }
    }
}

/// The answer, and who asked where that had to be known.
pub(crate) fn answer<'s>(
    reserved: Reserved,
    worker: &Worker,
    snapshot: &'s Snapshot,
    request: &Request<'_>,
    origin: &Origin<'_>,
    now: UnixMicros,
) -> Result<(Reply, Option<Caller<'s>>), Rejection> {
    let (gateway, fields) = (&worker.gateway, &request.head.fields);
    match (reserved, request.head.method) {
        (Reserved::Token, Method::Post) => {}
        (Reserved::Token, _) => return Err(Rejection::PostOnly),
        (_, Method::Get | Method::Head) => {}
        (_, _) => return Err(Rejection::ReadOnly),
    }
    match reserved {
        Reserved::Live => Ok((status_reply(200, "live"), None)),
        Reserved::Health | Reserved::Ready if gateway.is_draining() => {
            let mut reply = status_reply(503, "draining");
            reply.lines.extend_from_slice(b"Retry-After: 1\r\n");
            Ok((reply, None))
        }
        // A node that has not been told anything yet.
        Reserved::Health | Reserved::Ready if snapshot.revision() == 0 => {
            let mut reply = status_reply(503, "starting");
            reply.lines.extend_from_slice(b"Retry-After: 1\r\n");
            Ok((reply, None))
        }
        Reserved::Health | Reserved::Ready => Ok((status_reply(200, "ready"), None)),
        Reserved::Usage | Reserved::Token | Reserved::KeySet if snapshot.revision() == 0 => {
            Err(Rejection::NotStarted)
        }
        Reserved::Usage => {
            let caller = match authenticate::caller_of_gateway(snapshot, fields, now.secs())? {
                Found::Caller(caller) => caller,
                Found::Token(token) => {
                    token::caller_of_gateway(worker, snapshot, fields, &token, now.secs())?
                }
            };
            authenticate::permit_here(&caller, origin.client)?;
            let (limits, used) = admit::inspect(&caller, &gateway.counters, now);
            Ok((usage_reply(&caller, &limits, &used, now, &worker.times), Some(caller)))
        }
        Reserved::Token => {
            let (caller, key, key_hash) = authenticate::caller_with_key(snapshot, fields, now.secs())?;
            authenticate::permit_here(&caller, origin.client)?;
            worker.note_use(key.id, now.secs());
            let token_id = Uuid::from_u64_pair(worker.random(), worker.random());
            let grant = caller.grant(key.id, key_hash, token_id);
            let issued = gateway.settings.issuing.issue(snapshot, &grant, now.secs());
            Ok((token_reply(&issued.ok_or(Rejection::NoSigningKey)?), Some(caller)))
        }
        Reserved::KeySet => Ok((key_set_reply(gateway.settings.issuing.key_set(snapshot)), None)),
    }
}

fn token_reply(issued: &Issued) -> Reply {
    let mut body = Vec::with_capacity(1_024);
    body.extend_from_slice(b"{\"token\":");
    push_json_string(&mut body, issued.token.as_bytes());
    body.extend_from_slice(b",\"token_type\":\"Bearer\",\"expires_at\":\"");
    body.extend_from_slice(&rfc3339(issued.expires_at_secs));
    body.extend_from_slice(b"\",\"expires_in\":");
    push_number(&mut body, issued.expires_in_secs);
    body.push(b'}');
    let mut reply = Reply::json(200, body);
    reply.lines.extend_from_slice(b"Cache-Control: no-store\r\n");
    reply
}

/// The next key is published at least half a rotation before it signs, and an hour before it mostly does.
fn key_set_reply(keys: String) -> Reply {
    let mut reply = Reply::json(200, keys.into_bytes());
    reply.lines.extend_from_slice(b"Cache-Control: public, max-age=300\r\n");
    reply
}

/// Of `OPTIONS *`: what can be done here (RFC 9110 section 9.3.7).
pub(crate) fn about_gateway() -> Reply {
    let mut reply = Reply::json(204, Vec::new());
    reply.lines.extend_from_slice(ALLOW_ALL);
    reply
}

fn status_reply(status: u16, word: &str) -> Reply {
    Reply::json(status, format!("{{\"status\":\"{word}\"}}").into_bytes())
}

/// Where the caller stands with each of its limits.
fn usage_reply(
    caller: &Caller<'_>,
    limits: &Limits<'_>,
    used: &[u64],
    now: UnixMicros,
    times: &TimeTexts,
) -> Reply {
    let mut body = Vec::with_capacity(512);
    body.extend_from_slice(b"{\"tenant\":");
    push_json_string(&mut body, caller.tenant.slug.as_str().as_bytes());
    push_plain(&mut body, b",\"consumer\":", caller.consumer.map(|consumer| consumer.client_id.as_str()));
    push_plain(&mut body, b",\"plan\":", caller.plan.map(|plan| plan.slug.as_str()));
    body.extend_from_slice(b",\"limits\":[");
    for (index, ((level, rule, standing), &used)) in limits.rules().zip(used).enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(b"{\"level\":");
        push_json_string(&mut body, level.name().as_bytes());
        body.extend_from_slice(b",\"limit_type\":");
        push_json_string(&mut body, rule.name.as_bytes());
        body.extend_from_slice(b",\"limit\":");
        push_number(&mut body, rule.requests);
        body.extend_from_slice(b",\"used\":");
        push_number(&mut body, used);
        body.extend_from_slice(b",\"remaining\":");
        push_number(&mut body, standing.remaining);
        body.extend_from_slice(b",\"reset_at\":\"");
        body.extend_from_slice(&rfc3339(standing.reset_secs));
        body.extend_from_slice(b"\"}");
    }
    body.extend_from_slice(b"]}");
    let mut reply = Reply::json(200, body);
    push_limit_lines(&mut reply.lines, limits, now, times);
    reply
}
