//! How far a node has come, and who it is.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A state of the resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub revision: u64,
    pub epoch: Epoch,
}

/// Tells two histories apart that have come to the same revision: random, and made anew with every revision. A
/// database that was put back from a copy soon has revisions of the same number and another content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub Uuid);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// What a node calls itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeName(Box<str>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 128 letters, digits and . _ -")]
pub struct BadNodeName;

impl NodeName {
    pub fn parse(text: &str) -> Result<Self, BadNodeName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_plain = (1..=128).contains(&text.len()) && text.bytes().all(allowed);
        if is_plain { Ok(Self(text.into())) } else { Err(BadNodeName) }
    }

    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
