//! How each rejection looks to the client: here and nowhere else.

use super::{Origin, Rejection};
use crate::failures::TooManyFailures;

/// Requests end at any moment, so that trying again soon may do.
const OVERLOADED_RETRY_SECS: u64 = 1;

/// How a rejection looks to the client.
pub(crate) struct Appearance {
    pub status: u16,
    pub origin: Origin,
    pub message: std::borrow::Cow<'static, str>,
    /// Error type of `Proxy-Status` (RFC 9209 section 2.3).
    pub proxy_error: &'static str,
    pub retry_after_secs: Option<u64>,
}

impl Rejection {
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
            Self::TrailersTooLarge => plain(431, Client, "The trailer fields are too large or too many"),
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
