//! The queue.
//!
//! Waiting requests are kept by flow: the consumer or key that they are of. Places go round the flows by deficit round
//! robin (Shreedhar, Varghese 1995): a flow has a turn's worth of cost to spend and hands on what it cannot spend. When
//! the queue is full, the newest request of the longest flow makes way, as in stochastic fairness queueing (`McKenney`
//! 1990): who sends most is refused first, and who sends little finds room.
//!
//! Invariants:
//! - *Bounded*: at most `limit` requests are under way, while the limit is not lowered; at most `most_queued` wait.
//! - *Work-conserving*: nobody waits while there is a place.
//! - *First come, first served* within a flow.
//! - *Fair*: of the flows that wait all the time, none gets more than the others by more than the cost of one request
//!   and a turn.
//! - *Once*: a ticket that waits is called, refused or given up exactly once.
//! - *Cheap where it matters*: what an arrival, a refusal or a request that gives up costs grows at most as the logarithm
//!   of how many flows wait. All of that happens under one lock, and most of it in an overload.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use ahash::RandomState;

use super::{ChannelRules, Concurrency, Gradient, Reading};
use crate::uptime::{Uptime, micros};

/// Who requests are of. Derived from the consumer, else the key, else the client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow(pub u128);

/// A request that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrived {
    /// There is a place.
    Go,
    Queued {
        ticket: Ticket,
        until: Uptime,
        /// Of another flow: refused, as that flow has more waiting than any.
        evicted: Option<(Ticket, Full)>,
    },
    Full(Full),
}

/// No place, and no room to wait for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// By then those that wait are likely to be gone.
    pub retry_after: Duration,
}

#[derive(Debug, Default)]
pub struct Channel {
    in_flight: u32,
    queued: u32,
    refused: u64,
    last_ticket: u64,
    /// Those that wait, and some that do no more.
    flows: HashMap<Flow, Waiting, RandomState>,
    /// All of them, each once: the first has its turn.
    round: VecDeque<Flow>,
    /// Those that wait, by how long they are.
    by_length: BTreeMap<Length, Flow>,
    gradient: Option<Gradient>,
    /// Mean of how long a request holds its place, in microseconds; nothing before the first has ended.
    mean_micros: Option<f64>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// In the order of their tickets.
    requests: VecDeque<(Ticket, u32)>,
    deficit: u32,
}

/// How many requests of a flow wait. Of two flows with as many, the one whose newest came last is the longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Length {
    requests: usize,
    newest: Ticket,
}

/// What a flow may spend in its turn.
const TURN: u32 = 1;
/// Of the newest duration in the mean.
const NEWEST: f64 = 0.1;
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(1);
/// Flows that wait no more and are not worth the trouble of taking them out of the round.
const MOST_IDLE: usize = 16;

impl Channel {
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub const fn queued(&self) -> u32 {
        self.queued
    }

    pub fn read(&self, rules: &ChannelRules) -> Reading {
        let &Self { in_flight, queued, refused, .. } = self;
        Reading { limit: self.limit(rules), in_flight, queued, refused }
    }

    pub fn limit(&self, rules: &ChannelRules) -> u32 {
        match &rules.concurrency {
            Concurrency::Fixed(limit) => limit.get(),
            Concurrency::Adaptive(adaptive) => {
                self.gradient.as_ref().map_or(adaptive.initial.get(), |gradient| gradient.limit(adaptive))
            }
        }
    }

    pub fn arrive(&mut self, flow: Flow, cost: u32, rules: &ChannelRules, now: Uptime) -> Arrived {
        if self.take_spare(rules) {
            return Arrived::Go;
        }
        let full = Full { retry_after: self.retry_after(rules) };
        let mut evicted = None;
        if self.queued >= rules.most_queued {
            self.refused += 1;
            let own = self.flows.get(&flow).map_or(0, |waiting| waiting.requests.len());
            match self.evict_from_longest(own) {
                Some(ticket) => evicted = Some((ticket, full)),
                None => return Arrived::Full(full),
            }
        }
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.flows.entry(flow).or_insert_with(|| {
            self.round.push_back(flow);
            Waiting::default()
        });
        self.change(flow, |waiting| waiting.requests.push_back((ticket, cost.max(1))));
        self.queued += 1;
        Arrived::Queued { ticket, until: now.after(rules.longest_wait), evicted }
    }

    /// A place that nobody waits for, if there is one.
    pub fn take_spare(&mut self, rules: &ChannelRules) -> bool {
        let is_spare = self.in_flight < self.limit(rules) && self.queued == 0;
        if is_spare {
            self.in_flight += 1;
        }
        is_spare
    }

