//! Many clients at once, each on a connection of its own, which ask as fast as they are answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{PATIENCE, eventually};

/// Clients that are at work until their requests are used up, or until they are stopped.
pub struct Load {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    addresses: Vec<SocketAddr>,
    request: Vec<u8>,
    left: AtomicUsize,
    answered: Mutex<BTreeMap<u16, usize>>,
    lost: AtomicUsize,
    slowest_micros: AtomicU64,
    is_stopped: AtomicBool,
}

/// What became of the requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub by_status: BTreeMap<u16, usize>,
    /// Sent, and their connection was gone before an answer was there.
    pub lost: usize,
    /// Longest wait for an answer.
    pub slowest: Duration,
}

impl Tally {
    pub fn of(&self, status: u16) -> usize {
        self.by_status.get(&status).copied().unwrap_or_default()
    }

    /// Those of another load too.
    pub fn add(&mut self, other: &Self) {
        for (status, count) in &other.by_status {
            *self.by_status.entry(*status).or_default() += count;
        }
        self.lost += other.lost;
        self.slowest = self.slowest.max(other.slowest);
    }

    /// Fails where there was an answer of any other status.
    #[track_caller]
    pub fn only(&self, statuses: &[u16]) -> &Self {
        let others: Vec<u16> =
            self.by_status.keys().copied().filter(|status| !statuses.contains(status)).collect();
        assert!(others.is_empty(), "{self:?}");
        self
    }
}

impl Load {
    /// So many GETs of the path with this key, by so many clients, which are spread over the addresses. One whose
    /// connection is lost goes on at the next address.
    pub fn start(addresses: &[SocketAddr], path: &str, key: &str, clients: usize, requests: usize) -> Self {
        let request = format!("GET {path} HTTP/1.1\r\nHost: gateway.test\r\nX-API-Key: {key}\r\n\r\n");
        let shared = Arc::new(Shared {
            addresses: addresses.to_vec(),
            request: request.into_bytes(),
            left: AtomicUsize::new(requests),
            answered: Mutex::default(),
            lost: AtomicUsize::new(0),
            slowest_micros: AtomicU64::new(0),
            is_stopped: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut all = JoinSet::new();
                for number in 0..clients {
                    all.spawn(client(Arc::clone(&of_thread), number));
                }
                all.join_all().await;
            });
        });
        Self { shared, thread: Some(thread) }
    }

    /// So far.
    pub fn tally(&self) -> Tally {
        Tally {
            by_status: self.shared.answered.lock().unwrap().clone(),
            lost: self.shared.lost.load(Ordering::SeqCst),
            slowest: Duration::from_micros(self.shared.slowest_micros.load(Ordering::SeqCst)),
        }
    }

    pub fn answers(&self) -> usize {
        self.shared.answered.lock().unwrap().values().sum()
    }

    /// Waits until so many more answers are there than are now, or until all are.
    #[track_caller]
    pub fn await_more(&self, answers: usize) {
        let wanted = self.answers() + answers;
        eventually("answers", || self.answers() >= wanted || self.is_done());
        assert!(self.answers() >= wanted, "the requests are used up: {:?}", self.tally());
    }

    /// Waits until there is an answer of this status to what was asked from now on.
    #[track_caller]
    pub fn await_status(&self, status: u16) {
        let before = self.tally().of(status);
        eventually(&format!("a {status}"), || self.tally().of(status) > before);
    }

    fn is_done(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until all requests are used up.
    #[track_caller]
    pub fn finish(mut self) -> Tally {
        self.join();
        self.tally()
    }

    /// Lets everybody get the answer to the last request, and no more.
    #[track_caller]
    pub fn stop(self) -> Tally {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        self.finish()
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the clients");
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        if !thread::panicking() {
            self.join();
        }
    }
}

async fn client(shared: Arc<Shared>, number: usize) {
    let mut turn = number;
    while shared.is_wanted() {
        let address = shared.addresses[turn % shared.addresses.len()];
        if let Ok(stream) = TcpStream::connect(address).await {
            stream.set_nodelay(true).expect("no delay");
            shared.ask_on(stream).await;
        }
        // Nobody listens there, or does no more.
        turn += 1;
        if turn.is_multiple_of(shared.addresses.len()) {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Shared {
    fn is_wanted(&self) -> bool {
        !self.is_stopped.load(Ordering::SeqCst) && self.left.load(Ordering::SeqCst) > 0
    }

    fn take(&self) -> bool {
        let less = |left: usize| left.checked_sub(1);
        self.is_wanted() && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
    }

    /// Until the connection is lost, or nothing is left to ask.
    async fn ask_on(&self, mut stream: TcpStream) {
        let mut buffer = Vec::with_capacity(2_048);
        while self.take() {
            let sent = Instant::now();
            // Where it is never answered, that is a wait like any other, and the test that looks at them fails.
            let answer = timeout(PATIENCE, ask(&mut stream, &self.request, &mut buffer)).await;
            let micros = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX);
            let Ok(Some(status)) = answer else {
                self.lost.fetch_add(1, Ordering::SeqCst);
                if answer.is_err() {
                    self.slowest_micros.fetch_max(micros, Ordering::SeqCst);
                }
                return;
            };
            self.slowest_micros.fetch_max(micros, Ordering::SeqCst);
            *self.answered.lock().unwrap().entry(status).or_default() += 1;
        }
    }
}

/// The status of the answer; `None` where the connection is gone.
async fn ask(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> Option<u16> {
    stream.write_all(request).await.ok()?;
    buffer.clear();
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = std::str::from_utf8(&buffer[..head_end]).expect("a head");
    let status = head.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.expect("a length").1.parse().expect("a number");
    while buffer.len() < head_end + length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    Some(status)
}
