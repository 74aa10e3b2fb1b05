//! The end of a connection whose client may still be sending.
//!
//! Bytes that come to a socket that is closed have the connection reset, and a reset takes what the client has not read yet
//! with it: the very answer that says why its upload was refused. So only the sending direction is ended, and what still
//! comes is read and thrown away (RFC 9112 section 9.6).

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::room::Standing;
use crate::wire::READ_BYTES;
use crate::worker::Worker;

/// Without a byte. Many clients read no answer before they have sent all of their body, however slowly.
const PAUSE: Duration = Duration::from_secs(5);
/// In all, however much comes.
const LONGEST: Duration = Duration::from_secs(30);

/// Ends the sending direction, and reads on until the client has closed its own or has taken too long.
pub(crate) async fn linger(worker: &Worker, client: &mut Client) {
    let mut patience = Patience::begin(client.standing, Instant::now());
    let mut buffers = worker.new_buffers();
    let mut is_shut = false;
    poll_fn(|cx| {
        if !is_shut {
            match client.stream.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => is_shut = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return client.watchdog.poll_past(cx, patience.deadline),
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
            patience.heard(Instant::now());
        }
        client.watchdog.poll_past(cx, patience.deadline)
    })
    .await;
}

/// How long the client is still listened to.
struct Patience {
    deadline: Instant,
    last: Instant,
}

impl Patience {
    fn begin(standing: Standing, now: Instant) -> Self {
        let last = now + standing.patience(LONGEST);
        Self { deadline: last.min(now + PAUSE), last }
    }

    /// Something has come.
    fn heard(&mut self, now: Instant) {
        self.deadline = self.last.min(now + PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many seconds it ends of a client of which something comes after so many.
    fn ends_after(standing: Standing, heard_secs: &[u64]) -> u64 {
        let begun = Instant::now();
        let mut patience = Patience::begin(standing, begun);
        for &secs in heard_secs {
            let now = begun + Duration::from_secs(secs);
            assert!(now < patience.deadline, "it has ended before");
            patience.heard(now);
        }
        (patience.deadline - begun).as_secs()
    }

    #[test]
    fn who_sends_nothing_is_listened_to_for_a_pause() {
        assert_eq!(ends_after(Standing::Within, &[]), 5);
    }

    #[test]
    fn whatever_comes_begins_the_pause_anew() {
        assert_eq!(ends_after(Standing::Within, &[4, 8]), 13);
    }

    #[test]
    fn who_sends_on_and_on_is_not_listened_to_for_ever() {
        assert_eq!(ends_after(Standing::Within, &[4, 8, 12, 16, 20, 24, 28]), 30);
    }

    #[test]
    fn one_too_many_is_listened_to_for_a_moment() {
        assert_eq!(ends_after(Standing::Surplus, &[]), 1);
        assert_eq!(ends_after(Standing::Surplus, &[0, 0]), 1);
    }
}
