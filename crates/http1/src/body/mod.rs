//! The body of a message: how long it is, and how it is framed.

pub(crate) mod framing;

pub(crate) mod chunk_line;
pub(crate) mod decoder;
pub(crate) mod trailers;

pub(crate) mod encoder;
