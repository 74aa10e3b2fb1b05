//! The client's side of a connection.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tollgate_http1::HeadLimits;

use crate::room::Standing;
use crate::watchdog::Watchdog;
use crate::wire::{Buffers, READ_BYTES, Stream};

/// Pipelined requests are read ahead up to here; what is beyond waits in the socket.
const READ_AHEAD_BYTES: usize = 64 * 1_024;

pub(crate) struct Client {
    pub stream: Stream,
    pub watchdog: Watchdog,
    pub progress: Progress,
    pub standing: Standing,
    /// Those that have come since the last request.
    empty_lines: usize,
    /// A second handle of the socket, to watch for its end while it is not read.
    closing: Option<TcpStream>,
}

/// How far the answer to the request at hand has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// No byte of a final response has been written.
    Unanswered,
    Answering,
    /// The client has all of it, or of a tunnel all that there was.
    Answered,
}

/// More of them came in the place of a request than are passed over (RFC 9112 section 2.2).
#[derive(Debug)]
pub(crate) struct TooManyEmptyLines;

/// However an answer ends before it is whole, the client must not take what it has for all of it.
impl Drop for Client {
    fn drop(&mut self) {
        if self.progress == Progress::Answering {
            self.stream.reset_on_close();
        }
    }
}

impl Client {
    pub fn new(stream: Stream, standing: Standing) -> Self {
        let progress = Progress::Unanswered;
        Self { stream, watchdog: Watchdog::default(), progress, standing, empty_lines: 0, closing: None }
    }

    /// Forgets the last exchange.
    pub fn begin(&mut self) {
        self.progress = Progress::Unanswered;
        self.closing = None;
    }

    /// Counts those at the start of `input`, together with all that have come since the last request.
    pub fn note_empty_lines(&mut self, input: &[u8]) -> Result<(), TooManyEmptyLines> {
        self.empty_lines += input.chunks(2).take_while(|&line| line == b"\r\n").count();
        if self.empty_lines > HeadLimits::MAX_EMPTY_LINES { Err(TooManyEmptyLines) } else { Ok(()) }
    }

    /// A request begins: those in front of it are passed over.
    pub const fn forget_empty_lines(&mut self) {
        self.empty_lines = 0;
    }

    /// Ready when the client has gone. What it sends meanwhile is the next request, kept in `buffers`.
    ///
    /// A client that ends its sending direction counts as gone: it cannot be told from one that closed.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> Poll<()> {
        while buffers.input.len() < READ_AHEAD_BYTES {
            match ready!(buffers.poll_read(cx, &mut self.stream, READ_BYTES)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        self.poll_closed(cx)
    }

    /// Ready when the client has closed the connection behind what still waits in the socket. That stays
    /// there, so the socket itself reports nothing more.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let closing = match &mut self.closing {
            Some(closing) => closing,
            none => match self.stream.duplicate() {
                Ok(duplicate) => none.insert(duplicate),
                // Without a file for it, the next write will tell.
                Err(_) => return Poll::Pending,
            },
        };
        loop {
            if ready!(closing.poll_read_ready(cx)).is_err() {
                return Poll::Ready(());
            }
            let readiness = pin!(closing.ready(Interest::READABLE)).poll(cx);
            if matches!(readiness, Poll::Ready(Ok(readiness)) if readiness.is_read_closed()) {
                return Poll::Ready(());
            }
            // It is only data: forgotten, so as to be woken for what comes next.
            drop(closing.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into())));
        }
    }

    /// The same of a client whose connection ends with the response: what it sends meanwhile is for nobody.
    pub fn poll_gone_discarding(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> Poll<()> {
        loop {
            buffers.input.clear();
            match ready!(buffers.poll_read(cx, &mut self.stream, READ_BYTES)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
    }

    /// Writes what is in `buffers`; whether all of it was before `deadline`.
    pub async fn flush_before(&mut self, buffers: &mut Buffers, deadline: Instant) -> bool {
        poll_fn(|cx| match self.poll_flush(cx, buffers) {
            Poll::Ready(outcome) => Poll::Ready(outcome.is_ok()),
            Poll::Pending => self.watchdog.poll_past(cx, deadline).map(|()| false),
        })
        .await
    }

    /// Writes what is in `buffers`.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> Poll<io::Result<()>> {
        buffers.poll_flush(cx, &mut self.stream)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::worker::tests::connection;

    #[tokio::test]
    async fn a_client_that_leaves_is_noticed_behind_all_that_it_sent() {
        let (mut sending, accepted) = connection().await;
        let (mut client, mut buffers) =
            (Client::new(Stream::Plain(accepted), Standing::Within), Buffers::default());
        sending.write_all(&vec![b'x'; READ_AHEAD_BYTES + READ_BYTES]).await.unwrap();
        let mut sending = Some(sending);
        let mut polls = 0;
        let gone = poll_fn(|cx| {
            polls += 1;
            let gone = client.poll_gone(cx, &mut buffers);
            if buffers.input.len() >= READ_AHEAD_BYTES {
                sending = None;
            }
            gone
        });
        assert!(tokio::time::timeout(Duration::from_secs(20), gone).await.is_ok(), "it was not noticed");
        assert!(buffers.input.len() < READ_AHEAD_BYTES + READ_BYTES, "no more is read than is held");
        assert!(polls < 100, "{polls} looks at a socket that has not changed");
    }
}
