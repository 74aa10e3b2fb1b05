//! A path template as it is looked up.

/// Stands for a whole segment that is not empty. No path has this byte: an encoded NUL is refused.
pub(super) const PARAMETER: u8 = 0;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Of a plain path, with [`PARAMETER`] for each segment that is captured; a rest and the slash before it are no part.
    pub(super) bytes: Box<[u8]>,
    pub(super) end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum End {
    Exact,
    /// A slash, and whatever follows it, which may be nothing.
    Rest,
}
