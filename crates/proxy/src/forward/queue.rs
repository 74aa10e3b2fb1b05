//! Waiting for a place among the requests that a service may have at once.

use std::future::poll_fn;
use std::mem;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tollgate_core::channel::{ChannelRules, Flow, Full};
use tollgate_core::snapshot::Snapshot;

use super::UpstreamFailure;
use super::deadlines::{Deadlines, Spent};
use super::journey::whole_secs;
use super::send::{Forward, Sides};
use crate::live::{Entered, LocalService, Lookup, Place, Waiter};
use crate::rejection::Rejection;

/// How often one that waits looks whether what it waits for was edited.
const LOOKS_EVERY: Duration = Duration::from_millis(100);

pub(super) enum Entry<'q> {
    Open {
        /// `None` where the service has as many requests as come.
        place: Option<Place<'q>>,
        at: Instant,
        waited: Waited,
    },
    ClientGone,
}

/// Whether there was time for an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    No,
    Yes,
}

impl<'q> Entry<'q> {
    fn at_once(place: Option<Place<'q>>, at: Instant) -> Self {
        Self::Open { place, at, waited: Waited::No }
    }

    fn later(place: Option<Place<'q>>) -> Self {
        Self::Open { place, at: Instant::now(), waited: Waited::Yes }
    }
}

pub(super) async fn enter<'q>(
    forward: &Forward<'q, '_>,
    sides: &mut Sides<'_>,
    live: &'q Lookup<'q>,
    deadlines: &Deadlines,
) -> Result<Entry<'q>, Rejection> {
    if deadlines.is_total_past_at(forward.admitted_at) {
        return Err(Rejection::Upstream(UpstreamFailure::TotalTimeout(Spent::Elsewhere)));
    }
    match forward.selected.service.channel() {
        None => Ok(Entry::at_once(None, forward.admitted_at)),
        // Boxed: few services have a queue, and its state would make every connection's task larger.
        Some(rules) => Box::pin(wait(forward, sides, live.get(), rules, deadlines)).await,
    }
}

async fn wait<'q>(
    forward: &Forward<'_, '_>,
    sides: &mut Sides<'_>,
    live: &'q LocalService,
    rules: &ChannelRules,
    deadlines: &Deadlines,
) -> Result<Entry<'q>, Rejection> {
    let flow = Flow(forward.admitted.caller.subject.0.as_u128());
    let came = forward.admitted_at;
    let queue = &live.shared.queue;
    let uptime = forward.worker.gateway.live.uptime(came);
    let in_force = || current_rules(forward).unwrap_or(*rules);
    let mut waiter = match queue.enter(flow, uptime, in_force).map_err(refused)? {
        Entered::Place(place) => return Ok(Entry::at_once(Some(place), came)),
        Entered::Waits(waiter) => waiter,
    };
    let longest = waiter.until.since(uptime);
    let deadline = deadlines.nearer(came + longest);
    let (mut seen, mut look_at) = (forward.snapshot.revision(), came + LOOKS_EVERY);
    let late = || {
        let Full { retry_after } = queue.refuse_late(rules);
        Rejection::QueuedTooLong { retry_after_secs: whole_secs(retry_after) }
    };
    poll_fn(|cx| {
        match poll_turn(&mut waiter, deadlines, cx) {
            Poll::Ready(Turn::Called(called)) => {
                return Poll::Ready(called.map(|place| Entry::later(Some(place))).map_err(refused));
            }
            Poll::Ready(Turn::TooLate) => return Poll::Ready(Err(late())),
            Poll::Pending => {}
        }
        if sides.poll_gone(cx, forward.request).is_ready() {
            return Poll::Ready(Ok(Entry::ClientGone));
        }
        while sides.client.watchdog.poll_past(cx, deadline.min(look_at)).is_ready() {
            let now = Instant::now();
            if now >= deadline {
                return Poll::Ready(Err(late()));
            }
            look_at = now + LOOKS_EVERY;
            let revision = forward.worker.snapshot().revision();
            if mem::replace(&mut seen, revision) == revision {
                continue;
            }
            if current_rules(forward).is_none() {
                return Poll::Ready(Ok(Entry::later(None)));
            }
            // Perhaps this very request is let in by it, and is woken then.
            queue.edited(|| current_rules(forward));
        }
        Poll::Pending
    })
    .await
}

/// As the service has them now; `None` where it has none any more, or is gone.
fn current_rules(forward: &Forward<'_, '_>) -> Option<ChannelRules> {
    let snapshot = forward.worker.snapshot();
    // Nearly always: nobody looks anything up while all others wait for the queue.
    if std::ptr::eq::<Snapshot>(&raw const **snapshot, forward.snapshot) {
        return forward.selected.service.channel().copied();
    }
    forward.selected.renewed(&snapshot)?.service.channel().copied()
}

enum Turn<'q> {
    Called(Result<Place<'q>, Full>),
    TooLate,
}

/// Called or not, a request whose total time is over comes to no target any more: with its waiter, its place goes to the next.
fn poll_turn<'q>(waiter: &mut Waiter<'q>, deadlines: &Deadlines, cx: &mut Context<'_>) -> Poll<Turn<'q>> {
    if deadlines.is_total_past() {
        return Poll::Ready(Turn::TooLate);
    }
    waiter.poll_called(cx).map(Turn::Called)
}

fn refused(full: Full) -> Rejection {
    let Full { retry_after } = full;
    Rejection::ChannelFull { retry_after_secs: whole_secs(retry_after) }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::task::Waker;

    use tollgate_core::channel::Concurrency;
    use tollgate_core::uptime::Uptime;

    use super::*;
    use crate::live::Queue;

    const ONE_AT_ONCE: ChannelRules = ChannelRules {
        concurrency: Concurrency::Fixed(NonZeroU32::MIN),
        most_queued: 9,
        longest_wait: Duration::from_secs(1),
    };

    fn until(total: Option<Instant>) -> Deadlines {
        let usual = Duration::from_secs(1);
        Deadlines { connect: usual, first_byte: usual, idle: usual, received: Instant::now(), total }
    }

    #[test]
    fn a_place_that_comes_too_late_goes_to_the_next_in_time() {
        let queue = Queue::default();
        let enter = || queue.enter(Flow(1), Uptime(0), || ONE_AT_ONCE).ok();
        let holder = enter();
        let (Some(Entered::Waits(mut late)), Some(Entered::Waits(mut in_time))) = (enter(), enter()) else {
            panic!("they should wait");
        };
        let cx = &mut Context::from_waker(Waker::noop());
        drop(holder);
        let turn = poll_turn(&mut late, &until(Some(Instant::now())), cx);
        assert!(matches!(turn, Poll::Ready(Turn::TooLate)));
        drop(late);
        let turn = poll_turn(&mut in_time, &until(None), cx);
        assert!(matches!(turn, Poll::Ready(Turn::Called(Ok(_)))));
    }
}
