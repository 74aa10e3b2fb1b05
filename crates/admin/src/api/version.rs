//! Versions as entity tags: `ETag: "3-<id>-<hash>"`, `If-Match`, `If-None-Match` (RFC 9110 sections 8.8.3, 13.1.1 and 13.1.2).
//!
//! Writers compare how often which resource was edited. Readers compare the whole of an answer, in which there may be more that
//! changes: the uses of a key, the slug of a route's service.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Request};
use axum::http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tollgate_core::routing::stable_hash;
use tollgate_store::Stored;
use uuid::Uuid;

use super::refusal::Refusal;

/// How often which resource was edited: one that takes the name of another that was deleted is another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    id: Uuid,
    edits: u64,
}

impl Version {
    pub const fn of<T>(stored: &Stored<T>) -> Self {
        Self { id: stored.id, edits: stored.version }
    }

    /// Of an answer with this body.
    pub fn entity_tag(self, body: &[u8]) -> String {
        format!("\"{}-{}-{:016x}\"", self.edits, self.id.simple(), stable_hash(body))
    }

    /// By a strong tag of any answer that showed it. A number alone would be the version of whatever has the name by now.
    fn is_named_by(self, tag: &str) -> bool {
        let Some(text) = tag.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else { return false };
        let shown = text.strip_prefix(&format!("{}-{}-", self.edits, self.id.simple()));
        shown.is_some_and(|hash| hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }
}

/// What the caller takes the present version to be, and not to be.
pub struct Preconditions {
    /// `None` where the caller does not say.
    is: Option<Tags>,
    is_not: Option<Tags>,
}

enum Tags {
    Any,
    /// As they were sent.
    OneOf(Vec<String>),
}

impl<S: Sync> FromRequestParts<S> for Preconditions {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self { is: Tags::of(&parts.headers, &IF_MATCH), is_not: Tags::of(&parts.headers, &IF_NONE_MATCH) })
    }
}

impl Preconditions {
    pub fn require<T>(&self, stored: &Stored<T>) -> Result<(), Refusal> {
        self.require_version(Some(Version::of(stored)))
    }

    /// The same of what is there, and has no versions: no tag is its own.
    pub fn require_unversioned(&self) -> Result<(), Refusal> {
        self.require_version(None)
    }

    fn require_version(&self, version: Option<Version>) -> Result<(), Refusal> {
        let is_named = |tag: &str| version.is_some_and(|version| version.is_named_by(tag));
        if self.is.as_ref().is_some_and(|tags| !tags.strongly_match(is_named)) {
            return Err(Refusal::VersionMismatch);
        }
        if self.is_not.as_ref().is_some_and(|tags| tags.weakly_match(is_named)) {
            return Err(Refusal::Present);
        }
        Ok(())
    }
}

/// Answers a reader that has what it asks for already: 304, without it.
pub async fn leave_out_what_is_known(request: Request, next: Next) -> Response {
    let is_read = *request.method() == Method::GET || *request.method() == Method::HEAD;
    let known = if is_read { Tags::of(request.headers(), &IF_NONE_MATCH) } else { None };
    let response = next.run(request).await;
    let tag = response.headers().get(ETAG).filter(|_| response.status() == StatusCode::OK).cloned();
    let (Some(known), Some(tag)) = (known, tag) else { return response };
    if known.weakly_match(|sent| sent.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response();
    }
    response
}

impl Tags {
    fn of(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let mut tags = Vec::new();
        for value in headers.get_all(name) {
            // A value that is no text is a tag that matches nothing.
            let text = value.to_str().unwrap_or("");
            tags.extend(elements(text).map(str::to_owned));
        }
        if tags.iter().any(|tag| tag == "*") {
            return Some(Self::Any);
        }
        (!tags.is_empty()).then_some(Self::OneOf(tags))
    }

    /// A weak tag never matches.
    fn strongly_match(&self, is_named: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.iter().any(|sent| is_named(sent)),
        }
    }

    fn weakly_match(&self, is_named: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.iter().any(|sent| is_named(sent.strip_prefix("W/").unwrap_or(sent))),
        }
    }
}

/// What stands between commas; those in a tag's quotes are part of it.
fn elements(list: &str) -> impl Iterator<Item = &str> {
    let mut in_quotes = false;
    let parts = list.split(move |character| {
        in_quotes ^= character == '"';
        character == ',' && !in_quotes
    });
    parts.map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_named_by_the_tags_of_its_answers_alone() {
        let version = Version { id: Uuid::from_u128(7), edits: 3 };
        let tag = version.entity_tag(b"an answer");
        assert!(version.is_named_by(&tag) && version.is_named_by(&version.entity_tag(b"another")));
        let id = version.id.simple();
        let others = ["\"3\"", "3", "\"3-\"", "\"\"", &format!("\"3-{id}\""), &format!("\"3-{id}-\"")];
        for other in
            others.into_iter().chain([&*tag.replace("3-", "4-"), &tag.replace('7', "8"), &format!("W/{tag}")])
        {
            assert!(!version.is_named_by(other), "{other}");
        }
    }

    #[test]
    fn a_comma_in_quotes_is_part_of_the_tag() {
        let found: Vec<&str> = elements(r#" "1", W/"2" ,"a,*,b",*"#).collect();
        assert_eq!(found, [r#""1""#, r#"W/"2""#, r#""a,*,b""#, "*"]);
    }
}
