//! How large a head may be, and what can be wrong with one.

use thiserror::Error;

/// What a head may cost before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the request line without its CRLF. Status lines are held to `head_bytes` instead.
    pub request_line_bytes: usize,
    /// Bytes of the header section: all field lines and the empty line that ends them.
    pub head_bytes: usize,
    /// Number of field lines; values over [`HeadLimits::MAX_FIELDS`] count as that.
    pub fields: usize,
}

impl HeadLimits {
    /// No configuration admits more field lines than this, since they are parsed on the stack.
    pub const MAX_FIELDS: usize = 256;
    /// Empty lines that may stand before a request: one that was sent after the last request's body is tolerated (RFC 9112
    /// section 2.2), a stream of them is not.
    pub const MAX_EMPTY_LINES: usize = 2;
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { request_line_bytes: 8192, head_bytes: 65_536, fields: 100 }
    }
}

/// Why a head was refused. The connection can't be used any further: where the next message would
/// start is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeadError {
    #[error("request line is too long")]
    RequestLineTooLong,
    #[error("header section is too large")]
    HeadTooLarge,
    #[error("too many header fields")]
    TooManyFields,
    /// Names the part that broke the grammar, or that is valid but ambiguous.
    #[error("malformed head: {0}")]
    Malformed(&'static str),
}
