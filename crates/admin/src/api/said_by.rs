//! Which node says something, and what its word is worth.

use std::time::Instant;

use serde::Serialize;
use utoipa::ToSchema;

use crate::sighted::{SightedNode, Standing};

/// The node that says it.
#[derive(Debug, Serialize, ToSchema)]
pub struct SaidBy {
    node: String,
    /// Whether it is away or silent, or has only begun to tell: what it serves with is not known.
    stale: bool,
    /// Since it was heard last; null before the first time.
    age_seconds: Option<u64>,
}

impl SaidBy {
    /// With whether what it says holds.
    pub fn new(node: &SightedNode, now: Instant) -> (Self, Standing) {
        let standing = node.standing(now);
        let said_by = Self {
            node: node.name.clone(),
            stale: standing == Standing::Stale,
            age_seconds: node.age(now).map(|age| age.as_secs()),
        };
        (said_by, standing)
    }
}
