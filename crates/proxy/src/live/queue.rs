//! The channel of a service as workers share it: who has a place, and who waits for one.

use std::cell::Cell;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ahash::RandomState;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tollgate_core::channel::{Arrived, Channel, ChannelRules, Flow, Full, Reading, Ticket};
use tollgate_core::uptime::Uptime;

#[derive(Default)]
pub(crate) struct Queue(Mutex<State>);

#[derive(Default)]
struct State {
    channel: Channel,
    waiting: HashMap<Ticket, oneshot::Sender<Called>, RandomState>,
    /// In force for all, also for those that came before an edit.
    rules: Option<ChannelRules>,
}

/// What a request that waits is told.
#[derive(Debug)]
enum Called {
    Go,
    Refused(Full),
}

pub(crate) enum Entered<'q> {
    Place(Place<'q>),
    Waits(Waiter<'q>),
}

/// One of the requests that there may be at once, until it is dropped.
pub(crate) struct Place<'q> {
    queue: &'q Queue,
    since: Instant,
    latency: Cell<Option<Duration>>,
    is_held: Cell<bool>,
}

/// One of the requests that wait. Dropped, it waits no longer.
pub(crate) struct Waiter<'q> {
    queue: &'q Queue,
    flow: Flow,
    ticket: Ticket,
    called: oneshot::Receiver<Called>,
    /// When it has waited long enough.
    pub until: Uptime,
}

impl Queue {
    /// `rules` gives those in force. It is asked under the lock, so that nobody brings older ones back than another has brought.
    pub fn enter(
        &self,
        flow: Flow,
        now: Uptime,
        rules: impl FnOnce() -> ChannelRules,
    ) -> Result<Entered<'_>, Full> {
        let mut state = self.0.lock();
        let rules = rules();
        state.rules = Some(rules);
        match state.channel.arrive(flow, 1, &rules, now) {
            Arrived::Go => Ok(Entered::Place(Place::new(self))),
            Arrived::Full(full) => Err(full),
            Arrived::Queued { ticket, until, evicted } => {
                let (sender, called) = oneshot::channel();
                state.waiting.insert(ticket, sender);
                if let Some((evicted, full)) = evicted
                    && let Some(evicted) = state.waiting.remove(&evicted)
                {
                    // Where it has just given up, nobody is there to be told.
                    drop(evicted.send(Called::Refused(full)));
                }
                // A limit that was raised may have left a place free.
                state.call();
                Ok(Entered::Waits(Waiter { queue: self, flow, ticket, called, until }))
            }
        }
    }

    /// Takes over edited rules, and lets in whoever there is a place for by them. Those of before stay where `rules` knows none.
    pub fn edited(&self, rules: impl FnOnce() -> Option<ChannelRules>) {
        let mut state = self.0.lock();
        state.rules = rules().or(state.rules);
        state.call();
    }

    /// A place that nobody waits for, if there is one. Whoever asks came a while ago: its rules count where there are none.
    pub fn spare(&self, rules: &ChannelRules) -> Option<Place<'_>> {
        let mut state = self.0.lock();
        let State { channel, rules: newest, .. } = &mut *state;
        channel.take_spare(newest.get_or_insert(*rules)).then(|| Place::new(self))
    }

    pub fn read(&self, rules: &ChannelRules) -> Reading {
        self.0.lock().channel.read(rules)
    }

    /// What a request is told that has waited long enough.
    pub fn refuse_late(&self, rules: &ChannelRules) -> Full {
        self.0.lock().channel.refuse_late(rules)
    }
}

impl State {
    /// Lets in whoever there is a place for.
    fn call(&mut self) {
        let Some(rules) = &self.rules else { return };
        while let Some(ticket) = self.channel.call(rules) {
            let is_told = self.waiting.remove(&ticket).is_some_and(|called| called.send(Called::Go).is_ok());
            if !is_told {
                self.channel.decline();
            }
        }
    }

    /// A place is free again: the next has it.
    fn leave(&mut self, took: Duration, latency: Option<Duration>) {
        if let Some(rules) = &self.rules {
            self.channel.leave(took, latency, rules);
        }
        self.call();
    }
}

impl<'q> Place<'q> {
    fn new(queue: &'q Queue) -> Self {
        Self { queue, since: Instant::now(), latency: Cell::default(), is_held: Cell::new(true) }
    }

    /// How long the service took to answer: what an adaptive limit learns from.
    pub fn answered_in(&self, latency: Duration) {
        self.latency.set(Some(latency));
    }

