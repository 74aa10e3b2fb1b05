//! Paths that a route is for: `/orders`, `/orders/*`, `/users/{id}/files/{*rest}`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

use super::key::{End, Key, PARAMETER};
use super::{BadPath, CanonicalPath, plain};
use crate::resource::parsed;

const LONGEST: usize = 1_024;
const LONGEST_NAME: usize = 32;
/// Segments and the rest that a template may capture: there is room for so many in a look-up.
pub(super) const MOST_CAPTURES: usize = 8;

/// A path as it is written, and as it is looked up. Templates that differ in the names of what they capture alone are
/// for the same paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate {
    text: SmolStr,
    key: Key,
    /// Of what is captured, in order; `None` of a plain `*`.
    names: Box<[Option<SmolStr>]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {
    #[error("must be a path of at most {LONGEST} bytes that starts with a slash")]
    Path,
    #[error("can't match: {0}, and such are refused")]
    NotCanonical(BadPath),
    #[error("can't match: several slashes count as one")]
    EmptySegment,
    #[error("must have parameters that are whole segments, such as /users/{{id}}")]
    Parameter,
    #[error("must have an asterisk at its end alone: /files/* or /files/{{*rest}}")]
    Rest,
    #[error("must name parameters by 1 to {LONGEST_NAME} letters, digits and underscores")]
    Name,
    #[error("has two parameters of one name")]
    NameTwice,
    #[error("must have at most {MOST_CAPTURES} parameters")]
    TooMany,
}

impl PathTemplate {
    pub fn parse(text: &str) -> Result<Self, BadTemplate> {
        let segments = text.strip_prefix('/').ok_or(BadTemplate::Path)?;
        if text.len() > LONGEST {
            return Err(BadTemplate::Path);
        }
        let (mut bytes, mut names, mut end) = (Vec::with_capacity(text.len()), Vec::new(), End::Exact);
        let mut segments = segments.split('/').peekable();
        while let Some(segment) = segments.next() {
            let is_last = segments.peek().is_none();
            match Segment::parse(segment)? {
                Segment::Literal("") if !is_last => return Err(BadTemplate::EmptySegment),
                Segment::Literal(literal) => {
                    bytes.push(b'/');
                    bytes.extend(literal_bytes(literal)?);
                }
                Segment::Parameter(name) => {
                    bytes.extend([b'/', PARAMETER]);
                    names.push(Some(name));
                }
                Segment::Rest(_) if !is_last => return Err(BadTemplate::Rest),
                Segment::Rest(name) => {
                    end = End::Rest;
                    names.push(name);
                }
            }
        }
        let is_twice =
            |(index, name): (usize, &Option<SmolStr>)| name.is_some() && names[..index].contains(name);
        if names.iter().enumerate().any(is_twice) {
            return Err(BadTemplate::NameTwice);
        }
        if names.len() > MOST_CAPTURES {
            return Err(BadTemplate::TooMany);
        }
        Ok(Self { text: text.into(), key: Key { bytes: bytes.into(), end }, names: names.into() })
    }

    /// For any path.
    pub fn any() -> Self {
        Self { text: "/*".into(), key: Key { bytes: Box::new([]), end: End::Rest }, names: Box::new([None]) }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// Whether both are for the same paths.
    pub fn is_same(&self, other: &Self) -> bool {
        self.key == other.key
    }

    /// Which capture goes by this name.
    pub fn capture(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|held| held.as_deref() == Some(name))
    }

    /// Whether it is for what begins with a path too.
    pub fn has_rest(&self) -> bool {
        self.key.end == End::Rest
    }

    /// Whether it is for this path alone.
    pub fn is_exactly(&self, path: &str) -> bool {
        self.key.end == End::Exact && plain(path).eq(self.key.bytes.iter().copied())
    }
}

enum Segment<'t> {
    Literal(&'t str),
    Parameter(SmolStr),
    Rest(Option<SmolStr>),
}

impl<'t> Segment<'t> {
    fn parse(text: &'t str) -> Result<Self, BadTemplate> {
        if text == "*" {
            return Ok(Self::Rest(None));
        }
        let Some(inner) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else {
            return match text {
                text if text.contains(['{', '}']) => Err(BadTemplate::Parameter),
                text if text.contains('*') => Err(BadTemplate::Rest),
                text => Ok(Self::Literal(text)),
            };
        };
        match inner.strip_prefix('*') {
            Some(name) => Ok(Self::Rest(Some(parse_name(name)?))),
            None => Ok(Self::Parameter(parse_name(inner)?)),
        }
    }
}

pub(super) fn parse_name(text: &str) -> Result<SmolStr, BadTemplate> {
    if text.contains(['{', '}', '*']) {
        return Err(BadTemplate::Parameter);
    }
    let is_name = (1..=LONGEST_NAME).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_name { Ok(text.into()) } else { Err(BadTemplate::Name) }
}

/// What a segment stands for, where a path may have it.
fn literal_bytes(segment: &str) -> Result<Vec<u8>, BadTemplate> {
    let path = format!("/{segment}");
    CanonicalPath::parse(path.as_bytes()).map_err(BadTemplate::NotCanonical)?;
    Ok(plain(&path).skip(1).collect())
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for PathTemplate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for PathTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_template_is_refused_with_its_reason() {
        for (text, expected) in [
            ("", BadTemplate::Path),
            ("orders", BadTemplate::Path),
            ("*", BadTemplate::Path),
            ("/a/../b", BadTemplate::NotCanonical(BadPath::DotSegment)),
            ("/a/%2e", BadTemplate::NotCanonical(BadPath::EncodedDelimiter)),
            ("/a%2fb", BadTemplate::NotCanonical(BadPath::EncodedDelimiter)),
            ("/a?b=1", BadTemplate::NotCanonical(BadPath::BadByte)),
            ("/caf\u{e9}", BadTemplate::NotCanonical(BadPath::BadByte)),
            ("//a", BadTemplate::EmptySegment),
            ("/a//b", BadTemplate::EmptySegment),
            ("/a{id}", BadTemplate::Parameter),
            ("/{a}{b}", BadTemplate::Parameter),
            ("/{id", BadTemplate::Parameter),
            ("/a*", BadTemplate::Rest),
            ("/*/a", BadTemplate::Rest),
            ("/{*rest}/a", BadTemplate::Rest),
            ("/{}", BadTemplate::Name),
            ("/{*}", BadTemplate::Name),
            ("/{a-b}", BadTemplate::Name),
            ("/{a}/{a}", BadTemplate::NameTwice),
            ("/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", BadTemplate::TooMany),
        ] {
            assert_eq!(
                PathTemplate::parse(text).map(|template| template.to_string()),
                Err(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn names_and_spelling_make_no_difference() {
        for (one, other) in
            [("/a/{x}", "/a/{y}"), ("/a/*", "/a/{*rest}"), ("/caf%C3%A9", "/caf%c3%a9"), ("/a", "/%61")]
        {
            let [one, other] = [one, other].map(|text| PathTemplate::parse(text).unwrap());
            assert!(one.is_same(&other), "{one} {other}");
        }
        assert!(PathTemplate::any().is_same(&PathTemplate::parse("/*").unwrap()));
        assert!(!PathTemplate::parse("/a").unwrap().is_same(&PathTemplate::parse("/a/").unwrap()));
    }
}
