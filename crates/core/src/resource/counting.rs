//! How a plan's limits are counted where several nodes share a counter store. Without one, each node counts alone.

use serde::{Deserialize, Serialize};

use crate::problem::Problems;

const LEASED: &str = "leased";
const EXACT: &str = "exact";
const LOCAL: &str = "local";
const ALLOW: &str = "allow";
const DENY: &str = "deny";

/// Where requests are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Counting {
    /// Each node decides by itself, out of a slice that the store has granted it.
    #[default]
    Leased,
    /// The store decides on every request.
    Exact,
    /// Each node counts alone, the whole limit each.
    Local,
}

/// What becomes of requests while the store cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnUnavailable {
    /// Each node counts alone, and keeps to its share.
    #[default]
    Local,
    /// They are let through.
    Allow,
    /// They are refused.
    Deny,
}

impl Counting {
    /// The default where nothing was written; `None` where what was written is none, noted in `problems`.
    pub(super) fn given(problems: &mut Problems, text: Option<&str>) -> Option<Self> {
        problems.check("counting", text.map_or(Ok(Self::default()), Self::parse))
    }

    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            LEASED => Ok(Self::Leased),
            EXACT => Ok(Self::Exact),
            LOCAL => Ok(Self::Local),
            _ => Err("must be leased, exact or local"),
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Leased => LEASED,
            Self::Exact => EXACT,
            Self::Local => LOCAL,
        }
    }
}

impl OnUnavailable {
    /// The default where nothing was written; `None` where what was written is none, noted in `problems`.
    pub(super) fn given(problems: &mut Problems, text: Option<&str>) -> Option<Self> {
        problems.check("on_unavailable", text.map_or(Ok(Self::default()), Self::parse))
    }

    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            LOCAL => Ok(Self::Local),
            ALLOW => Ok(Self::Allow),
            DENY => Ok(Self::Deny),
            _ => Err("must be local, allow or deny"),
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => LOCAL,
            Self::Allow => ALLOW,
            Self::Deny => DENY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for counting in [Counting::Leased, Counting::Exact, Counting::Local] {
            assert_eq!(Counting::parse(counting.name()), Ok(counting));
        }
        for fallback in [OnUnavailable::Local, OnUnavailable::Allow, OnUnavailable::Deny] {
            assert_eq!(OnUnavailable::parse(fallback.name()), Ok(fallback));
        }
    }
}
