//! The name of a header field.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

use super::text::parsed;

/// A header field's name (RFC 9110 section 5.1), case kept, compared without it.
#[derive(Debug, Clone, Eq)]
pub struct HeaderName(SmolStr);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHeaderName {
    #[error("must be 1 to 64 letters, digits and !#$%&'*+-.^_`|~")]
    Token,
    #[error("is a field that HTTP or the gateway itself needs")]
    Reserved,
}

impl HeaderName {
    /// In which a service finds keys where nothing else is said.
    pub const USUAL: Self = Self(SmolStr::new_static("X-API-Key"));

    pub fn parse(text: &str) -> Result<Self, BadHeaderName> {
        /// A credential in one of these would be lost, break the message, or get where none may: these are the
        /// fields that the proxy reads, passes on and logs as what they are.
        const RESERVED: [&str; 39] = [
            "accept",
            "age",
            "cache-control",
            "connection",
            "content-length",
            "content-type",
            "cookie",
            "date",
            "expect",
            "forwarded",
            "host",
            "keep-alive",
            "proxy-authenticate",
            "proxy-authorization",
            "proxy-connection",
            "proxy-status",
            "ratelimit",
            "ratelimit-policy",
            "retry-after",
            "server",
            "set-cookie",
            "te",
            "traceparent",
            "tracestate",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "user-agent",
            "via",
            "x-client-id",
            "x-consumer-id",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-proto",
            "x-organization-id",
            "x-plan-tier",
            "x-request-id",
            "x-tenant-id",
        ];
        let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.is_empty() || text.len() > 64 || !text.bytes().all(is_token_byte) {
            return Err(BadHeaderName::Token);
        }
        if RESERVED.iter().any(|reserved| text.eq_ignore_ascii_case(reserved)) {
            return Err(BadHeaderName::Reserved);
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for HeaderName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for HeaderName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for HeaderName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_has_a_header_of_its_own() {
        for taken in
            ["Host", "Accept", "user-agent", "X-Client-ID", "X-Request-Id", "traceparent", "X-Forwarded-For"]
        {
            assert_eq!(HeaderName::parse(taken), Err(BadHeaderName::Reserved), "{taken}");
        }
        for free in ["X-API-Key", "Authorization", "X-Shop-Token"] {
            assert!(HeaderName::parse(free).is_ok(), "{free}");
        }
    }
}
