//! The life of a request: each stage consumes what the one before has proved.

use std::rc::Rc;
use std::time::Instant;

use bytes::Buf;
use tollgate_core::snapshot::Snapshot;
use tollgate_core::time::UnixMicros;
use tollgate_http1::{BodyLength, Method, RequestHead, keep_alive, request_body};

use crate::admit::{Asked, Checked};
use crate::arrival::{Arrival, read_head};
use crate::authenticate::{Caller, Found, Token};
use crate::client::{Client, Progress};
use crate::clock::Moment;
use crate::forward::{Forward, Forwarded, Sides};
use crate::identity::{Origin, Peer, RequestId};
use crate::message::{Persistence, Reply, push_limit_lines, write_rejection, write_reply};
use crate::record::{Limited, Record};
use crate::rejection::Rejection;
use crate::request::{Examined, Request};
use crate::reserved::{self, Reserved};
use crate::room::{RequestPlace, Standing};
use crate::route::{Selected, Selecting};
use crate::session::Session;
use crate::wire::Buffers;
use crate::worker::Worker;
use crate::{admit, authenticate, forward, token};

/// What becomes of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    KeepAlive,
    /// All was said; the client may still be sending.
    Close,
    /// Nothing more can be said.
    Abandon,
}

enum Answer<'s> {
    Forwarded(Forwarded),
    Own(Reply, Option<Caller<'s>>),
}

/// A refusal, and whether the request's body may have been begun.
struct Refused {
    rejection: Rejection,
    body: Body,
    /// Where the client stands with its limits, once it was charged.
    limit_lines: Vec<u8>,
}

impl Refused {
    /// Before anything was charged.
    const fn uncharged(rejection: Rejection, body: Body) -> Self {
        Self { rejection, body, limit_lines: Vec::new() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Untouched,
    Touched,
    /// Where the next request would begin is not known.
    Lost,
}

/// Serves one request of a client from its first byte to the last byte of the response, in a session that
/// holds nothing of another request.
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    client: &mut Client,
    peer: &Peer,
    session: &mut Session,
) -> Next {
    client.begin();
    let Session {
        client: client_buffers,
        upstream,
        request,
        request_id,
        response,
        request_parser,
        response_parser,
        rewritten,
    } = session;
    let settings = &worker.gateway.settings;
    let arrival = read_head(
        client,
        client_buffers,
        request_parser,
        &settings.limits.head,
        client.standing.head_time(settings.timeouts.head),
        request,
    );
    let unreadable = match arrival.await {
        Arrival::Head => None,
        Arrival::Refused(rejection) => Some(rejection),
        Arrival::Blank if client.standing == Standing::Within => return Next::KeepAlive,
        Arrival::Blank | Arrival::Gone => return Next::Abandon,
    };
    let head: &RequestHead = request;
    let received = worker.clock.now();
    let snapshot = worker.snapshot();
    let request_id = &*request_id.insert(RequestId::of(worker, &head.fields, peer.trust));
    let origin = Origin::of(peer, &head.fields, &settings.trusted_proxies);
    let Some(mut record) = Record::begin(worker, received, head, &origin, request_id) else {
        return Next::Abandon;
    };
    let standing = client.standing;
    let context =
        Context { worker, snapshot: &snapshot, head, origin: &origin, request_id, received, standing };
    let mut sides =
        Sides { client, client_buffers, upstream_buffers: upstream, response, parser: response_parser };
    let answer = match unreadable {
        Some(rejection) => Err(Refused::uncharged(rejection, Body::Lost)),
        None => context.answer(&mut sides, &mut record, rewritten).await,
    };
    match answer {
        Ok(Answer::Forwarded(Forwarded::KeepAlive)) => Next::KeepAlive,
        Ok(Answer::Forwarded(Forwarded::Close)) => Next::Close,
        Ok(Answer::Forwarded(Forwarded::Abandoned)) => Next::Abandon,
        Ok(Answer::Own(reply, caller)) => {
            record.identified(caller);
            context.reply(&mut sides, &mut record, &reply, Body::Untouched, received.wall).await
        }
        Err(Refused { rejection, body, limit_lines }) => {
            let now = worker.clock.now().wall;
            let rejection = context.slowed_down(rejection, now);
            if matches!(rejection, Rejection::RateLimited(_) | Rejection::TooManyFailures(_)) {
                record.limited = Limited::Yes;
            }
            if rejection.is_of_key()
                && let Some(key) = record.key()
            {
                worker.note_rejection(key);
            }
            let mut reply = context.refusal(&rejection, now);
            reply.lines.extend_from_slice(&limit_lines);
            context.reply(&mut sides, &mut record, &reply, body, now).await
        }
    }
}

/// What every stage may know.
struct Context<'x> {
    worker: &'x Rc<Worker>,
    snapshot: &'x Snapshot,
    head: &'x RequestHead,
    origin: &'x Origin<'x>,
    request_id: &'x RequestId,
    received: Moment,
    standing: Standing,
}