    /// Gives it back unused: how long it was held says nothing.
    pub fn decline(self) {
        if self.is_held.replace(false) {
            let mut state = self.queue.0.lock();
            state.channel.decline();
            state.call();
        }
    }

    /// Gives it to the next that waits, once.
    pub fn release(&self) {
        if !self.is_held.replace(false) {
            return;
        }
        self.queue.0.lock().leave(self.since.elapsed(), self.latency.get());
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

impl<'q> Waiter<'q> {
    /// Its place, or that another's request has taken its room in the queue.
    pub fn poll_called(&mut self, cx: &mut Context<'_>) -> Poll<Result<Place<'q>, Full>> {
        Pin::new(&mut self.called).poll(cx).map(|called| match called {
            Ok(Called::Go) => Ok(Place::new(self.queue)),
            Ok(Called::Refused(full)) => Err(full),
            // The sender goes only with its message, or with the queue.
            Err(_) => Err(Full { retry_after: Duration::ZERO }),
        })
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.0.lock();
        if state.waiting.remove(&self.ticket).is_some() {
            state.channel.give_up(self.flow, self.ticket);
        } else if matches!(self.called.try_recv(), Ok(Called::Go)) {
            // It was called and did not hear of it.
            state.channel.decline();
            state.call();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::task::Waker;

    use tollgate_core::channel::Concurrency;

    use super::*;

    const ONE_AT_ONCE: ChannelRules = ChannelRules {
        concurrency: Concurrency::Fixed(NonZeroU32::MIN),
        most_queued: 9,
        longest_wait: Duration::from_secs(1),
    };

    fn wait(queue: &Queue) -> Waiter<'_> {
        match queue.enter(Flow(1), Uptime(0), || ONE_AT_ONCE) {
            Ok(Entered::Waits(waiter)) => waiter,
            Ok(Entered::Place(_)) | Err(_) => panic!("it should wait"),
        }
    }

    fn has_place(waiter: &mut Waiter<'_>) -> bool {
        waiter.poll_called(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn rules_are_looked_up_where_nobody_can_bring_newer_ones_meanwhile() {
        let queue = Queue::default();
        let is_locked = || queue.0.try_lock().is_none();
        let place = queue.enter(Flow(1), Uptime(0), || {
            assert!(is_locked());
            ONE_AT_ONCE
        });
        queue.edited(|| {
            assert!(is_locked());
            Some(ONE_AT_ONCE)
        });
        drop(place);
    }

    #[test]
    fn who_asks_for_a_spare_place_brings_no_old_rules_back() {
        let queue = Queue::default();
        let two = NonZeroU32::MIN.saturating_add(1);
        let two_at_once = ChannelRules { concurrency: Concurrency::Fixed(two), ..ONE_AT_ONCE };
        let enter = || queue.enter(Flow(1), Uptime(0), || two_at_once).ok();
        let (first, _second) = (enter(), enter());
        let Some(Entered::Waits(mut waiter)) = enter() else { panic!("it should wait") };
        assert!(queue.spare(&ONE_AT_ONCE).is_none());
        drop(first);
        assert!(has_place(&mut waiter));
    }

    #[test]
    fn a_place_that_was_not_used_says_nothing_of_how_long_places_are_held() {
        let (queue, rules) = (Queue::default(), ChannelRules { most_queued: 0, ..ONE_AT_ONCE });
        let enter = || queue.enter(Flow(1), Uptime(0), || rules);
        let Ok(Entered::Place(mut place)) = enter() else { panic!("there is a place") };
        place.since -= Duration::from_secs(1);
        drop(place);
        for _ in 0..20 {
            queue.spare(&rules).unwrap().decline();
        }
        let _place = enter();
        let Err(Full { retry_after }) = enter() else { panic!("there is no other place") };
        assert!(retry_after >= Duration::from_millis(900), "{retry_after:?}");
    }

    #[test]
    fn a_place_that_nobody_takes_goes_to_the_next_that_waits() {
        let queue = Queue::default();
        let place = queue.enter(Flow(1), Uptime(0), || ONE_AT_ONCE).ok();
        let (gone, called, mut next) = (wait(&queue), wait(&queue), wait(&queue));
        drop(gone);
        drop(place);
        assert!(!has_place(&mut next), "it is the turn of another");
        // Its client leaves in the moment in which it is called.
        drop(called);
        assert!(has_place(&mut next));
        drop(next);
        assert!(matches!(queue.enter(Flow(1), Uptime(0), || ONE_AT_ONCE), Ok(Entered::Place(_))));
    }
}
