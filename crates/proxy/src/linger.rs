//! The end of a connection whose client may still be sending.
//!
//! Bytes that come to a socket that is closed have the connection reset, and a reset takes what the client has not read yet
//! with it: the very answer that says why its upload was refused. So only the sending direction is ended, and what still
//! comes is read and thrown away (RFC 9112 section 9.6).

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::wire::READ_BYTES;
use crate::worker::Worker;

/// Without a byte. Many clients read no answer before they have sent all of their body, however slowly.
const PAUSE: Duration = Duration::from_secs(5);
/// In all, however much comes.
const LONGEST: Duration = Duration::from_secs(30);

/// Ends the sending direction, and reads on until the client has closed its own or has taken too long.
pub(crate) async fn linger(worker: &Worker, client: &mut Client) {
    let begun = Instant::now();
    let last = begun + client.standing.patience(LONGEST);
    let mut deadline = last.min(begun + PAUSE);
    let mut buffers = worker.new_buffers();
    let mut is_shut = false;
    poll_fn(|cx| {
        if !is_shut {
            match client.stream.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => is_shut = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return client.watchdog.poll_past(cx, deadline),
            }
        }
        let mut has_read = false;
        loop {
            buffers.input.clear();
            match buffers.poll_read(cx, &mut client.stream, READ_BYTES) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => has_read = true,
                Poll::Pending => break,
            }
        }
        if has_read {
            deadline = last.min(Instant::now() + PAUSE);
        }
        client.watchdog.poll_past(cx, deadline)
    })
    .await;
}
