//! What the gateway answers itself: its own resources, and why a request goes no further.

use std::time::Instant;

use bytes::Buf;
use tollgate_core::time::UnixMicros;
use tollgate_http1::{BodyLength, Method, request_body};

use super::{Context, Next};
use crate::client::Progress;
use crate::clock::Moment;
use crate::forward::Sides;
use crate::message::{Persistence, Reply, write_rejection, write_reply};
use crate::record::{Limited, Record};
use crate::rejection::Rejection;
use crate::wire::Buffers;

/// A refusal, and whether the request's body may have been begun.
pub(super) struct Refused {
    pub rejection: Rejection,
    pub body: Body,
    /// Where the client stands with its limits, once it was charged; `None` before that.
    pub limit_lines: Option<Vec<u8>>,
}

impl Refused {
    /// Before anything was charged.
    pub const fn uncharged(rejection: Rejection, body: Body) -> Self {
        Self { rejection, body, limit_lines: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Untouched,
    Touched,
    /// Where the next request would begin is not known.
    Lost,
}

impl Context<'_> {
    /// Says why the request goes no further.
    pub(super) async fn refuse(
        &self,
        sides: &mut Sides<'_>,
        record: &mut Record<'_>,
        Refused { rejection, body, limit_lines }: Refused,
    ) -> Next {
        let Moment { instant, wall: now } = self.worker.clock.now();
        // Of a request that was charged the credential was good when it came: it is no guess, though it be over since.
        let rejection = if limit_lines.is_none() { self.slowed_down(rejection, instant) } else { rejection };
        if matches!(rejection, Rejection::RateLimited(_) | Rejection::TooManyFailures(_)) {
            record.limited = Limited::Yes;
        }
        if rejection.is_of_key()
            && let Some(key) = record.key()
        {
            self.worker.note_rejection(key);
        }
        let mut reply = self.refusal(&rejection, now);
        reply.lines.extend(limit_lines.into_iter().flatten());
        self.reply(sides, record, &reply, body, now).await
    }

    /// A credential that failed is counted for the client's address; one too many is told so instead.
    fn slowed_down(&self, rejection: Rejection, now: Instant) -> Rejection {
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
    pub(super) async fn reply(
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
