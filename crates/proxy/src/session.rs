//! The memory of one exchange, reused from one to the next. A connection between two requests holds none.

use std::rc::Rc;

use tollgate_http1::{RequestHead, RequestParser, ResponseHead, ResponseParser};

use crate::identity::RequestId;
use crate::wire::{Buffers, SpareBuffers};
use crate::worker::Worker;

pub(crate) struct Session {
    pub client: Buffers,
    pub upstream: Buffers,
    pub request: RequestHead,
    /// `None` until the request's head is read. It outlives the exchange, so that an answer to one that
    /// panicked has the id that its log line has.
    pub request_id: Option<RequestId>,
    pub response: ResponseHead,
    pub request_parser: RequestParser,
    pub response_parser: ResponseParser,
    /// The path that a route makes of the client's.
    pub rewritten: String,
}

impl Session {
    pub fn new(spare: &Rc<SpareBuffers>) -> Self {
        Self {
            client: Buffers::new(spare),
            upstream: Buffers::new(spare),
            request: RequestHead::default(),
            request_id: None,
            response: ResponseHead::default(),
            request_parser: RequestParser::default(),
            response_parser: ResponseParser::default(),
            rewritten: String::new(),
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.client.clear();
        self.begin();
    }

    /// Forgets the last exchange, all but what the client has sent already of the next one.
    pub fn begin(&mut self) {
        self.client.clear_output();
        self.upstream.clear();
        self.request.clear();
        self.request_id = None;
        self.response.clear();
        self.request_parser.reset();
        self.response_parser.reset();
    }
}

/// Gives the session back to its worker.
pub(crate) struct SessionGuard {
    worker: Rc<Worker>,
    /// `None` only while being dropped.
    session: Option<Box<Session>>,
}

impl SessionGuard {
    pub const fn new(worker: Rc<Worker>, session: Box<Session>) -> Self {
        Self { worker, session: Some(session) }
    }

    pub fn get(&mut self) -> &mut Session {
        self.session.get_or_insert_with(|| Box::new(self.worker.new_session()))
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.worker.take_back(session);
        }
    }
}
