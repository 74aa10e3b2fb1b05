//! Every way in which the gateway itself ends a request, and the one place that says how each looks.

use tollgate_core::limit::{Level, Refusal};
use tollgate_core::time::UnixMicros;
use tollgate_core::token::TokenError;

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

/// How a rejection looks to the client.
pub(crate) struct Appearance {
    pub status: u16,
    pub origin: Origin,
    pub message: std::borrow::Cow<'static, str>,
    /// Error type of `Proxy-Status` (RFC 9209 section 2.3).
    pub proxy_error: &'static str,
    pub retry_after_secs: Option<u64>,
}

/// Requests end at any moment, so that trying again soon may do.
const CONCURRENCY_RETRY_SECS: u64 = 1;
const OVERLOADED_RETRY_SECS: u64 = 1;

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

    pub fn appearance(&self) -> Appearance {
        use Origin::{Client, Gateway, Upstream};
        let plain = |status, origin, message: &'static str| Appearance {
            status,
            origin,
            message: message.into(),
            proxy_error: usual_error(status),
            retry_after_secs: None,
        };
        let full = |retry_after_secs, message| Appearance {
            proxy_error: "connection_limit_reached",
            retry_after_secs: Some(retry_after_secs),
            ..plain(503, Gateway, message)
        };
        let unavailable = |retry_after_secs, message| Appearance {
            proxy_error: "destination_unavailable",
            retry_after_secs: Some(retry_after_secs),
            ..plain(503, Upstream, message)
        };
        match self {
            Self::Malformed(what) => {
                Appearance { message: format!("Malformed request: {what}").into(), ..plain(400, Client, "") }
            }
            Self::RequestLineTooLong => plain(414, Client, "The request line is too long"),
            Self::HeadTooLarge => plain(431, Client, "The header fields are too large or too many"),
            Self::BodyTooLarge => plain(413, Client, "The request body is larger than this service accepts"),
            Self::TooSlow => plain(408, Client, "The request did not arrive in time"),
            Self::ExpectationFailed => plain(417, Client, "The only expectation that is met is 100-continue"),
            Self::Misdirected => plain(421, Client, "An https resource is not served over plain HTTP"),
            Self::ConnectRefused => plain(405, Client, "CONNECT is not allowed: this is no forward proxy"),
            Self::ReadOnly => plain(405, Client, "Only GET and HEAD are allowed here"),
            Self::PostOnly => plain(405, Client, "Only POST is allowed here"),
            Self::Loop => Appearance {
                proxy_error: "proxy_loop_detected",
                ..plain(508, Gateway, "The request came back to this gateway: its target leads here")
            },
            Self::NoSuchService => plain(404, Client, "No such tenant, service or route"),
            Self::MethodNotAllowed(_) => plain(405, Client, "This method is not allowed here"),
            Self::NoCredential => plain(401, Client, "An API key is required"),
            Self::UnknownKey => plain(403, Client, "The API key is not valid here"),
            Self::KeyExpired => plain(403, Client, "The API key has expired"),
            Self::TokenNotValid(_) => plain(403, Client, "The token is not valid"),
            Self::TooManyFailures(TooManyFailures { retry_after_secs }) => Appearance {
                retry_after_secs: Some(*retry_after_secs),
                ..plain(429, Client, "Too many failed credentials from this address")
            },
            Self::KeyNotForService => plain(403, Client, "The API key is not valid for this service"),
            Self::KeyNotForRoute => plain(403, Client, "The API key is not valid for this method and path"),
            Self::KeyNotFromHere => plain(403, Client, "The API key is not valid from this address"),
            Self::UnknownConsumer => plain(403, Client, "X-Client-ID names no consumer"),
            Self::ConsumerNotAllowed => {
                plain(403, Client, "This credential cannot speak for the consumer that X-Client-ID names")
            }
            Self::RateLimited(limited) => Appearance {
                message: format!("Rate limit exceeded: {} limit reached", limited.limit_type).into(),
                retry_after_secs: Some(limited.retry_after_secs),
                ..plain(429, Client, "")
            },
            Self::Overloaded => full(OVERLOADED_RETRY_SECS, "This node is overloaded"),
            Self::NotStarted => Appearance {
                retry_after_secs: Some(1),
                ..plain(503, Gateway, "This node has not heard from its control plane yet")
            },
            Self::NoPlan => Appearance {
                proxy_error: "proxy_configuration_error",
                ..plain(500, Gateway, "The plan of this key is missing")
            },
            Self::CounterStoreDown => Appearance {
                retry_after_secs: Some(1),
                ..plain(503, Gateway, "Limits cannot be counted now: the counter store is down")
            },
            Self::NoSigningKey => Appearance {
                retry_after_secs: Some(1),
                ..plain(503, Gateway, "There is no key to sign tokens with yet")
            },
            Self::IssuerUnavailable => Appearance {
                retry_after_secs: Some(5),
                ..plain(503, Gateway, "The token cannot be verified now: its issuer's keys are not available")
            },
            Self::Panicked => plain(500, Gateway, "The gateway failed"),
            Self::NoTarget => unavailable(1, "The service has no target that takes requests"),
            Self::CircuitOpen { retry_after_secs } => {
                unavailable(*retry_after_secs, "The service has failed too often: its circuit is open")
            }
            Self::CircuitProbed { retry_after_secs } => unavailable(
                *retry_after_secs,
                "The service has failed too often: its circuit is half open, and other requests try it",
            ),
            Self::ChannelFull { retry_after_secs } => {
                full(*retry_after_secs, "The service has all the requests it may have, and too many wait")
            }
            Self::QueuedTooLong { retry_after_secs } => full(
                *retry_after_secs,
                "The service has all the requests it may have, and the wait was too long",
            ),
            Self::Upstream(failure) => {
                let (status, message, proxy_error) = failure.appearance();
                Appearance { proxy_error, ..plain(status, failure.origin(), message) }
            }
        }
    }
}

/// Where nothing more is known than the status.
const fn usual_error(status: u16) -> &'static str {
    match status {
        401 | 403 | 429 => "http_request_denied",
        400..=499 => "http_request_error",
        _ => "proxy_internal_error",
    }
}
