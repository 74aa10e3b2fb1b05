//! One try to get a response from one connection: the request goes out, its body streaming, until the head
//! of the final response is there.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Buf;
use tollgate_core::retry::{Connection, Sent};
use tollgate_http1::{BodyError, FieldId, HeadError, HeadLimits, ResponseHead, ResponseParser, Version};

use super::UpstreamFailure;
use super::announced::Announced;
use super::deadlines::{Deadlines, Spent};
use super::dial::Upstream;
use crate::client::Client;
use crate::message::{Hidden, write_interim};
use crate::request::Request;
use crate::wire::{Buffers, Pump, PumpError, READ_BYTES, Side};

/// Both sides of an exchange, and the request's body between them.
pub(crate) struct Attempt<'x> {
    pub client: &'x mut Client,
    pub client_buffers: &'x mut Buffers,
    pub upstream: Upstream,
    pub connection: Connection,
    pub upstream_buffers: &'x mut Buffers,
    pub upload: &'x mut Pump,
    pub upload_state: Upload,
    pub consent: Consent,
    pub response: &'x mut ResponseHead,
    pub parser: &'x mut ResponseParser,
    pub request: &'x Request<'x>,
    pub limits: HeadLimits,
    /// When the client was last waited for, where it was: what the target takes is counted from there.
    pub client_until: Option<Instant>,
    /// A response field that the client never sees.
    pub hidden: Hidden<'x>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upload {
    Flowing,
    Sent,
    /// The target takes no more; it may still have answered.
    Broken,
}

/// Whether the client sends its body only when the target asks for it (RFC 9110 section 10.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    NotAwaited,
    Awaited,
}

#[derive(Debug)]
pub(crate) enum AttemptFailure {
    /// The client has gone: nobody is there to be told.
    ClientGone,
    /// The client broke its body's framing.
    ClientBody(BodyError),
    ClientBodyTooLarge,
    ClientTooSlow,
    Upstream(UpstreamFailure),
}

