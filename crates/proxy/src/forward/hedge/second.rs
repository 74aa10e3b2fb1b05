//! The second copy of a request, from its connection to the head of its response.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Buf;
use tokio::time::{timeout, timeout_at};
use tollgate_core::snapshot::Target;
use tollgate_http1::{HeadLimits, ResponseHead, ResponseParser};

use crate::forward::UpstreamFailure;
use crate::forward::announced::Announced;
use crate::forward::attempt::{Upload, head_failure};
use crate::forward::connect::check_out;
use crate::forward::deadlines::Deadlines;
use crate::forward::dial::{Upstream, dial};
use crate::forward::pool::CheckedOut;
use crate::forward::send::{Forward, write_head_to};
use crate::wire::{Buffers, READ_BYTES};

/// A connection whose response has begun; what follows the head is in the buffers' input.
pub(in crate::forward) struct Answered {
    upstream: Upstream,
    buffers: Buffers,
    pub response: ResponseHead,
    parser: ResponseParser,
}

/// Ends in time by itself, while the first copy keeps the client's watchdog.
pub(super) async fn ask(
    forward: &Forward<'_, '_>,
    target: &Target,
    deadlines: &Deadlines,
) -> Result<Box<Answered>, UpstreamFailure> {
    let began = Instant::now();
    let asking = ask_in_time(forward, target, deadlines);
    let Some(total) = deadlines.total else { return asking.await };
    let answered = timeout_at(total.into(), asking).await;
    answered.unwrap_or_else(|_| Err(deadlines.timeout(began, UpstreamFailure::FirstByteTimeout)))
}

async fn ask_in_time(
    forward: &Forward<'_, '_>,
    target: &Target,
    deadlines: &Deadlines,
) -> Result<Box<Answered>, UpstreamFailure> {
    let CheckedOut { idle, first } = check_out(forward, target);
    if let Some(upstream) = idle {
        match Answered::over(upstream, forward, target, deadlines).await {
            // Its server had just closed it.
            Err(UpstreamFailure::Closed) => {}
            outcome => return outcome,
        }
    }
    let within = deadlines.connect_within(Instant::now());
    let dialling = dial(&forward.worker.gateway, &target.endpoint, first, within, forward.selected.tenant.id);
    let dialled = timeout(deadlines.connect, dialling).await;
    let upstream = dialled.map_err(|_| UpstreamFailure::ConnectTimeout)?.map_err(UpstreamFailure::Dial)?;
    Answered::over(upstream, forward, target, deadlines).await
}

impl Answered {
    /// Gives its connection, and puts what has come over it in the place of what the first copy had. One that was answered
    /// before it was sent whole is not sent on: nobody else could use the connection.
    pub fn put_into(self, buffers: &mut Buffers, response: &mut ResponseHead) -> (Upstream, Upload) {
        let upload = if self.buffers.unsent().is_empty() { Upload::Sent } else { Upload::Broken };
        buffers.clear();
        (*buffers, *response) = (self.buffers, self.response);
        (self.upstream, upload)
    }

    async fn over(
        upstream: Upstream,
        forward: &Forward<'_, '_>,
        target: &Target,
        deadlines: &Deadlines,
    ) -> Result<Box<Self>, UpstreamFailure> {
        let (response, parser) = (ResponseHead::default(), ResponseParser::default());
        let buffers = forward.worker.new_buffers();
        let mut answered = Box::new(Self { upstream, buffers, response, parser });
        write_head_to(forward, &mut answered.buffers, target);
        let limits = forward.worker.gateway.settings.limits.head;
        let answering = timeout(deadlines.first_byte, poll_fn(|cx| answered.poll(cx, &limits)));
        answering.await.map_err(|_| UpstreamFailure::FirstByteTimeout)??;
        Announced::by(&answered.response, forward.request, Upload::Sent)?;
        Ok(answered)
    }

    fn poll(&mut self, cx: &mut Context<'_>, limits: &HeadLimits) -> Poll<Result<(), UpstreamFailure>> {
        // A target that takes no more may have answered all the same.
        drop(self.buffers.poll_flush(cx, &mut self.upstream.stream));
        while !self.parse(limits)? {
            match self.buffers.poll_read(cx, &mut self.upstream.stream, READ_BYTES) {
                Poll::Ready(Ok(0) | Err(_)) if self.buffers.input.is_empty() => {
                    return Poll::Ready(Err(UpstreamFailure::Closed));
                }
                Poll::Ready(Ok(0) | Err(_)) => {
                    let what = "the response's head is cut short";
                    return Poll::Ready(Err(UpstreamFailure::Protocol(what)));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the final head is there. Interim ones are the first copy's to pass on.
    fn parse(&mut self, limits: &HeadLimits) -> Result<bool, UpstreamFailure> {
        let input = &mut self.buffers.input;
        while !input.is_empty() {
            let Some(bytes) = self.parser.parse(input, limits, &mut self.response).map_err(head_failure)?
            else {
                return Ok(false);
            };
            input.advance(bytes);
            self.parser.reset();
            if !self.response.is_interim() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::wire::Stream;
    use crate::worker::tests::connection;

    #[tokio::test]
    async fn a_copy_that_was_answered_before_it_was_sent_whole_leaves_no_connection_to_others() {
        for (unsent, upload) in [("", Upload::Sent), ("Host: target\r\n\r\n", Upload::Broken)] {
            let (stream, _target) = connection().await;
            let upstream = Upstream { stream: Stream::Plain(stream), ip: IpAddr::from([127, 0, 0, 1]) };
            let (response, parser) = (ResponseHead::default(), ResponseParser::default());
            let mut answered = Answered { upstream, buffers: Buffers::default(), response, parser };
            answered.buffers.output().extend_from_slice(unsent.as_bytes());
            let (mut buffers, mut response) = (Buffers::default(), ResponseHead::default());
            assert_eq!(answered.put_into(&mut buffers, &mut response).1, upload);
        }
    }
}
