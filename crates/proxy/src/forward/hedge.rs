//! A request that is late gets a second copy at another target, and whichever copy answers first is passed on. The
//! other is cancelled: its connection closes.

mod second;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Instant;

use tokio::time::sleep_until;
use tollgate_core::hedge::HedgeRules;

use self::second::{Answered, ask};

use super::UpstreamFailure;
use super::announced::Announced;
use super::attempt::{Attempt, AttemptFailure, Upload};
use super::connect::was_stale;
use super::deadlines::Deadlines;
use super::journey::{Hedged, Journey};
use super::send::Forward;

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