impl<'x> Context<'x> {
    async fn answer(
        &self,
        sides: &mut Sides<'_>,
        record: &mut Record<'x>,
        rewritten: &'x mut String,
    ) -> Result<Answer<'x>, Refused> {
        let untouched = |rejection| Refused::uncharged(rejection, Body::Untouched);
        let (gateway, clock) = (&self.worker.gateway, &self.worker.clock);
        // Moves on where something is waited for.
        let mut now = self.received;
        let ambiguous = |rejection| Refused::uncharged(rejection, Body::Lost);
        let request = match Request::examine(self.head, gateway.via.name()).map_err(ambiguous)? {
            Examined::Request(request) => request,
            Examined::AboutGateway => return Ok(Answer::Own(reserved::about_gateway(), None)),
        };
        if let Some(reserved) = Reserved::of(request.path.as_str()) {
            if gateway.counters.store().is_some() {
                let (worker, snapshot) = (self.worker, self.snapshot);
                let look = reserved::look(reserved, worker, snapshot, &request, self.origin, self.received);
                Box::pin(look).await;
            }
            let (reply, caller) =
                reserved::answer(reserved, self.worker, self.snapshot, &request, self.origin, self.received)
                    .map_err(untouched)?;
            return Ok(Answer::Own(reply, caller));
        }
        let Some(_place) = self.take_place() else {
            gateway.room.note_refused();
            return Err(untouched(Rejection::Overloaded));
        };
        let (fields, client) = (&self.head.fields, self.origin.client);
        let usual = authenticate::Usual::find(self.snapshot, fields);
        let selecting = Selecting {
            worker: self.worker,
            snapshot: self.snapshot,
            request: &request,
            origin: self.origin,
        };
        let selected = selecting.select(rewritten).map_err(untouched)?;
        record.selected(selected);
        let found =
            authenticate::caller(self.snapshot, &selected, fields, usual.as_ref(), client, now.wall.secs());
        let caller = match found.map_err(untouched)? {
            Found::Caller(caller) => caller,
            Found::Token(token) => {
                // Boxed, so that requests with keys carry no room for it.
                let caller = self.token_caller(&selected, &token);
                Box::pin(clock.moving_on(&mut now, caller)).await.map_err(untouched)?
            }
        };
        record.identified(Some(caller));
        if let Some(key) = caller.key {
            self.worker.note_use(key.id, now.wall.secs());
        }
        let method = self.head.method_name();
        authenticate::permit(&caller, &selected, method, client).map_err(untouched)?;
        let asked = Asked { caller, selected: &selected, method, client };
        let (counters, crossings) = (&*gateway.counters, &gateway.crossings);
        let checked = admit::check(&asked, counters, crossings, now, &self.worker.times);
        let admitted = match checked {
            Checked::Decided(outcome) => outcome,
            // Boxed, so that requests which do not wait carry no room for it.
            Checked::Waiting(check, undecided) => {
                Box::pin(clock.moving_on(&mut now, check.wait(undecided))).await
            }
        };
        if let Some(counting) = gateway.counting(&caller) {
            gateway.decisions.note(self.worker.index, counting, admitted.as_ref().err());
        }
        let admitted = admitted.map_err(untouched)?;
        let forward = Forward {
            worker: self.worker,
            snapshot: self.snapshot,
            request: &request,
            selected: &selected,
            admitted: &admitted,
            origin: self.origin,
            request_id: self.request_id,
            received: self.received,
            admitted_at: now.instant,
            persistence: self.persistence(),
        };
        let forwarded = forward::send(&forward, sides, record).await;
        forwarded.map(Answer::Forwarded).map_err(|rejection| {
            let now = clock.now();
            let settled = admitted.settle_failed(&rejection, now);
            let (limits, mut limit_lines) = (settled.as_ref().unwrap_or(admitted.limits()), Vec::new());
            push_limit_lines(&mut limit_lines, limits, now.wall, &self.worker.times);
            Refused { rejection, body: Body::Touched, limit_lines }
        })
    }

    async fn token_caller(
        &self,
        selected: &Selected<'x, '_>,
        token: &Token<'_>,
    ) -> Result<Caller<'x>, Rejection> {
        let now_secs = self.received.wall.secs();
        token::caller(self.worker, self.snapshot, selected, &self.head.fields, token, now_secs).await
    }

    /// Held until the request is answered; `None` where the node has no room for it.
    fn take_place(&self) -> Option<RequestPlace<'x>> {
        match self.standing {
            Standing::Within => RequestPlace::take(self.worker),
            Standing::Surplus => None,
        }
    }

    /// Whether the client's connection may outlive a response whose request was read to its end.
    fn persistence(&self) -> Persistence {
        let is_within = self.standing == Standing::Within;
        if is_within && keep_alive(self.head.version, &self.head.fields) && !self.worker.gateway.is_draining()
        {
            Persistence::KeepAlive
        } else {
            Persistence::Close
        }
    }

    /// A credential that failed is counted for the client's address; one too many is told so instead.
    fn slowed_down(&self, rejection: Rejection, now: UnixMicros) -> Rejection {
        if !rejection.is_failed_credential() {
            return rejection;
        }
        match self.worker.gateway.failed_credentials.note(self.origin.client, now) {
            Ok(()) => rejection,
            Err(too_many) => Rejection::TooManyFailures(too_many),
        }
    }

    fn refusal(&self, rejection: &Rejection, now: UnixMicros) -> Reply {
        let appearance = rejection.appearance();
        if let Rejection::TokenNotValid(error) = rejection {
            let request_id = self.request_id.as_str();
            tracing::info!(request_id, reason = %error, "a token was refused");
        }
        if let Rejection::Upstream(failure) = rejection {
            let request_id = self.request_id.as_str();
            let detail = failure.detail();
            tracing::warn!(request_id, detail, origin = ?appearance.origin, status = appearance.status, "a request failed upstream");
        }
        write_rejection(rejection, &appearance, self.head, self.request_id, now)
    }

    /// Sends a response of the gateway's own.
    async fn reply(
        &self,
        sides: &mut Sides<'_>,
        record: &mut Record<'_>,
        reply: &Reply,
        body: Body,
        now: UnixMicros,
    ) -> Next {
        let persistence = match self.discard_body(sides.client_buffers, body) {
            Discarded::Whole => self.persistence(),
            Discarded::Not => Persistence::Close,
        };
        let Sides { client, client_buffers, .. } = sides;
        let date = self.worker.times.date(now);
        write_reply(client_buffers.output(), reply, self.head, self.request_id, persistence, &date);
        record.status = Some(reply.status);
        client.progress = Progress::Answering;
        let deadline = Instant::now() + self.worker.gateway.settings.timeouts.body_idle;
        let is_flushed = client.flush_before(client_buffers, deadline).await;
        if self.head.method != Method::Head {
            record.body_bytes = reply.body.len().saturating_sub(client_buffers.unsent().len()) as u64;
        }
        if !is_flushed {
            return Next::Abandon;
        }
        client.progress = Progress::Answered;
        match persistence {
            Persistence::KeepAlive => Next::KeepAlive,
            Persistence::Close => Next::Close,
        }
    }

    /// Takes the request's body out of the input, where all of it is there: the connection can be kept then.
    /// A larger one is not worth waiting for.
    fn discard_body(&self, buffers: &mut Buffers, body: Body) -> Discarded {
        match (request_body(self.head), body) {
            (_, Body::Lost) => Discarded::Not,
            (Ok(BodyLength::None | BodyLength::Exact(0)), _) => Discarded::Whole,
            (Ok(BodyLength::Exact(length)), Body::Untouched) if length <= buffers.input.len() as u64 => {
                let length = usize::try_from(length).unwrap_or(usize::MAX).min(buffers.input.len());
                buffers.input.advance(length);
                Discarded::Whole
            }
            (Ok(_) | Err(_), Body::Untouched | Body::Touched) => Discarded::Not,
        }
    }
}

enum Discarded {
    Whole,
    Not,
}
