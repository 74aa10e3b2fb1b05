//! What can go wrong between the gateway and a target.

use tollgate_core::cause::Cause;

use super::deadlines::Spent;
use super::dial::DialError;
use crate::rejection::Origin;

#[derive(Debug)]
pub(crate) enum UpstreamFailure {
    Dial(DialError),
    ConnectTimeout,
    /// The target closed the connection before its response began.
    Closed,
    /// The target stopped reading the request.
    WriteTimeout,
    FirstByteTimeout,
    TotalTimeout(Spent),
    /// What the target sent is no response that can be passed on.
    Protocol(&'static str),
    HeadTooLarge,
    TrailersTooLarge,
}

impl UpstreamFailure {
    /// Whether nothing at all came from the other end, as where its machine has gone without a word.
    pub const fn is_silence(&self) -> bool {
        matches!(self, Self::WriteTimeout | Self::FirstByteTimeout)
    }

    /// Status, what the client is told, and the error type of `Proxy-Status` (RFC 9209 section 2.3).
    pub const fn appearance(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Dial(DialError::Name(_)) => (502, "The upstream's name does not resolve", "dns_error"),
            Self::Dial(DialError::Prohibited(_)) => {
                (502, "The upstream's address is not allowed", "destination_ip_prohibited")
            }
            Self::Dial(DialError::Refused(_)) => {
                (502, "The upstream refused the connection", "connection_refused")
            }
            Self::Dial(DialError::Unreachable(_)) => {
                (502, "The upstream cannot be reached", "destination_ip_unroutable")
            }
            Self::Dial(DialError::Exhausted(_)) => {
                (500, "The gateway can open no more connections", "proxy_internal_error")
            }
            Self::Dial(DialError::Tls(_)) => (502, "The upstream's TLS failed", "tls_protocol_error"),
            Self::Dial(DialError::Certificate(_)) => {
                (502, "The upstream's certificate is not valid", "tls_certificate_error")
            }
            Self::ConnectTimeout => {
                (504, "The upstream did not accept the connection in time", "connection_timeout")
            }
            Self::Closed => {
                (502, "The upstream closed the connection without an answer", "connection_terminated")
            }
            Self::WriteTimeout => {
                (504, "The upstream did not take the request in time", "connection_write_timeout")
            }
            Self::FirstByteTimeout => (504, "The upstream did not answer in time", "connection_read_timeout"),
            Self::TotalTimeout(_) => (504, "The request took longer than it may", "http_response_timeout"),
            Self::Protocol(_) => (502, "The upstream's answer is not valid HTTP", "http_protocol_error"),
            Self::HeadTooLarge => (
                502,
                "The upstream's header fields are too large or too many",
                "http_response_header_section_size",
            ),
            Self::TrailersTooLarge => (
                502,
                "The upstream's trailer fields are too large or too many",
                "http_response_trailer_section_size",
            ),
        }
    }

    pub const fn origin(&self) -> Origin {
        match self {
            Self::Dial(DialError::Exhausted(_)) => Origin::Gateway,
            Self::Dial(
                DialError::Name(_)
                | DialError::Prohibited(_)
                | DialError::Refused(_)
                | DialError::Unreachable(_)
                | DialError::Tls(_)
                | DialError::Certificate(_),
            )
            | Self::ConnectTimeout
            | Self::Closed
            | Self::WriteTimeout
            | Self::FirstByteTimeout
            | Self::TotalTimeout(_)
            | Self::Protocol(_)
            | Self::HeadTooLarge
            | Self::TrailersTooLarge => Origin::Upstream,
        }
    }

    /// What it says of the target; `None` where it is not the target's matter.
    pub const fn cause(&self) -> Option<Cause> {
        match self {
            Self::Dial(DialError::Exhausted(_)) | Self::TotalTimeout(Spent::Elsewhere) => None,
            Self::Dial(DialError::Refused(_)) => Some(Cause::Refused),
            Self::Dial(
                DialError::Name(_)
                | DialError::Prohibited(_)
                | DialError::Unreachable(_)
                | DialError::Tls(_)
                | DialError::Certificate(_),
            )
            | Self::ConnectTimeout => Some(Cause::Connect),
            Self::Closed | Self::Protocol(_) | Self::HeadTooLarge | Self::TrailersTooLarge => {
                Some(Cause::Reset)
            }
            Self::WriteTimeout | Self::FirstByteTimeout | Self::TotalTimeout(Spent::AtTarget) => {
                Some(Cause::Timeout)
            }
        }
    }

    /// For the operator's log: more than the client may see.
    pub fn detail(&self) -> String {
        match self {
            Self::Dial(DialError::Name(error)) => error.to_string(),
            Self::Dial(
                DialError::Refused(error)
                | DialError::Unreachable(error)
                | DialError::Exhausted(error)
                | DialError::Tls(error)
                | DialError::Certificate(error),
            ) => error.to_string(),
            Self::Dial(DialError::Prohibited(refused)) => refused.to_string(),
            Self::Protocol(what) => (*what).to_owned(),
            Self::ConnectTimeout
            | Self::Closed
            | Self::WriteTimeout
            | Self::FirstByteTimeout
            | Self::TotalTimeout(_)
            | Self::HeadTooLarge
            | Self::TrailersTooLarge => self.appearance().1.to_owned(),
        }
    }
}
