use axum::routing::get;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::*;

/// More than sockets hold.
const LARGE: usize = 32 << 20;

struct Server {
    address: SocketAddr,
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(limits: ConnectionLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router =
            Router::new().route("/large", get(|| async { vec![b'a'; LARGE] })).route("/", get(|| async {}));
        let (end, ended) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(router, listener, limits, async { drop(ended.await) }));
        Self { address, end, task }
    }

    async fn asked(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }
}

/// The first bytes of an answer that is given.
async fn begun(stream: &mut TcpStream) {
    stream.read_exact(&mut [0; 12]).await.unwrap();
}

/// How much of the answer there is, with its head.
async fn rest(mut stream: TcpStream) -> usize {
    let mut bytes = Vec::new();
    // What was cut off may end with an error.
    let _ended = stream.read_to_end(&mut bytes).await;
    bytes.len()
}

#[tokio::test]
async fn a_slow_reader_is_not_idle() {
    let soon = Duration::from_millis(200);
    let limits = ConnectionLimits { idle_at_most: soon, ..ConnectionLimits::default() };
    let server = Server::start(limits).await;
    let mut stream = server.asked("/large").await;
    begun(&mut stream).await;
    sleep(3 * soon).await;
    assert!(rest(stream).await > LARGE);
}

#[tokio::test]
async fn an_answer_that_is_being_read_is_sent_to_its_end_when_the_server_ends() {
    let server = Server::start(ConnectionLimits::default()).await;
    let mut stream = server.asked("/large").await;
    begun(&mut stream).await;
    server.end.send(()).unwrap();
    sleep(Duration::from_secs(1)).await;
    assert!(rest(stream).await > LARGE);
    server.task.await.unwrap();
}

#[tokio::test]
async fn a_crowd_of_slow_readers_gives_way_after_whoever_is_idle() {
    let limits = ConnectionLimits { most: 2, taken_within: Duration::ZERO, ..ConnectionLimits::default() };
    let server = Server::start(limits).await;
    let mut slow = server.asked("/large").await;
    begun(&mut slow).await;
    let mut idle = server.asked("/").await;
    begun(&mut idle).await;
    let mut another = server.asked("/large").await;
    begun(&mut another).await;
    // The idle one made room for that: it has ended.
    let _its_answer = rest(idle).await;
    begun(&mut server.asked("/").await).await;
    assert!(rest(slow).await < LARGE);
    // Not to its end: its connection is kept.
    another.read_exact(&mut vec![0; LARGE]).await.unwrap();
}

#[tokio::test]
async fn whoever_reads_an_answer_gives_way_to_nobody() {
    let limits =
        ConnectionLimits { most: 1, taken_within: Duration::from_hours(1), ..ConnectionLimits::default() };
    let server = Server::start(limits).await;
    let mut reader = server.asked("/large").await;
    begun(&mut reader).await;
    let mut refused = TcpStream::connect(server.address).await.unwrap();
    assert!(matches!(refused.read(&mut [0]).await, Ok(0) | Err(_)));
    reader.read_exact(&mut vec![0; LARGE]).await.unwrap();
}

#[test]
fn who_has_left_its_answer_lying_for_longest_goes_and_who_takes_it_stays() {
    let (start, second) = (Instant::now(), Duration::from_secs(1));
    let goes = |phases: &[Phase]| gives_way(phases, 2 * second, start + 5 * second);
    let (reads, lies, lies_longer) =
        (Phase::Sending(start + 4 * second), Phase::Sending(start + second), Phase::Sending(start));
    assert_eq!(goes(&[reads, lies, Phase::Answering, lies_longer]), Some(3));
    assert_eq!(goes(&[reads, lies, Phase::Idle(start), Phase::Body]), Some(2));
    assert_eq!(goes(&[reads, Phase::Answering]), None);
}

#[tokio::test]
async fn what_is_written_of_an_answer_is_noticed() {
    let (phases, phase) = Phases::opened();
    let (io, _peer) = tokio::io::duplex(8);
    let mut watched = watched::Watched::new(io, phases.clone());
    phases.sending();
    let given_at = phase.borrow().taken_at().unwrap();
    sleep(Duration::from_millis(2)).await;
    watched.write_all(b"answer").await.unwrap();
    assert!(phase.borrow().taken_at().unwrap() > given_at);
}
