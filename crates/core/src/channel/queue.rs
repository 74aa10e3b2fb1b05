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

use std::collections::{HashMap, VecDeque};
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
    flows: HashMap<Flow, Waiting, RandomState>,
    /// The flows that wait, each once: the first has its turn.
    round: VecDeque<Flow>,
    gradient: Option<Gradient>,
    /// Mean of how long a request holds its place, in microseconds; nothing before the first has ended.
    mean_micros: Option<f64>,
}

#[derive(Debug, Default)]
struct Waiting {
    requests: VecDeque<(Ticket, u32)>,
    deficit: u32,
}

/// What a flow may spend in its turn.
const TURN: u32 = 1;
/// Of the newest duration in the mean.
const NEWEST: f64 = 0.1;
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(1);

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
        let waiting = self.flows.entry(flow).or_default();
        if waiting.requests.is_empty() {
            self.round.push_back(flow);
        }
        waiting.requests.push_back((ticket, cost.max(1)));
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
            let waiting = self.flows.entry(flow).or_default();
            match waiting.requests.front() {
                None => {
                    self.flows.remove(&flow);
                    self.round.pop_front();
                }
                Some(&(ticket, cost)) if cost <= waiting.deficit => {
                    waiting.deficit -= cost;
                    waiting.requests.pop_front();
                    self.queued -= 1;
                    self.in_flight += 1;
                    if waiting.requests.is_empty() {
                        self.flows.remove(&flow);
                        self.round.pop_front();
                    } else if waiting.deficit == 0 {
                        self.round.rotate_left(1);
                    }
                    return Some(ticket);
                }
                Some(_) => {
                    waiting.deficit += TURN;
                    // It has its turn when it comes round again, unless this was enough.
                    if waiting.requests.front().is_some_and(|&(_, cost)| cost > waiting.deficit) {
                        self.round.rotate_left(1);
                    }
                }
            }
        }
    }

    /// A request waits no longer: its time is over, or its client has left.
    pub fn give_up(&mut self, flow: Flow, ticket: Ticket) {
        let Some(waiting) = self.flows.get_mut(&flow) else { return };
        let before = waiting.requests.len();
        waiting.requests.retain(|&(held, _)| held != ticket);
        if waiting.requests.len() < before {
            self.queued -= 1;
        }
        if waiting.requests.is_empty() {
            self.flows.remove(&flow);
            self.round.retain(|&held| held != flow);
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
        let longest = self.round.iter().copied().max_by_key(|flow| self.flows[flow].requests.len())?;
        let waiting = self.flows.get_mut(&longest)?;
        if waiting.requests.len() <= own + 1 {
            return None;
        }
        let (ticket, _) = waiting.requests.pop_back()?;
        self.queued -= 1;
        Some(ticket)
    }
}
