//! What happened to one request. The guard writes the access-log line when it goes, however the request
//! ended: answered, refused, abandoned by its client, or cancelled.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tollgate_core::breaker::State;
use tollgate_core::resource::{KeyId, ServiceSlug};
use tollgate_core::uptime::micros;
use tollgate_http1::{RequestHead, TargetForm};

use crate::caller::Caller;
use crate::clock::Moment;
use crate::gateway::Began;
use crate::identity::{Origin, RequestId};
use crate::message::{push_json_string, push_number, push_plain};
use crate::route::Selected;
use crate::worker::Worker;

/// The status of a request whose client left before there was one (nginx's convention).
const CLIENT_LEFT: u16 = 499;
/// Of one that the end of the gateway's grace cut off.
const CUT_OFF: u16 = 503;

/// Where the log's own instants are kept among the texts; limits take the slots from 0.
const LOG_SLOT: usize = 3;
/// Length of `2026-01-25T14:32:00`.
const SECOND_BYTES: usize = 19;
/// Room for a line without its path.
const LINE_BYTES: usize = 1_024;

pub(crate) struct Record<'r> {
    worker: Rc<Worker>,
    began: Moment,
    head: &'r RequestHead,
    client_ip: &'r str,
    request_id: &'r RequestId,
    selected: Option<Selected<'r, 'r>>,
    caller: Option<Caller<'r>>,
    /// These two as they were when they were found: by the end of the request the service and the key themselves have
    /// left the cache.
    service: Option<ServiceSlug>,
    key: Option<KeyId>,
    /// Of the response that the client was sent.
    pub status: Option<u16>,
    /// Payload of the response that went to the client.
    pub body_bytes: u64,
    pub limited: Limited,
    /// The service's circuit, where the request came that far.
    pub circuit: Option<State>,
    /// How long the target that answered took to begin its response, its connection included.
    pub upstream_took: Option<Duration>,
    /// When the last of the response was there to be written; the end of the request where nothing is said.
    pub ended: Option<Instant>,
}

/// Whether the gateway itself refused the request for a limit of its caller's. An upstream's 429 is not that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limited {
    Yes,
    No,
}

impl<'r> Record<'r> {
    /// `None` where the gateway takes no more requests.
    pub fn begin(
        worker: &Rc<Worker>,
        began: Moment,
        head: &'r RequestHead,
        origin: &'r Origin<'_>,
        request_id: &'r RequestId,
    ) -> Option<Self> {
        if worker.gateway.request_began(worker.index) == Began::TooLate {
            return None;
        }
        Some(Self {
            worker: Rc::clone(worker),
            began,
            head,
            client_ip: &origin.client_ip,
            request_id,
            selected: None,
            caller: None,
            service: None,
            key: None,
            status: None,
            body_bytes: 0,
            limited: Limited::No,
            circuit: None,
            upstream_took: None,
            ended: None,
        })
    }

    pub fn selected(&mut self, selected: Selected<'r, 'r>) {
        self.service = Some(selected.service.slug.clone());
        self.selected = Some(selected);
    }

    pub fn identified(&mut self, caller: Caller<'r>) {
        self.caller = Some(caller);
        self.key = caller.key.map(|key| key.id);
    }

    pub const fn key(&self) -> Option<KeyId> {
        self.key
    }

    fn final_status(&self) -> u16 {
        match self.status {
            Some(status) => status,
            None if std::thread::panicking() => 500,
            None if self.worker.has_ended.get() => CUT_OFF,
            None => CLIENT_LEFT,
        }
    }

