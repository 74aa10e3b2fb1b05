//! Until when each part of an exchange has to be over, and where the time went where it was not.

use std::time::{Duration, Instant};

use super::UpstreamFailure;

/// How long each part may take; from the service, else from the settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    pub connect: Duration,
    pub first_byte: Duration,
    pub idle: Duration,
    pub received: Instant,
    pub total: Option<Instant>,
}

/// Where most of the time of a request went that took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spent {
    AtTarget,
    /// Waiting for an issuer's keys, the counter store or the client, in the gateway's queue, between attempts, or at other
    /// targets.
    Elsewhere,
}

impl Deadlines {
    pub fn nearer(&self, deadline: Instant) -> Instant {
        self.total.map_or(deadline, |total| total.min(deadline))
    }

    /// How long a connection that is begun now may take.
    pub fn connect_within(&self, now: Instant) -> Duration {
        self.nearer(now + self.connect).saturating_duration_since(now)
    }

    pub fn is_total_past(&self) -> bool {
        self.total.is_some_and(|total| Instant::now() >= total)
    }

    pub fn is_total_past_at(&self, instant: Instant) -> bool {
        self.total.is_some_and(|total| instant >= total)
    }

    /// Of a request that has waited for nothing but its target since then, for longer than it may: `own` is what that is called
    /// where its total time is not over.
    pub fn timeout(&self, waiting_since: Instant, own: UpstreamFailure) -> UpstreamFailure {
        if !self.is_total_past() {
            return own;
        }
        let elsewhere = waiting_since.saturating_duration_since(self.received);
        let at_target = waiting_since.elapsed();
        UpstreamFailure::TotalTimeout(if at_target < elsewhere { Spent::Elsewhere } else { Spent::AtTarget })
    }
}
