//! A limit as the proxy runs it: the numbers, and the texts that every response carries of it, made once.

use super::Window;
use super::token_bucket::TokenBucket;
use crate::resource::{Algorithm, Limit};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitRule {
    pub requests: u64,
    pub window: Window,
    pub algorithm: Algorithm,
    /// `limit_type` of a refusal, and the name in `RateLimit-Policy`: `minute`.
    pub name: Box<str>,
    pub headers: RuleHeaders,
}

/// The constant parts of the fields that state this limit, as HTTP/1.1 writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleHeaders {
    /// `X-RateLimit-Limit-Minute: 60`, its line end, and `X-RateLimit-Remaining-Minute: `.
    pub before_remaining: Box<str>,
    /// A line end, and `X-RateLimit-Reset-Minute: `.
    pub before_reset: Box<str>,
    /// `"minute";r=`: the start of this limit's member of `RateLimit`.
    pub before_available: Box<str>,
    /// This limit's member of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers section 3).
    pub policy: Box<str>,
}

impl LimitRule {
    pub fn compile(limit: &Limit) -> Self {
        let suffix = limit.per.header_suffix();
        let name = limit.per.to_string();
        let headers = RuleHeaders {
            before_remaining: format!(
                "X-RateLimit-Limit-{suffix}: {}\r\nX-RateLimit-Remaining-{suffix}: ",
                limit.requests
            )
            .into(),
            before_reset: format!("\r\nX-RateLimit-Reset-{suffix}: ").into(),
            before_available: format!("\"{name}\";r=").into(),
            policy: format!("\"{name}\";q={};w={}", limit.requests, limit.per.nominal_secs()).into(),
        };
        Self {
            requests: limit.requests,
            window: limit.per,
            algorithm: limit.algorithm,
            name: name.into(),
            headers,
        }
    }

    /// The bucket for a burst, where this limit's algorithm is one.
    pub(super) const fn bucket(&self, burst: u64) -> TokenBucket {
        let window_micros = self.window.nominal_secs() * 1_000_000;
        TokenBucket { requests: self.requests, burst, window_micros }
    }
}
