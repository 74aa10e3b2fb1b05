//! Idle upstream connections, by endpoint. Each worker has a pool; one that finds its own empty takes a
//! connection from a sibling before it dials, so that reuse does not fall as cores grow.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ahash::RandomState;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tollgate_core::snapshot::Endpoint;

use crate::wire::Stream;

pub(crate) struct Pools {
    workers: Box<[Pool]>,
    /// Most idle connections of one endpoint in one worker.
    most_idle: usize,
}

#[repr(align(64))]
#[derive(Default)]
struct Pool(Mutex<HashMap<Endpoint, Vec<Idle>, RandomState>>);

struct Idle {
    stream: Stream,
    since: Instant,
}

impl Pools {
    pub fn new(workers: usize, most_idle: usize) -> Self {
        Self { workers: (0..workers).map(|_| Pool::default()).collect(), most_idle }
    }

    /// A connection to `endpoint` that is open as far as the socket knows.
    pub fn check_out(&self, worker: usize, endpoint: &Endpoint) -> Option<Stream> {
        self.own(worker, endpoint).or_else(|| self.siblings(worker, endpoint))
    }

    pub fn check_in(&self, worker: usize, endpoint: &Endpoint, stream: Stream, now: Instant) {
        let mut pool = self.workers[worker].0.lock();
        match pool.get_mut(endpoint) {
            Some(idle) if idle.len() >= self.most_idle => {}
            Some(idle) => idle.push(Idle { stream, since: now }),
            None => {
                pool.insert(endpoint.clone(), vec![Idle { stream, since: now }]);
            }
        }
    }

    /// Closes what has been idle for `most`, and what the other side has closed.
    pub fn purge(&self, worker: usize, now: Instant, most: Duration) {
        self.workers[worker].0.lock().retain(|_, idle| {
            idle.retain(|connection| {
                now.saturating_duration_since(connection.since) < most && connection.stream.is_idle_and_open()
            });
            !idle.is_empty()
        });
    }

    fn own(&self, worker: usize, endpoint: &Endpoint) -> Option<Stream> {
        let mut pool = self.workers[worker].0.lock();
        let idle = pool.get_mut(endpoint)?;
        // The one used last is the least likely to have been closed.
        while let Some(connection) = idle.pop() {
            if connection.stream.is_idle_and_open() {
                return Some(connection.stream);
            }
        }
        None
    }

    fn siblings(&self, worker: usize, endpoint: &Endpoint) -> Option<Stream> {
        let count = self.workers.len();
        (1..count).find_map(|distance| {
            let sibling = &self.workers[(worker + distance) % count];
            let mut pool = sibling.0.try_lock()?;
            let idle = pool.get_mut(endpoint)?;
            // A TLS session cannot change the reactor that it is registered with.
            let position =
                idle.iter().rposition(|connection| matches!(connection.stream, Stream::Plain(_)))?;
            let connection = idle.swap_remove(position);
            drop(pool);
            rehome(connection.stream)
        })
    }
}

/// Registers the connection with the calling worker's reactor. Its state is unknown there at first, so the
/// socket itself is asked whether it is still open.
fn rehome(stream: Stream) -> Option<Stream> {
    let Stream::Plain(tcp) = stream else { return None };
    let tcp = tcp.into_std().ok()?;
    let open = matches!(tcp.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
    if open { TcpStream::from_std(tcp).ok().map(Stream::Plain) } else { None }
}
