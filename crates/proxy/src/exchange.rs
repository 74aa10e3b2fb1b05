//! The life of a request: each stage consumes what the one before has proved.

mod own_answer;

use std::cell::OnceCell;
use std::rc::Rc;

use tollgate_core::snapshot::Snapshot;
use tollgate_http1::{RequestHead, keep_alive};

use self::own_answer::{Body, Refused};
use crate::admit::{Asked, Checked};
use crate::arrival::{Arrival, read_head};
use crate::authenticate::{Found, Token};
use crate::caller::Caller;
use crate::client::Client;
use crate::clock::Moment;
use crate::forward::{Forward, Forwarded, Sides};
use crate::identity::{Origin, Peer, RequestId};
use crate::message::{Persistence, Reply, push_limit_lines};
use crate::record::Record;
use crate::rejection::Rejection;
use crate::request::{Examined, Request};
use crate::reserved::{self, Reserved};
use crate::room::{RequestPlace, Standing};
use crate::route::{Selected, Selecting};
use crate::session::Session;
use crate::token::{self, Shown};
use crate::worker::{HeldSnapshot, Worker};
use crate::{admit, authenticate, forward, permit};

/// What becomes of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    KeepAlive,
    /// No request has come, but an empty line: the connection is as it was.
    Blank,
    /// All was said; the client may still be sending.
    Close,
    /// Nothing more can be said.
    Abandon,
}

enum Answer {
    Forwarded(Forwarded),
    Own(Reply),
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
        client.standing.patience(settings.timeouts.head),
        request,
    );
    let unreadable = match arrival.await {
        Arrival::Head => None,
        Arrival::Refused(rejection) => Some(rejection),
        Arrival::Blank if client.standing == Standing::Within => return Next::Blank,
        Arrival::Blank | Arrival::Gone => return Next::Abandon,
    };
    let head: &RequestHead = request;
    let received = worker.clock.now();
    let (snapshot, newer) = (worker.snapshot(), OnceCell::new());
    let request_id = &*request_id.insert(RequestId::of(worker, &head.fields, peer.trust));
    let origin = Origin::of(peer, &head.fields, &settings.trusted_proxies);
    let Some(mut record) = Record::begin(worker, received, head, &origin, request_id) else {
        return Next::Abandon;
    };
    let standing = client.standing;
    let (snapshot, newer) = (&*snapshot, &newer);
    let context = Context { worker, snapshot, newer, head, origin: &origin, request_id, received, standing };
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
        Ok(Answer::Own(reply)) => {
            context.reply(&mut sides, &mut record, &reply, Body::Untouched, received.wall).await
        }
        Err(refused) => context.refuse(&mut sides, &mut record, refused).await,
    }
}

/// What every stage may know.
struct Context<'x> {
    worker: &'x Rc<Worker>,
    snapshot: &'x Snapshot,
    /// Where there was an edit while an issuer's keys were waited for.
    newer: &'x OnceCell<Rc<HeldSnapshot>>,
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
    ) -> Result<Answer, Refused> {
        let untouched = |rejection| Refused::uncharged(rejection, Body::Untouched);
        let (gateway, clock) = (&self.worker.gateway, &self.worker.clock);
        // Moves on where something is waited for.
        let mut now = self.received;
        let ambiguous = |rejection| Refused::uncharged(rejection, Body::Lost);
        let examined = Request::examine(self.head, gateway.via.name(), self.origin.trust_in_peer());
        let request = match examined.map_err(ambiguous)? {
            Examined::Request(request) => request,
            Examined::AboutGateway => return Ok(Answer::Own(reserved::about_gateway())),
        };
        if let Some(reserved) = Reserved::of(request.path.as_str()) {
            if gateway.counters.store().is_some() {
                let (worker, snapshot) = (self.worker, self.snapshot);
                let look = reserved::look(reserved, worker, snapshot, &request, self.origin, self.received);
                Box::pin(look).await;
            }
            let (worker, snapshot, origin) = (self.worker, self.snapshot, self.origin);
            let identified = |caller| self.identified(record, caller);
            let reply =
                reserved::answer(reserved, worker, snapshot, &request, origin, self.received, identified);
            return reply.map(Answer::Own).map_err(untouched);
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
        let (header, now_secs) = (selected.service.auth_header(), now.wall.secs());
        let found =
            authenticate::caller(self.snapshot, &selected, header, fields, usual.as_ref(), client, now_secs);
        let (snapshot, selected, caller) = match found.map_err(untouched)? {
            Found::Caller(caller) => (self.snapshot, selected, caller),
            Found::Token(token) => {
                // Boxed, so that requests with keys carry no room for it.
                let found = self.token_caller(selected, &token, &mut now);
                let (snapshot, selected, caller) = Box::pin(found).await.map_err(untouched)?;
                record.selected(selected);
                (snapshot, selected, caller)
            }
        };
        self.identified(record, caller);
        let method = self.head.method_name();
        permit::request(&caller, &selected, method, client).map_err(untouched)?;
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
            snapshot,
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
            Refused { rejection, body: Body::Touched, limit_lines: Some(limit_lines) }
        })
    }

    fn identified(&self, record: &mut Record<'x>, caller: Caller<'x>) {
        record.identified(caller);
        if let Some(key) = caller.key {
            self.worker.note_use(key.id, self.received.wall.secs());
        }
    }

    /// The caller that a token is for. Where its issuer's keys are waited for, what is edited meanwhile holds for the request:
    /// gives the snapshot that it goes on with, and what was selected as it is there.
    async fn token_caller(
        &self,
        selected: Selected<'x, 'x>,
        token: &Token<'_>,
        now: &mut Moment,
    ) -> Result<(&'x Snapshot, Selected<'x, 'x>, Caller<'x>), Rejection> {
        let (worker, fields) = (self.worker, &self.head.fields);
        let (clock, received) = (&worker.clock, self.received.instant);
        let shown = Shown { token, fields, received, now_secs: now.wall.secs() };
        let caller = token::caller(worker, self.snapshot, &selected, shown);
        let caller = clock.moving_on(now, caller).await;
        if worker.snapshot().revision() == self.snapshot.revision() {
            return Ok((self.snapshot, selected, caller?));
        }
        let snapshot: &'x Snapshot = self.newer.get_or_init(|| worker.snapshot());
        let selected = selected.renewed(snapshot).ok_or(Rejection::NoSuchService)?;
        let shown = Shown { now_secs: now.wall.secs(), ..shown };
        let caller = token::caller(worker, snapshot, &selected, shown);
        Ok((snapshot, selected, clock.moving_on(now, caller).await?))
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
}
