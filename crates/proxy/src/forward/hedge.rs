//! A request that is late gets a second copy at another target, and whichever copy answers first is passed on. The
//! other is cancelled: its connection closes.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Buf;
use tokio::time::{sleep_until, timeout, timeout_at};
use tollgate_core::hedge::HedgeRules;
use tollgate_core::snapshot::Target;
use tollgate_http1::{HeadLimits, ResponseHead, ResponseParser};

use super::UpstreamFailure;
use super::announced::Announced;
use super::attempt::{Attempt, AttemptFailure, Deadlines, Upload, head_failure};
use super::connect::{check_out, was_stale};
use super::dial::{Upstream, dial};
use super::journey::{Hedged, Journey};
use super::pool::CheckedOut;
use super::send::{Forward, write_head_to};
use crate::wire::{Buffers, READ_BYTES};

/// The same as [`Attempt::response_head`], perhaps from another target, where the service hedges: the journey's then.
pub(super) async fn response_head<'j>(
    forward: &Forward<'j, '_>,
    attempt: &mut Attempt<'_>,
    journey: &mut Journey<'j>,
    deadlines: &Deadlines,
    began: Instant,
) -> Result<Announced, AttemptFailure> {
    if attempt.upload_state != Upload::Flowing {
        // A second copy was answered before there was a connection for the first.
        return attempt.announced();
    }
    match journey.hedging(forward.request) {
        None => attempt.response_head(deadlines, began).await,
        // Boxed: few services hedge, and its state would make every connection's task larger.
        Some(rules) => Box::pin(hedged(forward, attempt, journey, rules, deadlines, began)).await,
    }
}

async fn hedged<'j>(
    forward: &Forward<'j, '_>,
    attempt: &mut Attempt<'_>,
    journey: &mut Journey<'j>,
    rules: &HedgeRules,
    deadlines: &Deadlines,
    began: Instant,
) -> Result<Announced, AttemptFailure> {
    let outcome = race(forward, attempt, journey, rules, deadlines, began).await;
    if outcome.is_ok() && attempt.response.status < 500 {
        let now = Instant::now();
        journey.note_latency(now.saturating_duration_since(began), now);
    }
    outcome
}

/// What becomes of dialling for a request that may get a second copy.
pub(super) enum Dialled<'j, T> {
    First(T),
    /// The second copy was answered before the first had a connection.
    Second(Box<Answered>, Hedged<'j>),
}

/// A connection is waited for no longer than an answer is: the request gets its second copy meanwhile. Once the first
/// has its connection, or can have none, the second is given up: how the request goes on is decided there.
pub(super) async fn while_dialling<'j, T>(
    forward: &Forward<'j, '_>,
    journey: &mut Journey<'j>,
    rules: &HedgeRules,
    deadlines: &Deadlines,
    dialling: impl Future<Output = T>,
) -> Dialled<'j, T> {
    let (mut dialling, began) = (pin!(dialling), Instant::now());
    let hedged = match until_late(journey, rules, began, dialling.as_mut()).await {
        First::Over(dialled) => return Dialled::First(dialled),
        First::Late(hedged) => hedged,
    };
    let answered = tokio::select! {
        biased;
        dialled = dialling.as_mut() => return Dialled::First(dialled),
        answered = ask(forward, hedged.target(), deadlines) => answered,
    };
    let now = Instant::now();
    match answered {
        Ok(answered) => {
            if answered.response.status < 500 {
                journey.note_latency(now.saturating_duration_since(began), now);
            }
            Dialled::Second(answered, hedged)
        }
        Err(failure) => {
            journey.note_second_failed(&hedged, failure.cause(), now);
            drop(hedged);
            Dialled::First(dialling.await)
        }
    }
}

/// What becomes of what a request waits for first.
enum First<'j, T> {
    Over(T),
    /// The second copy goes out.
    Late(Hedged<'j>),
}

/// Waits until it is over, or until it is late and there is to be a second copy.
async fn until_late<'j, T>(
    journey: &Journey<'j>,
    rules: &HedgeRules,
    began: Instant,
    first: impl Future<Output = T>,
) -> First<'j, T> {
    let mut first = pin!(first);
    if let Some(delay) = journey.hedge_delay(rules, began) {
        tokio::select! {
            biased;
            outcome = first.as_mut() => return First::Over(outcome),
            () = sleep_until((began + delay).into()) => {}
        }
        if let Some(hedged) = journey.hedge(Instant::now()) {
            return First::Late(hedged);
        }
    }
    First::Over(first.await)
}

enum Came {
    First(Result<Announced, AttemptFailure>),
    Second(Result<Box<Answered>, UpstreamFailure>),
}

async fn race<'j>(
    forward: &Forward<'j, '_>,
    attempt: &mut Attempt<'_>,
    journey: &mut Journey<'j>,
    rules: &HedgeRules,
    deadlines: &Deadlines,
    began: Instant,
) -> Result<Announced, AttemptFailure> {
    let hedged = match until_late(journey, rules, began, attempt.response_head(deadlines, began)).await {
        First::Over(outcome) => return outcome,
        First::Late(hedged) => hedged,
    };
    let mut second = pin!(ask(forward, hedged.target(), deadlines));
    let came = tokio::select! {
        biased;
        outcome = attempt.response_head(deadlines, began) => Came::First(outcome),
        answered = second.as_mut() => Came::Second(answered),
    };
    match came {
        Came::First(Err(AttemptFailure::Upstream(failure))) => {
            match second_alone(attempt, second.as_mut()).await.ok_or(AttemptFailure::ClientGone)? {
                Ok(answered) => {
                    if !was_stale(attempt, &failure, None) {
                        journey.note_first_failed(failure.cause(), Instant::now());
                    }
                    adopt(attempt, journey, answered, hedged)
                }
                Err(of_second) => {
                    journey.note_second_failed(&hedged, of_second.cause(), Instant::now());
                    Err(AttemptFailure::Upstream(failure))
                }
            }
        }
        Came::First(outcome) => outcome,
        Came::Second(Ok(answered)) => adopt(attempt, journey, answered, hedged),
        Came::Second(Err(failure)) => {
            journey.note_second_failed(&hedged, failure.cause(), Instant::now());
            drop(hedged);
            attempt.response_head(deadlines, began).await
        }
    }
}

/// The first copy has failed. `None` where the client has gone.
async fn second_alone(
    attempt: &mut Attempt<'_>,
    mut second: Pin<&mut impl Future<Output = Result<Box<Answered>, UpstreamFailure>>>,
) -> Option<Result<Box<Answered>, UpstreamFailure>> {
    poll_fn(|cx| {
        if let Poll::Ready(answered) = second.as_mut().poll(cx) {
            return Poll::Ready(Some(answered));
        }
        attempt.client.poll_gone(cx, attempt.client_buffers).map(|()| None)
    })
    .await
}

/// Puts the second copy in the first one's place, which closes that one's connection.
fn adopt<'j>(
    attempt: &mut Attempt<'_>,
    journey: &mut Journey<'j>,
    answered: Box<Answered>,
    hedged: Hedged<'j>,
) -> Result<Announced, AttemptFailure> {
    (attempt.upstream, attempt.upload_state) = answered.put_into(attempt.upstream_buffers, attempt.response);
    attempt.parser.reset();
    journey.adopt(hedged);
    attempt.announced()
}

/// A connection whose response has begun; what follows the head is in the buffers' input.
pub(super) struct Answered {
    upstream: Upstream,
    buffers: Buffers,
    response: ResponseHead,
    parser: ResponseParser,
}

/// Ends in time by itself, while the first copy keeps the client's watchdog.
async fn ask(
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
