//! The circuit breaker of a service, or of each of its targets (Nygard: Release It!, 2007): who fails gets no requests
//! for a while, then a few, and all again once these succeed.
//!
//! ```text
//! CLOSED --failures--> OPEN --recovery timeout--> HALF_OPEN --successes--> CLOSED
//!                       ^-------------a failure------'
//! ```
//!
//! [`Breaker`] is what workers share; [`machine`] decides.

mod machine;
mod shared;

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use machine::{Refused, State, Transition};
pub use shared::{Breaker, Permit, Reading};

use crate::outlier::ErrorRatio;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerRules {
    pub per: Per,
    pub trip: Trip,
    /// How long it is open.
    pub recovery: Duration,
    /// Requests at once while it is half open.
    pub probes: NonZeroU32,
    /// Successes that close it.
    pub successes: NonZeroU32,
}

/// Whose breaker it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Per {
    #[default]
    Service,
    /// Each target has one of its own.
    Target,
}

/// What opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trip {
    /// So many failures with no success between them.
    Consecutive(NonZeroU32),
    /// So many within the window, whatever succeeds meanwhile.
    Count {
        failures: NonZeroU32,
        window: Duration,
    },
    Ratio(ErrorRatio),
}

impl BreakerRules {
    /// Five failures in a row, half a minute, three successes.
    pub const DEFAULT: Self = Self {
        per: Per::Service,
        trip: Trip::Consecutive(NonZeroU32::new(5).unwrap()),
        recovery: Duration::from_secs(30),
        probes: NonZeroU32::new(3).unwrap(),
        successes: NonZeroU32::new(3).unwrap(),
    };
}

#[cfg(test)]
mod tests;
