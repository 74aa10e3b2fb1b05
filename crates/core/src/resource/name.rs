//! A name for people.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::parsed;
use crate::problem::Problems;

const LONGEST: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    #[error("must have 1 to {LONGEST} characters")]
    Length,
    #[error("must not contain control characters")]
    Control,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DisplayName(Box<str>);

impl DisplayName {
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let text = text.trim();
        if text.is_empty() || text.chars().count() > LONGEST {
            Err(BadName::Length)
        } else if text.chars().any(char::is_control) {
            Err(BadName::Control)
        } else {
            Ok(Self(text.into()))
        }
    }

    /// The `name` of a draft, or `fallback` (a slug, say) where none was given. A fallback that is missing,
    /// because it is wrong itself, is no problem of the name's.
    pub fn given_or(problems: &mut Problems, given: Option<&str>, fallback: Option<&str>) -> Option<Self> {
        match given {
            Some(text) => problems.check("name", Self::parse(text)),
            None => Self::parse(fallback?).ok(),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for DisplayName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for DisplayName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, Self::parse)
    }
}
