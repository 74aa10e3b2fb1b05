//! What is asked of a request that failed at one target before it goes out again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{BodyRead, BudgetRules, Repeatable};
use crate::cause::{Cause, Causes};
use crate::draws::Draws;
use crate::uptime::micros;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryRules {
    /// Besides the first.
    pub attempts: u32,
    pub causes: Causes,
    pub backoff: Backoff,
    pub budget: BudgetRules,
    /// Bodies up to this size are kept, so that they can be sent again.
    pub replay_bytes: u32,
}

/// Waits between attempts: at random, up to a bound that doubles with each ("full jitter": Brooker, Exponential backoff
/// and jitter, <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    pub base: Duration,
    pub longest: Duration,
}

/// What is known of an attempt that failed.
#[derive(Debug, Clone, Copy)]
pub struct Failed {
    pub cause: Cause,
    pub method: Repeatable,
    /// Whether any byte of the request may have reached the target.
    pub sent: Sent,
    pub body: Replay,
    /// Attempts so far.
    pub attempts: u32,
    /// What the target asked for, with a status.
    pub retry_after: Option<Duration>,
    /// Until the request has to be over.
    pub remaining: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    Nothing,
    Something,
}

/// Whether the request's body can be sent from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    Possible,
    Impossible,
}

impl From<BodyRead> for Replay {
    fn from(body: BodyRead) -> Self {
        match body {
            BodyRead::Untouched => Self::Possible,
            BodyRead::Begun => Self::Impossible,
        }
    }
}

/// Whether the next attempt would be at another target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elsewhere {
    Yes,
    No,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    After(Duration),
    /// In the place of the attempt that failed, which was none: it is not counted.
    AtOnce,
    No,
}

impl Failed {
    /// Whether going on is no load on anybody but who is asked next: where nobody listens nothing was asked of anybody. Each target is
    /// asked once.
    pub(super) fn is_free(&self, elsewhere: Elsewhere) -> bool {
        self.cause == Cause::Refused && self.sent == Sent::Nothing && elsewhere == Elsewhere::Yes
    }
}

impl RetryRules {
    /// Two more attempts, where no connection came about or it broke.
    pub const DEFAULT: Self = Self {
        attempts: 2,
        causes: Causes::RETRIED,
        backoff: Backoff::DEFAULT,
        budget: BudgetRules::DEFAULT,
        replay_bytes: 64 * 1_024,
    };
}

impl Backoff {
    pub const DEFAULT: Self = Self { base: Duration::from_millis(25), longest: Duration::from_millis(250) };

    pub(super) fn wait(self, attempts: u32, random: u64) -> Duration {
        let doublings = attempts.saturating_sub(1).min(20);
        let most = self.base.saturating_mul(1 << doublings).min(self.longest);
        Duration::from_micros(Draws::new(random).below(micros(most) + 1))
    }
}
