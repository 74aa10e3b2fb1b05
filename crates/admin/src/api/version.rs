//! Versions as entity tags: `ETag: "3"`, `If-Match: "3"`, `If-None-Match: *` (RFC 9110 sections 8.8.3, 13.1.1 and 13.1.2).

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::HeaderName;
use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use tollgate_store::Stored;

use super::refusal::Refusal;

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
        Ok(Self { is: Tags::of(parts, &IF_MATCH), is_not: Tags::of(parts, &IF_NONE_MATCH) })
    }
}

impl Preconditions {
    pub fn require<T>(&self, stored: &Stored<T>) -> Result<(), Refusal> {
        self.require_tag(Some(&entity_tag(stored.version)))
    }

    /// The same of what is there, and has no versions: no tag is its own.
    pub fn require_unversioned(&self) -> Result<(), Refusal> {
        self.require_tag(None)
    }

    fn require_tag(&self, tag: Option<&str>) -> Result<(), Refusal> {
        if self.is.as_ref().is_some_and(|tags| !tags.strongly_match(tag)) {
            return Err(Refusal::VersionMismatch);
        }
        if self.is_not.as_ref().is_some_and(|tags| tags.weakly_match(tag)) {
            return Err(Refusal::Present);
        }
        Ok(())
    }
}

impl Tags {
    fn of(parts: &Parts, name: &HeaderName) -> Option<Self> {
        let mut tags = Vec::new();
        for value in parts.headers.get_all(name) {
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
    fn strongly_match(&self, tag: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.iter().any(|sent| Some(sent.as_str()) == tag),
        }
    }

    fn weakly_match(&self, tag: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.iter().any(|sent| Some(sent.strip_prefix("W/").unwrap_or(sent)) == tag),
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

pub fn entity_tag(version: u64) -> String {
    format!("\"{version}\"")
}

#[cfg(test)]
mod tests {
    use super::elements;

    #[test]
    fn a_comma_in_quotes_is_part_of_the_tag() {
        let found: Vec<&str> = elements(r#" "1", W/"2" ,"a,*,b",*"#).collect();
        assert_eq!(found, [r#""1""#, r#"W/"2""#, r#""a,*,b""#, "*"]);
    }
}