impl Attempt<'_> {
    /// Resolves when `response` holds the final response's head (or a `101`); what follows the head is in the
    /// upstream's input.
    pub async fn response_head(
        &mut self,
        deadlines: &Deadlines,
        began: Instant,
    ) -> Result<Announced, AttemptFailure> {
        let mut waiting_since = began;
        let mut last = (self.progress(), self.upload_state, self.awaits_consent());
        let mut has_awaited_client = false;
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = self.poll_response_head(cx) {
                return Poll::Ready(outcome);
            }
            let now = (self.progress(), self.upload_state, self.awaits_consent());
            if now != last && (self.upload.moved_bytes() > 0 || now.1 == last.1) {
                // Only a body makes the clock worth reading: a bare head was sent when the attempt began.
                waiting_since = Instant::now();
                if has_awaited_client {
                    self.client_until = Some(waiting_since);
                }
            }
            last = now;
            has_awaited_client = self.awaits_client();
            let allowed = if self.upload_state == Upload::Flowing && !self.awaits_consent() {
                deadlines.idle
            } else {
                deadlines.first_byte
            };
            let deadline = deadlines.nearer(waiting_since + allowed);
            match self.client.watchdog.poll_past(cx, deadline) {
                Poll::Ready(()) => Poll::Ready(Err(self.timed_out(deadlines, waiting_since))),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    const fn progress(&self) -> (u64, u64) {
        (self.upload.moved_bytes(), self.upstream_buffers.sent_bytes())
    }

    /// Whether the kernel took any of the request.
    pub const fn sent(&self) -> Sent {
        if self.upstream_buffers.sent_bytes() == 0 { Sent::Nothing } else { Sent::Something }
    }

    /// Whether the client has sent nothing of its body because the target has not asked for it yet: it is the
    /// target that is waited for.
    const fn awaits_consent(&self) -> bool {
        matches!(self.consent, Consent::Awaited) && !self.upload.has_begun()
    }

    /// Whether all that the client has sent of its body is on its way, and the target can have asked for the rest.
    fn awaits_client(&self) -> bool {
        self.upload_state == Upload::Flowing
            && self.upload.waiting_for() == Side::Source
            && !self.awaits_consent()
    }

    fn timed_out(&self, deadlines: &Deadlines, waiting_since: Instant) -> AttemptFailure {
        if self.awaits_client() {
            return if deadlines.is_total_past() {
                AttemptFailure::Upstream(UpstreamFailure::TotalTimeout(Spent::Elsewhere))
            } else {
                AttemptFailure::ClientTooSlow
            };
        }
        let own = match self.upload_state {
            Upload::Flowing if !self.awaits_consent() => UpstreamFailure::WriteTimeout,
            Upload::Flowing | Upload::Sent | Upload::Broken => UpstreamFailure::FirstByteTimeout,
        };
        AttemptFailure::Upstream(deadlines.timeout(waiting_since, own))
    }

    fn poll_response_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Announced, AttemptFailure>> {
        self.poll_upload(cx)?;
        loop {
            if let Some(announced) = self.parse()? {
                return Poll::Ready(Ok(announced));
            }
            // An interim response may be on its way to the client; what does not fit yet goes later.
            if let Poll::Ready(Err(_)) = self.client.poll_flush(cx, self.client_buffers) {
                return Poll::Ready(Err(AttemptFailure::ClientGone));
            }
            match self.upstream_buffers.poll_read(cx, &mut self.upstream.stream, READ_BYTES) {
                Poll::Ready(Ok(0) | Err(_)) => {
                    let failure = if self.upstream_buffers.input.is_empty() {
                        UpstreamFailure::Closed
                    } else {
                        UpstreamFailure::Protocol("the response's head is cut short")
                    };
                    return Poll::Ready(Err(AttemptFailure::Upstream(failure)));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => {
                    let gone = match self.upload_state {
                        Upload::Flowing => self.poll_gone_within_upload(cx),
                        Upload::Sent | Upload::Broken => self.client.poll_gone(cx, self.client_buffers),
                    };
                    return gone.map(|()| Err(AttemptFailure::ClientGone));
                }
            }
        }
    }

    /// Moves the request on, as far as both sides allow.
    pub fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), AttemptFailure> {
        if self.upload_state != Upload::Flowing {
            return Ok(());
        }
        let source = (&mut self.client.stream, &mut *self.client_buffers);
        let sink = (&mut self.upstream.stream, &mut *self.upstream_buffers);
        match self.upload.poll(cx, source, sink, || {}) {
            Poll::Ready(Ok(())) => self.upload_state = Upload::Sent,
            Poll::Ready(Err(PumpError::Sink)) => self.upload_state = Upload::Broken,
            Poll::Ready(Err(PumpError::SourceCut)) => return Err(AttemptFailure::ClientGone),
            Poll::Ready(Err(PumpError::SourceBroken(error))) => {
                return Err(AttemptFailure::ClientBody(error));
            }
            Poll::Ready(Err(PumpError::TooLarge)) => return Err(AttemptFailure::ClientBodyTooLarge),
            // Both sides have the same framing: what does not fit the target's broke the client's.
            Poll::Ready(Err(PumpError::Misfit)) => {
                return Err(AttemptFailure::ClientBody(BodyError::Incomplete));
            }
            Poll::Pending => {}
        }
        Ok(())
    }

    /// Ready when the client has gone. A pump that waits for its body sees that; one whose target takes none of it does not
    /// look.
    pub fn poll_gone_within_upload(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.upload.waiting_for() {
            Side::Source => Poll::Pending,
            Side::Sink => self.client.poll_closed(cx),
        }
    }

    /// What the final head in `response` says of what follows.
    pub fn announced(&self) -> Result<Announced, AttemptFailure> {
        Announced::by(self.response, self.request, self.upload_state).map_err(AttemptFailure::Upstream)
    }

    /// The final head, where it is there; interim ones on the way are passed on.
    fn parse(&mut self) -> Result<Option<Announced>, AttemptFailure> {
        loop {
            let input = &mut self.upstream_buffers.input;
            if input.is_empty() {
                return Ok(None);
            }
            let Some(bytes) = self
                .parser
                .parse(input, &self.limits, self.response)
                .map_err(|error| AttemptFailure::Upstream(head_failure(error)))?
            else {
                return Ok(None);
            };
            input.advance(bytes);
            self.parser.reset();
            if !self.response.is_interim() {
                return self.announced().map(Some);
            }
            if self.response.status == 100 {
                self.consent = Consent::NotAwaited;
            }
            self.pass_interim()?;
        }
    }

    fn pass_interim(&mut self) -> Result<(), AttemptFailure> {
        const MOST_UNSENT_BYTES: usize = 64 * 1_024;
        if self.client_buffers.unsent().len() > MOST_UNSENT_BYTES {
            return Err(AttemptFailure::Upstream(UpstreamFailure::Protocol("too many interim responses")));
        }
        if self.response.fields.contains(FieldId::TransferEncoding) {
            return Err(AttemptFailure::Upstream(UpstreamFailure::Protocol(
                "an interim response with a body",
            )));
        }
        match self.request.head.version {
            Version::Http11 => write_interim(self.client_buffers.output(), self.response, self.hidden),
            // RFC 9110 section 15.2: HTTP/1.0 knows no interim responses.
            Version::Http10 => {}
        }
        Ok(())
    }
}

pub(super) fn head_failure(error: HeadError) -> UpstreamFailure {
    match error {
        HeadError::RequestLineTooLong | HeadError::HeadTooLarge | HeadError::TooManyFields => {
            UpstreamFailure::HeadTooLarge
        }
        HeadError::Malformed(what) => UpstreamFailure::Protocol(what),
    }
}
