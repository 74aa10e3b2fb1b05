//! A request's body, given so much time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::phase::Phases;

/// Slower than this nobody sends who means to.
const BYTES_A_SECOND: u64 = 1 << 10;

pub struct TimedBody {
    incoming: Incoming,
    phases: Phases,
    within: Duration,
    /// Runs from the first time that it is waited for.
    clock: Option<Clock>,
}

/// The body came too slowly.
#[derive(Debug, thiserror::Error)]
#[error("the body came too slowly")]
pub struct TooSlow;

struct Clock {
    since: Instant,
    arrived_bytes: u64,
    deadline: Pin<Box<Sleep>>,
}

impl TimedBody {
    pub fn new(incoming: Incoming, phases: Phases, within: Duration) -> Self {
        if incoming.is_end_stream() {
            phases.answering();
        } else {
            phases.body();
        }
        Self { incoming, phases, within, clock: None }
    }
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { incoming, phases, within, clock } = self.get_mut();
        let clock = clock.get_or_insert_with(|| Clock::new(*within));
        let polled = Pin::new(&mut *incoming).poll_frame(context);
        match &polled {
            Poll::Pending => {
                return clock.deadline.as_mut().poll(context).map(|()| Some(Err(TooSlow.into())));
            }
            Poll::Ready(Some(Ok(frame))) => clock.arrived(frame.data_ref().map_or(0, Bytes::len), *within),
            Poll::Ready(Some(Err(_)) | None) => {}
        }
        if incoming.is_end_stream() {
            phases.answering();
        }
        polled.map_err(BoxError::from)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Clock {
    fn new(within: Duration) -> Self {
        let since = Instant::now();
        Self { since, arrived_bytes: 0, deadline: Box::pin(sleep_until(since + within)) }
    }

    fn arrived(&mut self, bytes: usize, within: Duration) {
        self.arrived_bytes = self.arrived_bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        let earned = Duration::from_secs(self.arrived_bytes / BYTES_A_SECOND);
        let next = (Instant::now() + within).min(self.since + within + earned);
        self.deadline.as_mut().reset(next);
    }
}
