//! After `101 Switching Protocols`: bytes both ways until both sides have ended.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::{Buffers, Stream};
use crate::watchdog::Watchdog;

const READ_BYTES: usize = 16 * 1_024;

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TunnelEnd {
    /// Both sides ended it, or nobody used it.
    Closed,
    /// One side's connection failed, which the other is to know.
    Broken,
}

/// Relays until both sides have ended, one fails, or nothing moved for `idle`. What has gone to the client is in
/// `to_client_bytes` at any time: the end of the gateway may cut the tunnel.
pub(crate) async fn tunnel(
    client: (&mut Stream, &mut Buffers),
    upstream: (&mut Stream, &mut Buffers),
    watchdog: &mut Watchdog,
    idle: Duration,
    to_client_bytes: &mut u64,
) -> TunnelEnd {
    let (client_stream, client_buffers) = client;
    let (upstream_stream, upstream_buffers) = upstream;
    let mut up = Direction::default();
    let mut down = Direction::default();
    let mut deadline = Instant::now() + idle;
    poll_fn(|cx| {
        let before = (up.moved_bytes, down.moved_bytes);
        let up_poll = up.poll(cx, (client_stream, client_buffers), (upstream_stream, upstream_buffers));
        let down_poll = down.poll(cx, (upstream_stream, upstream_buffers), (client_stream, client_buffers));
        *to_client_bytes = down.moved_bytes;
        match (up_poll, down_poll) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(TunnelEnd::Broken),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(TunnelEnd::Closed),
            (Poll::Pending, _) | (_, Poll::Pending) => {}
        }
        if before != (up.moved_bytes, down.moved_bytes) {
            deadline = Instant::now() + idle;
        }
        watchdog.poll_past(cx, deadline).map(|()| TunnelEnd::Closed)
    })
    .await
}

/// One direction. What was read before the tunnel began is in the source's input; what has still to be
/// written before it (the head of the 101, the rest of an interim response) is the sink's unsent output.
#[derive(Default)]
struct Direction {
    moved_bytes: u64,
    source_ended: bool,
    done: bool,
}

impl Direction {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        (source, from): (&mut Stream, &mut Buffers),
        (sink, to): (&mut Stream, &mut Buffers),
    ) -> Poll<io::Result<()>> {
        use bytes::Buf;
        while !self.done {
            while !to.unsent().is_empty() || !from.input.is_empty() {
                let bytes = ready!(sink.poll_write(cx, to.unsent(), &from.input))?;
                let of_head = bytes.min(to.unsent().len());
                to.sent(of_head);
                from.input.advance(bytes - of_head);
                self.moved_bytes += (bytes - of_head) as u64;
            }
            ready!(sink.poll_flush(cx))?;
            if self.source_ended {
                ready!(sink.poll_shutdown(cx))?;
                self.done = true;
            } else if ready!(from.poll_read(cx, source, READ_BYTES))? == 0 {
                self.source_ended = true;
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::worker::tests::connection;

    #[tokio::test]
    async fn what_was_sent_before_the_tunnel_is_not_sent_again() {
        let ((mut client, to_client), (upstream, to_upstream)) = (connection().await, connection().await);
        let (mut client_buffers, mut upstream_buffers) = (Buffers::default(), Buffers::default());
        client_buffers.output().extend_from_slice(b"sent;unsent;");
        client_buffers.sent(b"sent;".len());
        upstream_buffers.input.extend_from_slice(b"early;");
        client.shutdown().await.unwrap();
        drop(upstream);
        let mut to_client_bytes = 0;
        let end = tunnel(
            (&mut Stream::Plain(to_client), &mut client_buffers),
            (&mut Stream::Plain(to_upstream), &mut upstream_buffers),
            &mut Watchdog::default(),
            Duration::from_secs(20),
            &mut to_client_bytes,
        )
        .await;
        assert_eq!(end, TunnelEnd::Closed);
        assert_eq!(to_client_bytes, b"early;".len() as u64);
        let mut received = String::new();
        client.read_to_string(&mut received).await.unwrap();
        assert_eq!(received, "unsent;early;");
    }
}
