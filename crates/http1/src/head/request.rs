//! The head of a request, whichever protocol it came over.

use super::fields::Fields;
use super::grammar::is_token;
use super::limits::HeadError;
use super::method::{Method, Version};
use super::target::{TargetForm, TargetShape};

/// Method, target and fields of a request, in memory of its own that is reused for the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHead {
    pub method: Method,
    pub version: Version,
    pub fields: Fields,
    /// Method name, then target.
    start: Vec<u8>,
    method_bytes: usize,
    target_shape: TargetShape,
}

impl RequestHead {
    pub fn new() -> Self {
        Self::default()
    }

    /// Empties the head and keeps its memory.
    pub fn clear(&mut self) {
        self.method = Method::default();
        self.version = Version::default();
        self.fields.clear();
        self.start.clear();
        self.method_bytes = 0;
        self.target_shape = TargetShape::default();
    }

    /// Replaces everything but the fields. Refuses what a parser would: a method that is no token
    /// of at most 32 bytes, and a target of no form that goes with the method; the head is unchanged
    /// then.
    pub fn set(&mut self, method_name: &[u8], target: &[u8], version: Version) -> Result<(), HeadError> {
        if !is_token(method_name) || method_name.len() > Method::MAX_NAME_BYTES {
            return Err(HeadError::Malformed("method"));
        }
        let method = Method::of(method_name);
        self.target_shape = TargetShape::of(method, target)?;
        self.method = method;
        self.version = version;
        self.start.clear();
        self.start.extend_from_slice(method_name);
        self.start.extend_from_slice(target);
        self.method_bytes = method_name.len();
        Ok(())
    }

    pub fn method_name(&self) -> &[u8] {
        &self.start[..self.method_bytes]
    }

    /// The target as received.
    pub fn target(&self) -> &[u8] {
        &self.start[self.method_bytes..]
    }

    pub fn target_form(&self) -> TargetForm<'_> {
        self.target_shape.view(self.target())
    }
}
