//! A resource beside what the store knows of it.

use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<T> {
    pub value: T,
    /// No other resource has or had it.
    pub id: Uuid,
    /// Counts the edits, from 1.
    pub version: u64,
    pub created_at_secs: u64,
    pub updated_at_secs: u64,
}
