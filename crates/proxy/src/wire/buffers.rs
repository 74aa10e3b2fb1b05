//! The bytes of one side of an exchange, and the memory that they are in. A buffer is lent to a side while there is
//! something in it: who waits holds none, and what is used next is what the processor's caches still hold.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;

use super::Stream;

/// What is asked of a socket at once while a head is expected.
pub(crate) const READ_BYTES: usize = 8 * 1_024;
/// A buffer that grew beyond this is not kept for the next exchange.
const KEPT_BYTES: usize = 32 * 1_024;

/// Empty buffers kept for the next bytes, of each kind; more are freed.
const KEPT_BUFFERS: usize = 64;

/// The empty buffers of a worker; the one given back last is lent first.
#[derive(Default)]
pub(crate) struct SpareBuffers {
    inputs: RefCell<Vec<BytesMut>>,
    outputs: RefCell<Vec<Vec<u8>>>,
}

#[derive(Default)]
pub(crate) struct Buffers {
    /// Read from the socket and not yet used.
    pub input: BytesMut,
    /// To be written; `output[..written]` has been.
    pub(super) output: Vec<u8>,
    written: usize,
    /// All that was written since the last [`Buffers::clear_output`].
    sent_bytes: u64,
    spare: Rc<SpareBuffers>,
}

impl Buffers {
    pub fn new(spare: &Rc<SpareBuffers>) -> Self {
        Self { spare: Rc::clone(spare), ..Self::default() }
    }

    /// Reads at most `most` bytes of `stream` behind what the input holds; zero at the end of the stream.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        if self.input.is_empty() {
            // A buffer is taken only once there is something to put into it.
            if stream.poll_may_read(cx)?.is_pending() {
                self.give_input_back();
                return Poll::Pending;
            }
            if self.input.capacity() == 0
                && let Some(spare) = self.spare.inputs.borrow_mut().pop()
            {
                self.input = spare;
            }
        }
        let read = stream.poll_read(cx, &mut self.input, most);
        if self.input.is_empty() {
            self.give_input_back();
        }
        read
    }

    /// Where what is to be written is appended.
    pub fn output(&mut self) -> &mut Vec<u8> {
        if self.output.capacity() == 0
            && let Some(spare) = self.spare.outputs.borrow_mut().pop()
        {
            self.output = spare;
        }
        if self.written > KEPT_BYTES {
            // A sink that keeps up but for a little would have it grow without end. One byte stays: it says that a part has been sent.
            self.output.drain(..self.written - 1);
            self.written = 1;
        }
        &mut self.output
    }

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
            self.give_output_back();
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
        self.give_output_back();
        self.sent_bytes = 0;
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> Poll<io::Result<()>> {
        while !self.unsent().is_empty() {
            let bytes = ready!(stream.poll_write(cx, self.unsent(), &[]))?;
            self.sent(bytes);
        }
        stream.poll_flush(cx)
    }

    /// Forgets all content.
    pub fn clear(&mut self) {
        self.give_input_back();
        self.clear_output();
    }

    fn give_input_back(&mut self) {
        if self.input.capacity() > 0 {
            self.spare.keep_input(std::mem::take(&mut self.input));
        }
    }

    fn give_output_back(&mut self) {
        self.written = 0;
        if self.output.capacity() > 0 {
            self.spare.keep_output(std::mem::take(&mut self.output));
        }
    }
}

impl SpareBuffers {
    fn keep_input(&self, mut input: BytesMut) {
        input.clear();
        let mut spares = self.inputs.borrow_mut();
        // Its capacity counts from where it was read up to: only reclaiming tells how much it really holds.
        if spares.len() < KEPT_BUFFERS && !input.try_reclaim(KEPT_BYTES + 1) {
            spares.push(input);
        }
    }

    fn keep_output(&self, mut output: Vec<u8>) {
        output.clear();
        let mut spares = self.outputs.borrow_mut();
        if spares.len() < KEPT_BUFFERS && output.capacity() <= KEPT_BYTES {
            spares.push(output);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use bytes::Buf;
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::worker::tests::connection;

    /// A buffer of so many bytes, most of them used up.
    fn used(bytes: usize, spare: &Rc<SpareBuffers>) -> Buffers {
        let mut buffers = Buffers::new(spare);
        buffers.input.resize(bytes, b'x');
        buffers.input.advance(bytes - 1);
        buffers
    }

    #[test]
    fn a_large_buffer_is_not_kept_though_most_of_it_was_used_up() {
        for (bytes, kept) in [(READ_BYTES, 1), (2 * KEPT_BYTES, 0)] {
            let spare = Rc::default();
            used(bytes, &spare).clear();
            assert_eq!(spare.inputs.borrow().len(), kept, "{bytes} bytes");
        }
    }

    #[tokio::test]
    async fn who_waits_for_bytes_holds_no_memory_for_them() {
        let (mut sending, receiving) = connection().await;
        let (mut stream, spare) = (Stream::Plain(receiving), Rc::default());
        let (mut first, mut second) = (used(READ_BYTES, &spare), Buffers::new(&spare));
        first.clear();
        poll_fn(|cx| {
            assert!(first.poll_read(cx, &mut stream, READ_BYTES).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!((first.input.capacity(), spare.inputs.borrow().len()), (0, 1));
        sending.write_all(b"bytes").await.unwrap();
        let read = poll_fn(|cx| second.poll_read(cx, &mut stream, READ_BYTES)).await;
        assert_eq!((read.unwrap(), &second.input[..], spare.inputs.borrow().len()), (5, &b"bytes"[..], 0));
    }

    #[test]
    fn output_that_is_never_sent_whole_does_not_grow() {
        let mut buffers = Buffers::default();
        buffers.output().push(b'x');
        for _ in 0..100 {
            buffers.output().extend_from_slice(&[b'x'; READ_BYTES]);
            buffers.sent(READ_BYTES);
            assert_eq!((buffers.unsent(), buffers.is_partly_sent()), (&b"x"[..], true));
        }
        assert!(buffers.output.capacity() <= 4 * KEPT_BYTES, "{}", buffers.output.capacity());
        assert_eq!(buffers.sent_bytes(), 100 * READ_BYTES as u64);
    }

    #[test]
    fn output_that_was_sent_is_lent_to_the_next() {
        let spare = Rc::default();
        let (mut first, mut second) = (Buffers::new(&spare), Buffers::new(&spare));
        first.output().extend_from_slice(b"all of it");
        let lent = first.output().as_ptr();
        first.sent(4);
        assert_eq!(first.unsent(), b"of it".as_slice());
        first.sent(5);
        assert_eq!((first.unsent(), first.sent_bytes()), (&b""[..], 9));
        assert_eq!(second.output().as_ptr(), lent);
        assert!(second.output().is_empty());
    }
}
