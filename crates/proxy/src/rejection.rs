//! Every way in which the gateway itself ends a request; how each looks is in `appearance`.

mod appearance;

use tollgate_core::limit::{Level, Refusal};
use tollgate_core::time::UnixMicros;
use tollgate_core::token::TokenError;

pub(crate) use self::appearance::Appearance;
use crate::admit::Limits;
use crate::failures::TooManyFailures;
use crate::forward::UpstreamFailure;
use crate::message::{TimeTexts, push_limit_lines};

#[derive(Debug)]
pub(crate) enum Rejection {
    // The client's doing.
    Malformed(&'static str),
    RequestLineTooLong,
    HeadTooLarge,
    TrailersTooLarge,
    BodyTooLarge,
    /// The client was slower than it may be with its head or body.
    TooSlow,
    ExpectationFailed,
    /// An https resource, asked for in clear.
    Misdirected,
    ConnectRefused,
    /// A resource of the gateway's that can only be read.
    ReadOnly,
    /// A resource of the gateway's that makes something.
    PostOnly,
    Loop,
    NoSuchService,
    /// A route is for these methods, as `Allow` lists them.
    MethodNotAllowed(Box<str>),
    NoCredential,
    UnknownKey,
    KeyExpired,
    /// Why is for the log.
    TokenNotValid(TokenError),
    KeyNotForService,
    KeyNotForRoute,
    KeyNotFromHere,
    /// Too many of these came from the client's address.
    TooManyFailures(TooManyFailures),
    UnknownConsumer,
    ConsumerNotAllowed,
    RateLimited(Box<RateLimited>),
    // The gateway's.
    /// The node has all the requests or connections that it may.
    Overloaded,
    /// Nothing is known yet of what there is to serve.
    NotStarted,
    NoPlan,
    /// The store that counts limits cannot be reached, and the plan lets nothing through then.
    CounterStoreDown,
    NoSigningKey,
    /// Nothing is there to verify a token of another issuer with.
    IssuerUnavailable,
    Panicked,
    // The upstream's.
    NoTarget,
    /// The service has failed too often of late.
    CircuitOpen {
        retry_after_secs: u64,
    },
    /// The same, and as many requests as may try whether it is well again are under way.
    CircuitProbed {
        retry_after_secs: u64,
    },
    /// The service has as many requests as it may have, and as many wait.
    ChannelFull {
        retry_after_secs: u64,
    },
    /// The service had no place for the request in time.
    QueuedTooLong {
        retry_after_secs: u64,
    },
    Upstream(UpstreamFailure),
}

/// Whose doing an outcome was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Client,
    Gateway,
    Upstream,
}

/// What the client of a refused request is told.
#[derive(Debug)]
pub(crate) struct RateLimited {
    /// Whose limit it was.
    pub level: Level,
    pub limit_type: Box<str>,
    pub limit: u64,
    pub used: u64,
    pub reset_secs: u64,
    pub retry_after_secs: u64,
    /// The field lines of the contract, for all limits that apply.
    pub lines: Vec<u8>,
}

/// Requests end at any moment, so that trying again soon may do.
const CONCURRENCY_RETRY_SECS: u64 = 1;

impl RateLimited {
    pub fn by_limit(limits: &Limits<'_>, refusal: Refusal, now: UnixMicros, times: &TimeTexts) -> Rejection {
        // A refusal always names one of the rules; fail closed if it did not.
        let Some((level, rule, standing)) = limits.rules().nth(refusal.rule) else {
            return Rejection::NoPlan;
        };
        Rejection::RateLimited(Box::new(Self {
            level,
            limit_type: rule.name.clone(),
            limit: rule.requests,
            used: rule.used(standing),
            reset_secs: standing.reset_secs,
            retry_after_secs: refusal.retry_after_secs(),
            lines: lines(limits, now, times),
        }))
    }

    /// As many requests are under way as the demand of this place allows at once.
    pub fn by_concurrency(
        limits: &Limits<'_>,
        demand: usize,
        now: UnixMicros,
        times: &TimeTexts,
    ) -> Rejection {
        let refusing = limits.demands().get(demand).map(|demand| demand.limits);
        let Some((level, most)) = refusing.and_then(|limits| Some((limits.level, limits.concurrency?)))
        else {
            return Rejection::NoPlan;
        };
        Rejection::RateLimited(Box::new(Self {
            level,
            limit_type: "concurrency".into(),
            limit: most.get().into(),
            used: most.get().into(),
            reset_secs: now.secs() + CONCURRENCY_RETRY_SECS,
            retry_after_secs: CONCURRENCY_RETRY_SECS,
            lines: lines(limits, now, times),
        }))
    }
}

fn lines(limits: &Limits<'_>, now: UnixMicros, times: &TimeTexts) -> Vec<u8> {
    let mut lines = Vec::new();
    push_limit_lines(&mut lines, limits, now, times);
    lines
}

impl Rejection {
    /// Whether it is for what the caller's key may do, or for a limit.
    pub const fn is_of_key(&self) -> bool {
        matches!(
            self,
            Self::KeyNotForService | Self::KeyNotForRoute | Self::KeyNotFromHere | Self::RateLimited(_)
        )
    }

    /// Whether, of a request that was charged, no target has seen anything: the service takes it from nobody now, or while it
    /// waited the service or the caller has gone, or what the caller may do. That is a refusal, which is never charged.
    pub const fn is_refusal_before_target(&self) -> bool {
        matches!(
            self,
            Self::NoSuchService
                | Self::NoTarget
                | Self::CircuitOpen { .. }
                | Self::CircuitProbed { .. }
                | Self::ChannelFull { .. }
                | Self::QueuedTooLong { .. }
                | Self::NoCredential
                | Self::UnknownKey
                | Self::KeyExpired
                | Self::KeyNotForService
                | Self::KeyNotForRoute
                | Self::KeyNotFromHere
                | Self::UnknownConsumer
                | Self::ConsumerNotAllowed
                | Self::TokenNotValid(_)
                | Self::NoPlan
                | Self::IssuerUnavailable
        )
    }

    /// Whether a credential was tried that is none.
    pub const fn is_failed_credential(&self) -> bool {
        matches!(self, Self::UnknownKey | Self::KeyExpired | Self::TokenNotValid(_))
    }
}