    /// A place comes back unused.
    pub const fn decline(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// A request has ended. `latency` is that of a success: it is what an adaptive limit learns from.
    pub fn leave(&mut self, held: Duration, latency: Option<Duration>, rules: &ChannelRules) {
        if let Concurrency::Adaptive(adaptive) = &rules.concurrency
            && let Some(latency) = latency
        {
            let gradient = self.gradient.get_or_insert_with(|| Gradient::new(adaptive));
            gradient.note(latency, self.in_flight, adaptive);
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        let held_micros = f64::from(u32::try_from(micros(held)).unwrap_or(u32::MAX));
        let mean = self.mean_micros.unwrap_or(held_micros);
        self.mean_micros = Some(mean + (held_micros - mean) * NEWEST);
    }

    /// Who goes next, if there is a place: to be asked until it says nobody, after anything has changed. The request has
    /// its place from then on.
    pub fn call(&mut self, rules: &ChannelRules) -> Option<Ticket> {
        if self.in_flight >= self.limit(rules) {
            return None;
        }
        loop {
            let flow = *self.round.front()?;
            let first = self.flows.get_mut(&flow).and_then(|waiting| {
                let &(ticket, cost) = waiting.requests.front()?;
                Some((ticket, cost, &mut waiting.deficit))
            });
            match first {
                None => self.forget_first(),
                Some((ticket, cost, deficit)) if cost <= *deficit => {
                    *deficit -= cost;
                    let is_spent = *deficit == 0;
                    self.change(flow, |waiting| waiting.requests.pop_front());
                    self.queued -= 1;
                    self.in_flight += 1;
                    if self.is_idle(flow) {
                        self.forget_first();
                    } else if is_spent {
                        self.round.rotate_left(1);
                    }
                    return Some(ticket);
                }
                Some((_, cost, deficit)) => {
                    *deficit += TURN;
                    // It has its turn when it comes round again, unless this was enough.
                    if cost > *deficit {
                        self.round.rotate_left(1);
                    }
                }
            }
        }
    }

    /// A request waits no longer: its time is over, or its client has left.
    pub fn give_up(&mut self, flow: Flow, ticket: Ticket) {
        if self.change(flow, |waiting| waiting.take(ticket)) == Some(true) {
            self.queued -= 1;
            self.forget_idle();
        }
    }

    /// Refuses a request that has waited long enough; it gives up besides.
    pub fn refuse_late(&mut self, rules: &ChannelRules) -> Full {
        self.refused += 1;
        Full { retry_after: self.retry_after(rules) }
    }

    /// How long a request that comes now would have to wait, from how long places are held.
    fn retry_after(&self, rules: &ChannelRules) -> Duration {
        let ahead = f64::from(self.queued + 1) / f64::from(self.limit(rules).max(1));
        Duration::from_secs_f64(ahead * self.mean_micros.unwrap_or(0.0) / 1e6).min(LONGEST_RETRY_AFTER)
    }

    /// Takes the newest request out of the flow that has most waiting, if that is more than `own`.
    fn evict_from_longest(&mut self, own: usize) -> Option<Ticket> {
        let (&Length { requests, .. }, &longest) = self.by_length.last_key_value()?;
        if requests <= own + 1 {
            return None;
        }
        let (ticket, _) = self.change(longest, |waiting| waiting.requests.pop_back())??;
        self.queued -= 1;
        Some(ticket)
    }

    /// Changes what waits of a flow, and keeps the order by length.
    fn change<R>(&mut self, flow: Flow, change: impl FnOnce(&mut Waiting) -> R) -> Option<R> {
        let waiting = self.flows.get_mut(&flow)?;
        if let Some(length) = waiting.length() {
            self.by_length.remove(&length);
        }
        let result = change(waiting);
        match waiting.length() {
            Some(length) => {
                self.by_length.insert(length, flow);
            }
            // Nobody saves up for later.
            None => waiting.deficit = 0,
        }
        Some(result)
    }

    fn is_idle(&self, flow: Flow) -> bool {
        self.flows.get(&flow).is_none_or(|waiting| waiting.requests.is_empty())
    }

    fn forget_first(&mut self) {
        if let Some(flow) = self.round.pop_front() {
            self.flows.remove(&flow);
        }
    }

    /// A flow that waits no more leaves the round when its turn comes, or once there are as many of them as of others: to
    /// look for its place in the round each time would be a walk through all flows.
    fn forget_idle(&mut self) {
        if self.round.len() > 2 * self.by_length.len() + MOST_IDLE {
            self.flows.retain(|_, waiting| !waiting.requests.is_empty());
            self.round.retain(|flow| self.flows.contains_key(flow));
        }
    }
}

impl Waiting {
    /// Nothing where nothing waits.
    fn length(&self) -> Option<Length> {
        let &(newest, _) = self.requests.back()?;
        Some(Length { requests: self.requests.len(), newest })
    }

    /// Whether the request was there.
    fn take(&mut self, ticket: Ticket) -> bool {
        let place = self.requests.binary_search_by_key(&ticket, |&(held, _)| held);
        place.is_ok_and(|place| self.requests.remove(place).is_some())
    }
}
