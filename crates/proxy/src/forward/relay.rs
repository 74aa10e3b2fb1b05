//! The response on its way to the client, while the rest of the request may still flow.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tollgate_core::cause::Cause;
use tollgate_http1::BodyError;

use super::attempt::{Attempt, Upload};
use super::deadlines::Deadlines;
use crate::admit::Admitted;
use crate::client::Progress;
use crate::live::{Picked, Place};
use crate::wire::Pump;

/// How long a response may stand still whose request will never be whole: its target may be waiting for the rest.
const WITHOUT_THE_REQUEST: Duration = Duration::from_secs(5);

/// How a response whose head was sent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relayed {
    /// All of it was written, and the request was read to its end.
    Complete,
    /// All of it was written before the request had been read to its end.
    Early,
    /// It is not whole, and the client must not take it for that.
    Cut(Cut),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    ClientGone,
    Upstream,
    /// The upstream broke the framing of its body.
    Framing,
    /// What stands behind its body is more than is read.
    Trailers,
    /// Nothing moved for too long.
    Timeout,
    /// It took too long as a whole.
    TotalTimeout,
}

/// What the request has of what there is only so much of.
pub(super) struct Held<'h, 's, 'q> {
    pub admitted: &'h Admitted<'s>,
    /// `None` where the service has as many requests as come.
    pub place: Option<&'h Place<'q>>,
    /// `None` before the response is passed on, and where there is nothing to pick.
    pub picked: Option<&'h Picked<'q>>,
}

impl Held<'_, '_, '_> {
    /// An adaptive limit learns from how long the service took.
    pub fn note_answer(&self, status: u16, took: Duration) {
        if let Some(place) = self.place.filter(|_| status < 500) {
            place.answered_in(took);
        }
    }

    /// That it took so long at least is worth knowing as well.
    pub fn note_failure(&self, cause: Option<Cause>, took: Duration) {
        if let Some(place) = self.place.filter(|_| cause == Some(Cause::Timeout)) {
            place.answered_in(took);
        }
    }

    fn release(&self) {
        self.admitted.release();
        if let Some(place) = self.place {
            place.release();
        }
        if let Some(picked) = self.picked {
            picked.end();
        }
    }
}

impl Attempt<'_> {
    /// Moves the response's body through `download`; its head is in the client's output already. Gives the
    /// moment of the end too. Who has the whole response finds its place free. What has gone is in `body_bytes`
    /// at any time: the end of the gateway may cut it short.
    pub async fn relay(
        &mut self,
        download: &mut Pump,
        held: &Held<'_, '_, '_>,
        deadlines: &Deadlines,
        began: Instant,
        body_bytes: &mut u64,
    ) -> (Relayed, Instant) {
        let mut has_waited = false;
        let mut moved_at = began;
        let mut moved = (0, 0);
        poll_fn(|cx| {
            let polled = self.poll_relay(cx, download, held);
            *body_bytes = download.sent_bytes(self.client_buffers);
            if let Poll::Ready(relayed) = polled {
                // What was there at once is worth no look at the clock.
                return Poll::Ready((relayed, if has_waited { Instant::now() } else { began }));
            }
            has_waited = true;
            let now = (download.moved_bytes() + self.client_buffers.sent_bytes(), self.upload.moved_bytes());
            if now != moved {
                moved = now;
                moved_at = Instant::now();
            }
            let idle = match self.upload_state {
                Upload::Broken => deadlines.idle.min(WITHOUT_THE_REQUEST),
                Upload::Flowing | Upload::Sent => deadlines.idle,
            };
            let deadline = deadlines.nearer(moved_at + idle);
            self.client.watchdog.poll_past(cx, deadline).map(|()| {
                let cut = if deadlines.is_total_past() { Cut::TotalTimeout } else { Cut::Timeout };
                (Relayed::Cut(cut), deadline)
            })
        })
        .await
    }

    fn poll_relay(
        &mut self,
        cx: &mut Context<'_>,
        download: &mut Pump,
        held: &Held<'_, '_, '_>,
    ) -> Poll<Relayed> {
        use crate::wire::PumpError;
        // The response may be complete without the rest of the request: what is wrong with that ends the
        // upload, not the download.
        if self.poll_upload(cx).is_err() {
            self.upload_state = Upload::Broken;
        }
        let source = (&mut self.upstream.stream, &mut *self.upstream_buffers);
        let sink = (&mut self.client.stream, &mut *self.client_buffers);
        match download.poll(cx, source, sink, || held.release()) {
            Poll::Ready(Ok(())) => {
                self.client.progress = Progress::Answered;
                let is_sent = self.upload_state == Upload::Sent;
                Poll::Ready(if is_sent { Relayed::Complete } else { Relayed::Early })
            }
            Poll::Ready(Err(PumpError::Sink)) => Poll::Ready(Relayed::Cut(Cut::ClientGone)),
            Poll::Ready(Err(PumpError::SourceBroken(BodyError::TrailersTooLarge))) => {
                Poll::Ready(Relayed::Cut(Cut::Trailers))
            }
            Poll::Ready(Err(PumpError::SourceBroken(_) | PumpError::TooLarge | PumpError::Misfit)) => {
                Poll::Ready(Relayed::Cut(Cut::Framing))
            }
            Poll::Ready(Err(PumpError::SourceCut)) => Poll::Ready(Relayed::Cut(Cut::Upstream)),
            Poll::Pending => {
                let gone = match self.upload_state {
                    // Nobody takes the rest of the request.
                    Upload::Broken => self.client.poll_gone_discarding(cx, self.client_buffers),
                    Upload::Flowing => self.poll_gone_within_upload(cx),
                    Upload::Sent => self.client.poll_gone(cx, self.client_buffers),
                };
                gone.map(|()| Relayed::Cut(Cut::ClientGone))
            }
        }
    }
}
