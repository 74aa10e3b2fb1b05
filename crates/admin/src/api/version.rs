//! Versions as entity tags: `ETag: "3"`, `If-Match: "3"` (RFC 9110 sections 8.8.3 and 13.1.1).

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use tollgate_store::Stored;

use super::refusal::Refusal;

/// What the caller takes the present version to be.
pub enum IfMatch {
    /// Anything will do.
    Any,
    /// One of these tags, as they were sent.
    OneOf(Vec<String>),
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let mut tags = Vec::new();
        for value in parts.headers.get_all(IF_MATCH) {
            // A value that is no text is a tag that matches nothing.
            let text = value.to_str().unwrap_or("");
            tags.extend(text.split(',').map(|tag| tag.trim().to_owned()));
        }
        let any = tags.is_empty() || tags.iter().any(|tag| tag == "*");
        Ok(if any { Self::Any } else { Self::OneOf(tags) })
    }
}

impl IfMatch {
    /// The comparison is strong: a weak tag never matches.
    pub fn require<T>(&self, stored: &Stored<T>) -> Result<(), Refusal> {
        let tag = entity_tag(stored.version);
        match self {
            Self::Any => Ok(()),
            Self::OneOf(tags) if tags.contains(&tag) => Ok(()),
            Self::OneOf(_) => Err(Refusal::VersionMismatch),
        }
    }
}

pub fn entity_tag(version: u64) -> String {
    format!("\"{version}\"")
}
