//! Waiting for a place among the requests that a service may have at once.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

use tollgate_core::channel::{ChannelRules, Flow, Full};

use super::attempt::Deadlines;
use super::journey::whole_secs;
use super::send::{Forward, Sides};
use crate::live::{Entered, LocalService, Lookup, Place};
use crate::rejection::Rejection;

pub(super) enum Entry<'q> {
    Open {
        /// `None` where the service has as many requests as come.
        place: Option<Place<'q>>,
        at: Instant,
    },
    ClientGone,
}

pub(super) async fn enter<'q>(
    forward: &Forward<'q, '_>,
    sides: &mut Sides<'_>,
    live: &'q Lookup<'q>,
    deadlines: &Deadlines,
) -> Result<Entry<'q>, Rejection> {
    match forward.selected.service.channel() {
        None => Ok(Entry::Open { place: None, at: forward.received.instant }),
        // Boxed: few services have a queue, and its state would make every connection's task larger.
        Some(rules) => Box::pin(wait(forward, sides, live.get(), rules, deadlines)).await,
    }
}

async fn wait<'q>(
    forward: &Forward<'_, '_>,
    sides: &mut Sides<'_>,
    live: &'q LocalService,
    rules: &'q ChannelRules,
    deadlines: &Deadlines,
) -> Result<Entry<'q>, Rejection> {
    let flow = Flow(forward.admitted.caller.subject.0.as_u128());
    let received = forward.received.instant;
    let queue = &live.shared.queue;
    let uptime = forward.worker.gateway.live.uptime(received);
    let mut waiter = match queue.enter(flow, rules, uptime).map_err(refused)? {
        Entered::Place(place) => return Ok(Entry::Open { place: Some(place), at: received }),
        Entered::Waits(waiter) => waiter,
    };
    let longest = waiter.until.since(uptime);
    let deadline = deadlines.nearer(received + longest);
    let has_body = forward.request.has_body();
    poll_fn(|cx| {
        if let Poll::Ready(called) = waiter.poll_called(cx) {
            return Poll::Ready(
                called.map(|place| Entry::Open { place: Some(place), at: Instant::now() }).map_err(refused),
            );
        }
        // Of a body on its way nothing is read before there is somewhere to send it.
        let gone = if has_body {
            sides.client.poll_closed(cx)
        } else {
            sides.client.poll_gone(cx, sides.client_buffers)
        };
        if gone.is_ready() {
            return Poll::Ready(Ok(Entry::ClientGone));
        }
        sides.client.watchdog.poll_past(cx, deadline).map(|()| {
            let Full { retry_after } = queue.refuse_late(rules);
            Err(Rejection::QueuedTooLong { retry_after_secs: whole_secs(retry_after) })
        })
    })
    .await
}

fn refused(full: Full) -> Rejection {
    let Full { retry_after } = full;
    Rejection::ChannelFull { retry_after_secs: whole_secs(retry_after) }
}
