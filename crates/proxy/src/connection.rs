//! A client's connection: one task, one request after another, no memory while idle.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::arrival::is_blank;
use crate::client::{Client, Progress};
use crate::exchange::{self, Next};
use crate::identity::{Peer, RequestId};
use crate::linger::linger;
use crate::message::{Persistence, write_rejection, write_reply};
use crate::rejection::Rejection;
use crate::room::ConnectionPlace;
use crate::session::Session;
use crate::wire::Stream;
use crate::worker::Worker;

/// A connection whose last request is this long ago is not busy any more.
const BUSY: Duration = Duration::from_secs(1);
/// How long a client may take for the answer to a request that panicked.
const APOLOGY: Duration = Duration::from_secs(2);

pub(crate) fn spawn(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr) {
    let Some(place) = ConnectionPlace::take(worker) else { return };
    // Small responses must not wait for acknowledgements; where it fails the next write will tell.
    drop(stream.set_nodelay(true));
    let peer = Peer::new(peer.ip(), worker.gateway.port, &worker.gateway.settings.trusted_proxies);
    let client = Client::new(Stream::Plain(stream), place.standing);
    tokio::task::spawn_local(run(Rc::clone(worker), client, peer, place));
}

async fn run(worker: Rc<Worker>, mut client: Client, peer: Peer, place: ConnectionPlace) {
    let timeouts = worker.gateway.settings.timeouts;
    let mut until = Instant::now() + place.standing.patience(timeouts.head);
    while wait_for_request(&mut client, until).await == Waited::Readable {
        // Boxed, so that a connection that idles holds no memory for what it may do one day; and once for as
        // long as it is busy, so that no request pays for it.
        let busy = Box::pin(serve_while_busy(&worker, &mut client, &peer));
        match busy.await {
            Flow::Idle => until = Instant::now() + timeouts.keep_alive.saturating_sub(BUSY),
            Flow::Blank => {}
            Flow::Ended => return,
        }
    }
}

enum Flow {
    /// Nothing has come for [`BUSY`]; the connection is open.
    Idle,
    /// Nothing but empty lines have come, which gain no time.
    Blank,
    Ended,
}

async fn serve_while_busy(worker: &Rc<Worker>, client: &mut Client, peer: &Peer) -> Flow {
    let busy = BUSY.min(worker.gateway.settings.timeouts.keep_alive);
    // Once there was a request.
    let mut busy_until = None;
    loop {
        let mut session = worker.session();
        loop {
            let next = caught(pin!(exchange::serve(worker, client, peer, session.get()))).await;
            match next {
                Ok(Next::KeepAlive) => {
                    // The clock was read when the request ended.
                    busy_until = Some(worker.clock.last() + busy);
                    let input = &session.get().client.input;
                    if !is_blank(input) {
                        session.get().begin();
                        continue;
                    }
                    if client.note_empty_lines(input).is_err() {
                        return Flow::Ended;
                    }
                    break;
                }
                Ok(Next::Blank) => break,
                Ok(Next::Close) => {}
                Ok(Next::Abandon) => return Flow::Ended,
                Err(Panicked) => {
                    if !apologise(worker, client, session.get()).await {
                        return Flow::Ended;
                    }
                }
            }
            drop(session);
            linger(worker, client).await;
            return Flow::Ended;
        }
        drop(session);
        let Some(until) = busy_until else { return Flow::Blank };
        match wait_for_request(client, until).await {
            Waited::Readable => {}
            Waited::TimedOut => return Flow::Idle,
            Waited::Failed => return Flow::Ended,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waited {
    /// The client sent something, or closed.
    Readable,
    TimedOut,
    Failed,
}

async fn wait_for_request(client: &mut Client, deadline: Instant) -> Waited {
    poll_fn(|cx| match client.stream.poll_readable(cx) {
        Poll::Ready(Ok(())) => Poll::Ready(Waited::Readable),
        Poll::Ready(Err(_)) => Poll::Ready(Waited::Failed),
        Poll::Pending => client.watchdog.poll_past(cx, deadline).map(|()| Waited::TimedOut),
    })
    .await
}

/// Marks a future that panicked; the panic itself went to the panic hook.
#[derive(Debug)]
struct Panicked;

/// Runs `future`, a panic in which harms no other connection.
async fn caught<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Result<T, Panicked> {
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

/// Answers 500 where nothing was answered yet, and says whether that was sent; a response that was begun, an interim
/// one too, is cut.
async fn apologise(worker: &Worker, client: &mut Client, session: &mut Session) -> bool {
    if client.progress != Progress::Unanswered {
        return false;
    }
    if session.client.is_partly_sent() {
        client.stream.reset_on_close();
        return false;
    }
    let request_id = session.request_id.take().unwrap_or_else(|| RequestId::random(worker));
    let rejection = Rejection::Panicked;
    let now = worker.clock.now().wall;
    let reply = write_rejection(&rejection, &rejection.appearance(), &session.request, &request_id, now);
    let Session { client: buffers, request, .. } = &mut *session;
    buffers.clear_output();
    let date = worker.times.date(now);
    write_reply(buffers.output(), &reply, request, &request_id, Persistence::Close, &date);
    client.flush_before(buffers, Instant::now() + APOLOGY).await
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::room::Standing;
    use crate::worker::tests::{connection, worker};

    #[tokio::test]
    async fn a_response_that_a_panic_interrupts_is_never_taken_for_a_whole_one() {
        for progress in [Progress::Answering, Progress::Unanswered] {
            assert_is_reset(progress).await;
        }
    }

    /// With a response that was begun, or with half an interim one.
    async fn assert_is_reset(progress: Progress) {
        let (mut receiving, accepted) = connection().await;
        let worker = worker(SocketAddr::from(([127, 0, 0, 1], 9)));
        let mut client = Client::new(Stream::Plain(accepted), Standing::Within);
        client.progress = progress;
        let mut session = worker.session();
        if progress == Progress::Unanswered {
            session.get().client.output().extend_from_slice(b"HTTP/1.1 103 Early Hints\r\n\r\n");
            session.get().client.sent(10);
        }
        apologise(&worker, &mut client, session.get()).await;
        drop(client);
        let mut received = Vec::new();
        let end = receiving.read_to_end(&mut received).await;
        assert_eq!(end.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
        assert_eq!(received, b"", "nothing is put behind what was begun");
    }

    #[tokio::test]
    async fn a_panic_is_caught_where_it_happened() {
        let panicking = async {
            tokio::task::yield_now().await;
            assert!(std::hint::black_box(false), "a stage of the exchange failed");
        };
        assert!(caught(pin!(panicking)).await.is_err());
        assert_eq!(caught(pin!(async { 7 })).await.ok(), Some(7));
    }
}
