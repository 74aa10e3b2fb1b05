//! Idle upstream connections, by endpoint. Each worker has a pool; one that finds its own empty takes a
//! connection from a sibling before it dials, so that reuse does not fall as cores grow.
//!
//! Where a name has lost an address, connections to that are closed: idle ones with the next purge, others when they
//! come back. Until a name has lost one, nobody asks where its connections lead to.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::RandomState;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tollgate_core::balance::Addresses;
use tollgate_core::resource::Host;
use tollgate_core::snapshot::Endpoint;

use crate::names::Names;
use crate::wire::Stream;

pub(crate) struct Pools {
    workers: Box<[Pool]>,
    /// Most idle connections of one endpoint in one worker.
    most_idle: usize,
    names: Arc<Names>,
}

#[repr(align(64))]
#[derive(Default)]
struct Pool(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    by_endpoint: HashMap<Endpoint, Entry, RandomState>,
    /// What [`Names::losses`] was at the last purge.
    losses: u64,
}

#[derive(Default)]
struct Entry {
    idle: Vec<Idle>,
    /// Of a name that has lost addresses: those which are left.
    left: Option<Arc<Addresses>>,
    /// Whether a connection came back since the last purge.
    is_used: bool,
}

struct Idle {
    stream: Stream,
    since: Instant,
}

impl Pools {
    pub fn new(workers: usize, most_idle: usize, names: Arc<Names>) -> Self {
        Self { workers: (0..workers).map(|_| Pool::default()).collect(), most_idle, names }
    }

    /// A connection to `endpoint` that is open as far as the socket knows.
    pub fn check_out(&self, worker: usize, endpoint: &Endpoint) -> Option<Stream> {
        self.own(worker, endpoint).or_else(|| self.siblings(worker, endpoint))
    }

    pub fn check_in(&self, worker: usize, endpoint: &Endpoint, stream: Stream, now: Instant) {
        let mut pool = self.workers[worker].0.lock();
        let entry = if let Some(entry) = pool.by_endpoint.get_mut(endpoint) {
            entry
        } else {
            // The name may have lost an address while the connection was out and nobody looked.
            let left = self.left(endpoint);
            pool.by_endpoint.entry(endpoint.clone()).or_insert(Entry { left, ..Entry::default() })
        };
        entry.is_used = true;
        if entry.idle.len() < self.most_idle && leads_to(entry.left.as_deref(), &stream) {
            entry.idle.push(Idle { stream, since: now });
        }
    }

    /// Closes what has been idle for `most`, what the other side has closed, and what leads to where a name does not
    /// lead any more. Names that were used are told so.
    pub fn purge(&self, worker: usize, now: Instant, most: Duration) {
        let mut pool = self.workers[worker].0.lock();
        let losses = self.names.losses();
        let has_lost = mem::replace(&mut pool.losses, losses) != losses;
        pool.by_endpoint.retain(|endpoint, Entry { idle, left, is_used }| {
            let is_used = mem::take(is_used);
            if let (true, Host::Name(name)) = (is_used, &endpoint.host) {
                self.names.note_used(name);
            }
            if has_lost {
                *left = self.left(endpoint);
            }
            idle.retain(|connection| {
                now.saturating_duration_since(connection.since) < most
                    && connection.stream.is_idle_and_open()
                    && leads_to(left.as_deref(), &connection.stream)
            });
            is_used || left.is_some() || !idle.is_empty()
        });
    }

    /// Of a name that has lost addresses: those which are left.
    fn left(&self, endpoint: &Endpoint) -> Option<Arc<Addresses>> {
        match &endpoint.host {
            Host::Name(name) => self.names.left(name),
            Host::Address(_) => None,
        }
    }

    fn own(&self, worker: usize, endpoint: &Endpoint) -> Option<Stream> {
        let mut pool = self.workers[worker].0.lock();
        let idle = &mut pool.by_endpoint.get_mut(endpoint)?.idle;
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
            let idle = &mut pool.by_endpoint.get_mut(endpoint)?.idle;
            // A TLS session cannot change the reactor that it is registered with.
            let position =
                idle.iter().rposition(|connection| matches!(connection.stream, Stream::Plain(_)))?;
            let connection = idle.swap_remove(position);
            drop(pool);
            rehome(connection.stream)
        })
    }
}

/// Whether a connection leads to one of these addresses, or may lead anywhere.
fn leads_to(addresses: Option<&Addresses>, stream: &Stream) -> bool {
    addresses.is_none_or(|addresses| stream.peer_ip().is_some_and(|ip| addresses.contains(ip)))
}

/// Registers the connection with the calling worker's reactor. Its state is unknown there at first, so the
/// socket itself is asked whether it is still open.
fn rehome(stream: Stream) -> Option<Stream> {
    let Stream::Plain(tcp) = stream else { return None };
    let tcp = tcp.into_std().ok()?;
    let open = matches!(tcp.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
    if open { TcpStream::from_std(tcp).ok().map(Stream::Plain) } else { None }
}
