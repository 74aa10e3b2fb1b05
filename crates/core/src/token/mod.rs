//! JSON Web Tokens (RFC 7519) as signed compact objects (RFC 7515): those that Tollgate issues for its keys, and
//! those of other issuers.
//!
//! A token is looked at in one order: its size, its header, its signature, then its claims. Which algorithms may
//! have signed it is decided by the key, never by the token (RFC 8725 section 3.1). The cryptography is
//! `aws-lc-rs`'s; the parsing is strict, so that two readers cannot see two tokens in one text: no member twice,
//! bounded nesting, canonical base64url.

mod algorithm;
mod claims;
mod compact;
mod json;
mod jwks;
mod own;
mod rotation;
mod signing;
mod verifying;

pub use algorithm::Algorithm;
pub use claims::{Claims, Expected};
pub use compact::{Compact, LONGEST_TOKEN, is_token_shaped};
pub use jwks::{BadKeySet, KeySet};
pub use own::{Grant, InForce, Issued, Issuing, LONGEST_LIFETIME, OwnToken};
pub use rotation::{Rotation, SigningPeriod};
pub use signing::{BadSecret, SHORTEST_SECRET, SigningKey};
pub use verifying::VerifyingKey;

/// Why a token is refused: for the operator's log. A client is told one thing, whatever it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("it is longer than {LONGEST_TOKEN} bytes")]
    TooLong,
    #[error("it is not three parts of base64url")]
    Shape,
    #[error("its header {0}")]
    Header(&'static str),
    #[error("its algorithm is not one of the key's")]
    Algorithm,
    #[error("no key has its kid")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("its claims {0}")]
    Claims(&'static str),
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    NotYet,
    #[error("it is from another issuer")]
    Issuer,
    #[error("it is for another audience")]
    Audience,
    #[error("the key that it was issued for is not in force")]
    KeyNotInForce,
    #[error("it names no consumer of the tenant")]
    Consumer,
    #[error("it names no plan of the tenant")]
    Plan,
}

#[cfg(test)]
mod tests;
