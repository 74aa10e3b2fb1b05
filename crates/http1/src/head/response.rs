//! The head of a response, whichever protocol it came over.

use super::fields::Fields;
use super::method::Version;

/// Status and fields of a response, in memory of its own that is reused for the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead {
    /// 100 to 999 once parsed; RFC 9110 15 assigns up to 599 and asks to treat higher ones as 5xx.
    pub status: u16,
    pub version: Version,
    pub fields: Fields,
    reason: Vec<u8>,
}

impl ResponseHead {
    pub fn new() -> Self {
        Self::default()
    }

    /// Empties the head and keeps its memory.
    pub fn clear(&mut self) {
        self.set(0, Version::default(), b"");
        self.fields.clear();
    }

    /// Whether the final response, or another interim one, follows on the same connection (RFC 9110 section 15.2): not
    /// behind 101, with which HTTP ends.
    pub const fn is_interim(&self) -> bool {
        matches!(self.status, 100..=199) && self.status != 101
    }

    /// Replaces everything but the fields.
    pub fn set(&mut self, status: u16, version: Version, reason: &[u8]) {
        self.status = status;
        self.version = version;
        self.reason.clear();
        self.reason.extend_from_slice(reason);
    }

    /// The phrase after the status as received; often empty, never to be relied upon (RFC 9112 4).
    pub fn reason(&self) -> &[u8] {
        &self.reason
    }
}