    /// One JSON object a line; the members are the contract's, in its order.
    fn write_line(&self, ended: Instant, out: &mut Vec<u8>) {
        let status = self.final_status();
        out.reserve(LINE_BYTES + self.head.target().len());
        out.extend_from_slice(b"{\"timestamp\":\"");
        let began = self.began.wall;
        out.extend_from_slice(&self.worker.times.text(LOG_SLOT, began.secs())[..SECOND_BYTES]);
        push_three_digits(out, began.millis_of_second());
        out.push(b'Z');
        out.extend_from_slice(b"\",\"level\":");
        out.extend_from_slice(match status {
            500.. => b"\"error\"",
            400..500 => b"\"warn\"",
            _ => b"\"info\"",
        });
        // A method is a token: nothing in it needs escaping.
        push_plain(out, b",\"method\":", Some(self.head.method_name()));
        out.extend_from_slice(b",\"path\":");
        push_json_string(out, path_of(self.head));
        out.extend_from_slice(b",\"status\":");
        push_number(out, u64::from(status));
        out.extend_from_slice(b",\"duration_ms\":");
        push_millis(out, micros(ended.saturating_duration_since(self.began.instant)));
        out.extend_from_slice(b",\"upstream_ms\":");
        match self.upstream_took {
            Some(took) => push_millis(out, micros(took)),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"bytes\":");
        push_number(out, self.body_bytes);
        push_plain(out, b",\"client_ip\":", Some(self.client_ip));
        push_plain(out, b",\"request_id\":", Some(self.request_id.as_bytes()));
        self.write_names(out);
        out.extend_from_slice(b",\"limited\":");
        out.extend_from_slice(match self.limited {
            Limited::Yes => b"true".as_slice(),
            Limited::No => b"false",
        });
        out.extend_from_slice(b",\"circuit\":");
        out.extend_from_slice(match self.circuit {
            Some(State::Closed) => b"\"closed\"".as_slice(),
            Some(State::Open) => b"\"open\"",
            Some(State::HalfOpen) => b"\"half_open\"",
            None => b"null",
        });
        out.extend_from_slice(b",\"cache\":null}\n");
    }

    fn write_names(&self, out: &mut Vec<u8>) {
        let tenant =
            self.selected.map(|selected| selected.tenant).or(self.caller.map(|caller| caller.tenant));
        let tenant = tenant.map(|tenant| tenant.slug.as_str());
        let consumer =
            self.caller.and_then(|caller| caller.consumer).map(|consumer| consumer.client_id.as_str());
        let plan = self.caller.and_then(|caller| caller.plan).map(|plan| plan.slug.as_str());
        push_plain(out, b",\"tenant\":", tenant);
        push_plain(out, b",\"service\":", self.service.as_ref().map(ServiceSlug::as_str));
        out.extend_from_slice(b",\"route\":");
        match self.selected.and_then(|selected| selected.route) {
            Some(route) => push_json_string(out, route.name.as_str().as_bytes()),
            None => out.extend_from_slice(b"null"),
        }
        push_plain(out, b",\"consumer\":", consumer);
        push_plain(out, b",\"organization_id\":", self.caller.and(consumer.or(tenant)));
        push_plain(out, b",\"plan_tier\":", plan);
        out.extend_from_slice(b",\"key_id\":");
        match self.key {
            Some(key) => {
                out.push(b'"');
                let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
                out.extend_from_slice(key.0.hyphenated().encode_lower(&mut text).as_bytes());
                out.push(b'"');
            }
            None => out.extend_from_slice(b"null"),
        }
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        if self.worker.has_ended.get() && self.status.is_some() {
            let request_id = self.request_id.as_str();
            tracing::warn!(request_id, "the gateway has ended, and a response was cut");
        }
        self.worker.gateway.request_ended(self.worker.index);
        // Where the clock was read a moment ago, it is not read again.
        let ended = self.ended.unwrap_or_else(|| self.worker.clock.now().instant);
        self.worker.log(|out| self.write_line(ended, out));
    }
}

/// The path without its query, which may hold secrets.
fn path_of(head: &RequestHead) -> &[u8] {
    match head.target_form() {
        TargetForm::Absolute { path, .. } => match without_query(path) {
            b"" => b"/",
            path => path,
        },
        TargetForm::Origin | TargetForm::Authority | TargetForm::Asterisk => without_query(head.target()),
    }
}

fn without_query(target: &[u8]) -> &[u8] {
    &target[..memchr::memchr(b'?', target).unwrap_or(target.len())]
}

/// Microseconds as milliseconds with three decimals.
fn push_millis(out: &mut Vec<u8>, micros: u64) {
    push_number(out, micros / 1_000);
    push_three_digits(out, micros % 1_000);
}

/// `.007`
fn push_three_digits(out: &mut Vec<u8>, number: u64) {
    let digit = |divisor: u64| b'0' + (number / divisor % 10).to_le_bytes()[0];
    out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
}
