//! The memory of one side of an exchange. An idle connection holds none of it.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;

use super::Stream;

/// What is asked of a socket at once while a head is expected.
pub(crate) const READ_BYTES: usize = 8 * 1_024;
/// A buffer that grew beyond this is not kept for the next exchange.
const KEPT_BYTES: usize = 32 * 1_024;

#[derive(Default)]
pub(crate) struct Buffers {
    /// Read from the socket and not yet used.
    pub input: BytesMut,
    /// To be written; `output[..written]` has been.
    pub output: Vec<u8>,
    written: usize,
    /// All that was written since the last [`Buffers::clear_output`].
    sent_bytes: u64,
}

impl Buffers {
    pub fn unsent(&self) -> &[u8] {
        &self.output[self.written..]
    }

    /// Whether a part of the output has been written and a part has not.
    pub const fn is_partly_sent(&self) -> bool {
        self.written > 0
    }

    /// Notes that `bytes` more of the output have been written.
    pub fn sent(&mut self, bytes: usize) {
        self.written += bytes;
        self.sent_bytes += bytes as u64;
        if self.written == self.output.len() {
            self.output.clear();
            self.written = 0;
        }
    }

    pub const fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// Notes that `bytes` were written from elsewhere.
    pub const fn sent_directly(&mut self, bytes: usize) {
        self.sent_bytes += bytes as u64;
    }

    /// Starts the output anew.
    pub fn clear_output(&mut self) {
        self.output.clear();
        self.written = 0;
        self.sent_bytes = 0;
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> Poll<io::Result<()>> {
        while !self.unsent().is_empty() {
            let bytes = ready!(stream.poll_write(cx, self.unsent(), &[]))?;
            self.sent(bytes);
        }
        stream.poll_flush(cx)
    }

    /// Forgets all content, and memory beyond what a usual exchange needs.
    pub fn clear(&mut self) {
        self.input.clear();
        // Its capacity counts from where it was read up to: only reclaiming tells how much it really holds.
        if self.input.try_reclaim(KEPT_BYTES + 1) {
            self.input = BytesMut::new();
        }
        if self.output.capacity() > KEPT_BYTES {
            self.output = Vec::new();
        }
        self.clear_output();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Buf;

    use super::*;

    #[test]
    fn a_large_buffer_is_not_kept_though_most_of_it_was_used_up() {
        for (bytes, is_kept) in [(READ_BYTES, true), (2 * KEPT_BYTES, false)] {
            let mut buffers = Buffers::default();
            buffers.input.reserve(bytes);
            buffers.input.resize(bytes, b'x');
            buffers.input.advance(bytes - 1);
            buffers.clear();
            assert_eq!(buffers.input.try_reclaim(bytes), is_kept, "{bytes} bytes");
        }
    }
}
