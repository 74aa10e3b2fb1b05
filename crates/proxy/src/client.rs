//! The client's side of a connection.

use std::io;
use std::task::{Context, Poll, ready};

use crate::watchdog::Watchdog;
use crate::wire::{Buffers, READ_BYTES, Stream};

/// Pipelined requests are read ahead up to here; what is beyond waits in the socket.
const READ_AHEAD_BYTES: usize = 64 * 1_024;

pub(crate) struct Client {
    pub stream: Stream,
    pub watchdog: Watchdog,
    pub progress: Progress,
}

/// How far the answer to the request at hand has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// No byte of a final response has been written.
    Unanswered,
    Answering,
}

impl Client {
    /// Ready when the client has gone. What it sends meanwhile is the next request, kept in `buffers`.
    ///
    /// A client that ends its sending direction counts as gone: it cannot be told from one that closed.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> Poll<()> {
        while buffers.input.len() < READ_AHEAD_BYTES {
            match self.stream.poll_read(cx, &mut buffers.input, READ_BYTES) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => break,
            }
        }
        Poll::Pending
    }

    /// The same of a client whose connection ends with the response: what it sends meanwhile is for nobody.
    pub fn poll_gone_discarding(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> Poll<()> {
        loop {
            buffers.input.clear();
            match ready!(self.stream.poll_read(cx, &mut buffers.input, READ_BYTES)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
    }

    /// Writes what is in `buffers`.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> Poll<io::Result<()>> {
        buffers.poll_flush(cx, &mut self.stream)
    }
}
