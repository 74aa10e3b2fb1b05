//! Request channelling: so many requests of a service at once, then a queue that is bounded, ends in time, and is fair.
//!
//! [`Channel`] decides; whoever runs it wakes the requests that it names. It is one machine for all workers, under a
//! lock that only services with a channel take.

mod gradient;
mod queue;

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use gradient::{Gradient, GradientRules};
pub use queue::{Arrived, Channel, Flow, Full, Ticket};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelRules {
    pub concurrency: Concurrency,
    /// Requests that wait.
    pub most_queued: u32,
    /// How long one waits at most.
    pub longest_wait: Duration,
}

/// What people see of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Most requests at once, as it is now.
    pub limit: u32,
    pub in_flight: u32,
    pub queued: u32,
    /// Refused so far: there was no room to wait, or no place in time.
    pub refused: u64,
}

/// Most requests at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Concurrency {
    Fixed(NonZeroU32),
    /// As many as the latencies allow.
    Adaptive(GradientRules),
}

#[cfg(test)]
mod tests;
