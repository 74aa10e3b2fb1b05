//! Paths that the gateway answers itself.

use tollgate_core::snapshot::Snapshot;
use tollgate_core::time::{UnixMicros, rfc3339};
use tollgate_core::token::Issued;
use tollgate_counters::Counters;
use tollgate_http1::Method;
use uuid::Uuid;

use crate::authenticate::{self, Found};
use crate::caller::Caller;
use crate::clock::Moment;
use crate::identity::Origin;
use crate::message::{ALLOW_ALL, Reply, push_json_string, push_number};
use crate::rejection::Rejection;
use crate::request::Request;
use crate::worker::Worker;
use crate::{permit, token, usage};

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

/// The answer. Who asks is told to `identified` where that has to be known, before it is known whether they may.
pub(crate) fn answer<'s>(
    reserved: Reserved,
    worker: &Worker,
    snapshot: &'s Snapshot,
    request: &Request<'_>,
    origin: &Origin<'_>,
    moment: Moment,
    mut identified: impl FnMut(Caller<'s>),
) -> Result<Reply, Rejection> {
    let (gateway, fields, now) = (&worker.gateway, &request.head.fields, moment.wall);
    match (reserved, request.head.method) {
        (Reserved::Token, Method::Post) => {}
        (Reserved::Token, _) => return Err(Rejection::PostOnly),
        (_, Method::Get | Method::Head) => {}
        (_, _) => return Err(Rejection::ReadOnly),
    }
    match reserved {
        Reserved::Live => Ok(status_reply(200, "live")),
        Reserved::Health | Reserved::Ready if gateway.is_draining() => {
            let mut reply = status_reply(503, "draining");
            reply.lines.extend_from_slice(b"Retry-After: 1\r\n");
            Ok(reply)
        }
        // A node that has not been told anything yet.
        Reserved::Health | Reserved::Ready if snapshot.revision() == 0 => {
            let mut reply = status_reply(503, "starting");
            reply.lines.extend_from_slice(b"Retry-After: 1\r\n");
            Ok(reply)
        }
        Reserved::Health | Reserved::Ready => Ok(ready_reply(&gateway.counters)),
        Reserved::Usage | Reserved::Token | Reserved::KeySet if snapshot.revision() == 0 => {
            Err(Rejection::NotStarted)
        }
        Reserved::Usage => {
            let caller = caller_of_usage(worker, snapshot, request, now)?;
            identified(caller);
            permit::here(&caller, origin.client)?;
            let asked = usage::Asked { query: request.query, client: origin.client, now: moment };
            usage::reply(&caller, &asked, &gateway.counters, &worker.times)
        }
        Reserved::Token => {
            let (caller, key, key_hash) = authenticate::caller_with_key(snapshot, fields, now.secs())?;
            identified(caller);
            permit::here(&caller, origin.client)?;
            let token_id = Uuid::from_u64_pair(worker.random(), worker.random());
            let grant = caller.grant(key.id, key_hash, token_id);
            let issued = gateway.settings.issuing.issue(snapshot, &grant, now.secs());
            Ok(token_reply(&issued.ok_or(Rejection::NoSigningKey)?))
        }
        Reserved::KeySet => Ok(key_set_reply(gateway.settings.issuing.key_set(snapshot))),
    }
}

fn caller_of_usage<'s>(
    worker: &Worker,
    snapshot: &'s Snapshot,
    request: &Request<'_>,
    now: UnixMicros,
) -> Result<Caller<'s>, Rejection> {
    let fields = &request.head.fields;
    match authenticate::caller_of_gateway(snapshot, fields, now.secs())? {
        Found::Caller(caller) => Ok(caller),
        Found::Token(token) => token::caller_of_gateway(worker, snapshot, fields, &token, now.secs()),
    }
}

/// Asks the counter store what [`answer`] is to tell, where there is one and the caller may know.
pub(crate) async fn look(
    reserved: Reserved,
    worker: &Worker,
    snapshot: &Snapshot,
    request: &Request<'_>,
    origin: &Origin<'_>,
    now: Moment,
) {
    if reserved == Reserved::Usage
        && let Ok(caller) = caller_of_usage(worker, snapshot, request, now.wall)
        && permit::here(&caller, origin.client).is_ok()
    {
        let asked = usage::Asked { query: request.query, client: origin.client, now };
        usage::look(&caller, &asked, &worker.gateway.counters).await;
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

/// A node serves without its counter store too, as its plans say; so it is ready, and tells.
fn ready_reply(counters: &Counters) -> Reply {
    match counters.store() {
        None => status_reply(200, "ready"),
        Some(store) => {
            let state = store.state().name();
            Reply::json(200, format!("{{\"status\":\"ready\",\"counter_store\":\"{state}\"}}").into_bytes())
        }
    }
}

fn status_reply(status: u16, word: &str) -> Reply {
    Reply::json(status, format!("{{\"status\":\"{word}\"}}").into_bytes())
}
