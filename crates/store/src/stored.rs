//! A resource beside what the store knows of it.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<T> {
    pub value: T,
    /// Counts the edits, from 1.
    pub version: u64,
    pub created_at_secs: u64,
    pub updated_at_secs: u64,
}
