//! After `101 Switching Protocols`: bytes both ways until both sides have ended.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::{Buffers, Stream};
use crate::watchdog::Watchdog;

const READ_BYTES: usize = 16 * 1_024;

/// Bytes that went to the client.
pub(crate) struct Tunnelled {
    pub to_client_bytes: u64,
}

/// Relays until both sides have ended, one fails, or nothing moved for `idle`.
pub(crate) async fn tunnel(
    client: (&mut Stream, &mut Buffers),
    upstream: (&mut Stream, &mut Buffers),
    watchdog: &mut Watchdog,
    idle: Duration,
) -> Tunnelled {
    let (client_stream, client_buffers) = client;
    let (upstream_stream, upstream_buffers) = upstream;
    let mut up = Direction::default();
    let mut down = Direction::default();
    let mut deadline = Instant::now() + idle;
    poll_fn(|cx| {
        let before = (up.moved_bytes, down.moved_bytes);
        let up_poll = up.poll(
            cx,
            (client_stream, &mut client_buffers.input),
            (upstream_stream, &mut upstream_buffers.output),
        );
        let down_poll = down.poll(
            cx,
            (upstream_stream, &mut upstream_buffers.input),
            (client_stream, &mut client_buffers.output),
        );
        match (up_poll, down_poll) {
            (Poll::Ready(Err(_)), _)
            | (_, Poll::Ready(Err(_)))
            | (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(()),
            (Poll::Pending, _) | (_, Poll::Pending) => {}
        }
        if before != (up.moved_bytes, down.moved_bytes) {
            deadline = Instant::now() + idle;
        }
        watchdog.poll_past(cx, deadline)
    })
    .await;
    Tunnelled { to_client_bytes: down.moved_bytes }
}

/// One direction. What was read before the tunnel began is in `input`, what has still to be written before
/// it (the head of the 101) is in `output`.
#[derive(Default)]
struct Direction {
    moved_bytes: u64,
    written: usize,
    source_ended: bool,
    done: bool,
}

impl Direction {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        (source, input): (&mut Stream, &mut bytes::BytesMut),
        (sink, output): (&mut Stream, &mut Vec<u8>),
    ) -> Poll<io::Result<()>> {
        use bytes::Buf;
        while !self.done {
            while self.written < output.len() || !input.is_empty() {
                let head = &output[self.written..];
                let bytes = ready!(sink.poll_write(cx, head, input))?;
                let of_head = bytes.min(head.len());
                self.written += of_head;
                input.advance(bytes - of_head);
                self.moved_bytes += (bytes - of_head) as u64;
            }
            ready!(sink.poll_flush(cx))?;
            if self.source_ended {
                ready!(sink.poll_shutdown(cx))?;
                self.done = true;
            } else if ready!(source.poll_read(cx, input, READ_BYTES))? == 0 {
                self.source_ended = true;
            }
        }
        Poll::Ready(Ok(()))
    }
}
