//! One try to get a response from one connection: the request goes out, its body streaming, until the head
//! of the final response is there.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Buf;
use tollgate_core::resource::HeaderName;
use tollgate_http1::{BodyError, FieldId, HeadError, HeadLimits, ResponseHead, ResponseParser, Version};

use super::UpstreamFailure;
use super::dial::Upstream;
use crate::client::Client;
use crate::message::write_interim;
use crate::wire::{Buffers, Pump, PumpError, READ_BYTES, Side};

/// How long each part may take; from the service, else from the settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    pub connect: Duration,
    pub first_byte: Duration,
    pub idle: Duration,
    pub total: Option<Instant>,
}

impl Deadlines {
    pub fn nearer(&self, deadline: Instant) -> Instant {
        self.total.map_or(deadline, |total| total.min(deadline))
    }

    pub fn is_total_past(&self) -> bool {
        self.total.is_some_and(|total| Instant::now() >= total)
    }
}

/// Both sides of an exchange, and the request's body between them.
pub(crate) struct Attempt<'x> {
    pub client: &'x mut Client,
    pub client_buffers: &'x mut Buffers,
    pub upstream: Upstream,
    pub upstream_buffers: &'x mut Buffers,
    pub upload: &'x mut Pump,
    pub upload_state: Upload,
    pub consent: Consent,
    pub response: &'x mut ResponseHead,
    pub parser: &'x mut ResponseParser,
    pub client_version: Version,
    pub limits: HeadLimits,
    /// A response field that the client never sees.
    pub hidden: Option<&'x HeaderName>,
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
    ) -> Result<(), AttemptFailure> {
        let mut waiting_since = began;
        let mut last = (self.progress(), self.upload_state, self.awaits_consent());
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = self.poll_response_head(cx) {
                return Poll::Ready(outcome);
            }
            let now = (self.progress(), self.upload_state, self.awaits_consent());
            if now != last && (self.upload.moved_bytes() > 0 || now.1 == last.1) {
                // Only a body makes the clock worth reading: a bare head was sent when the attempt began.
                waiting_since = Instant::now();
            }
            last = now;
            let allowed = if self.upload_state == Upload::Flowing && !self.awaits_consent() {
                deadlines.idle
            } else {
                deadlines.first_byte
            };
            let deadline = deadlines.nearer(waiting_since + allowed);
            match self.client.watchdog.poll_past(cx, deadline) {
                Poll::Ready(()) => Poll::Ready(Err(self.timed_out(deadlines))),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    const fn progress(&self) -> (u64, u64) {
        (self.upload.moved_bytes(), self.upstream_buffers.sent_bytes())
    }

    /// Whether the client has sent nothing of its body because the target has not asked for it yet: it is the
    /// target that is waited for.
    const fn awaits_consent(&self) -> bool {
        matches!(self.consent, Consent::Awaited) && !self.upload.has_begun()
    }

    fn timed_out(&self, deadlines: &Deadlines) -> AttemptFailure {
        if deadlines.is_total_past() {
            return AttemptFailure::Upstream(UpstreamFailure::TotalTimeout);
        }
        match (self.upload_state, self.upload.waiting_for()) {
            (Upload::Flowing, Side::Source) if self.awaits_consent() => {
                AttemptFailure::Upstream(UpstreamFailure::FirstByteTimeout)
            }
            (Upload::Flowing, Side::Source) => AttemptFailure::ClientTooSlow,
            (Upload::Flowing, Side::Sink) => AttemptFailure::Upstream(UpstreamFailure::WriteTimeout),
            (Upload::Sent | Upload::Broken, _) => AttemptFailure::Upstream(UpstreamFailure::FirstByteTimeout),
        }
    }

    fn poll_response_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AttemptFailure>> {
        self.poll_upload(cx)?;
        loop {
            if self.parse()? {
                return Poll::Ready(Ok(()));
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
                // While the body flows, its pump sees whether the client is there.
                Poll::Pending if self.upload_state == Upload::Flowing => return Poll::Pending,
                Poll::Pending => {
                    let gone = self.client.poll_gone(cx, self.client_buffers);
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

    /// Whether the final head is there; interim ones on the way are passed on.
    fn parse(&mut self) -> Result<bool, AttemptFailure> {
        loop {
            let input = &mut self.upstream_buffers.input;
            if input.is_empty() {
                return Ok(false);
            }
            let Some(bytes) = self
                .parser
                .parse(input, &self.limits, self.response)
                .map_err(|error| AttemptFailure::Upstream(head_failure(error)))?
            else {
                return Ok(false);
            };
            input.advance(bytes);
            self.parser.reset();
            match self.response.status {
                101 => return Ok(true),
                100..200 => {
                    if self.response.status == 100 {
                        self.consent = Consent::NotAwaited;
                    }
                    self.pass_interim()?;
                }
                _ => return Ok(true),
            }
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
        match self.client_version {
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
