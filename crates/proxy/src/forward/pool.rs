//! Idle upstream connections, by endpoint. Each worker has a pool; one that finds its own empty takes a
//! connection from a sibling before it dials, so that reuse does not fall as cores grow.
//!
//! Where an endpoint's host is a name with several addresses, it is decided here whose turn it is, for each request and
//! before it is looked for a connection: an address that is new gets its share though there are connections to others.
//! Once a second a pool looks whether any name has changed; where one has lost an address, connections to that are
//! closed: idle ones at once, others when they come back.

use std::collections::HashMap;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::RandomState;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tollgate_core::balance::{Addresses, Turn};
use tollgate_core::resource::Host;
use tollgate_core::snapshot::Endpoint;
use tollgate_core::uptime::Uptime;

use super::dial::Upstream;
use super::idle::Entry;
use crate::names::Names;
use crate::wire::Stream;

pub(crate) struct Pools {
    workers: Box<[Pool]>,
    /// Most idle connections of one endpoint, or of one address of its name, in one worker.
    most_idle: usize,
    names: Arc<Names>,
}

#[repr(align(64))]
#[derive(Default)]
struct Pool(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    by_endpoint: HashMap<Endpoint, Entry, RandomState>,
    /// What [`Names::changes`] was at the last purge.
    changes: u64,
}

/// What there is for a request.
pub(crate) struct CheckedOut {
    /// A connection that is open as far as the socket knows.
    pub idle: Option<Upstream>,
    /// Where a new connection leads to if it can, where that is decided.
    pub first: Option<IpAddr>,
}

impl Pools {
    pub fn new(workers: usize, most_idle: usize, names: Arc<Names>) -> Self {
        Self { workers: (0..workers).map(|_| Pool::default()).collect(), most_idle, names }
    }

    pub fn check_out(&self, worker: usize, endpoint: &Endpoint, now: impl FnOnce() -> Uptime) -> CheckedOut {
        let mut pool = self.workers[worker].0.lock();
        let entry = match pool.by_endpoint.get_mut(endpoint) {
            // Most often that is all: neither for an IP address nor for a name with one is anything else looked at.
            Some(entry) => match entry.take() {
                idle @ Some(_) => return CheckedOut { idle, first: None },
                None => Some(entry),
            },
            None => self.addresses(endpoint).map(|addresses| {
                pool.by_endpoint.entry(endpoint.clone()).or_insert(Entry::new(Some(addresses)))
            }),
        };
        let turn = entry.and_then(|entry| Some((entry.take_turn(now)?, entry)));
        match turn {
            None => {
                drop(pool);
                CheckedOut { idle: self.siblings(worker, endpoint, Entry::take_movable), first: None }
            }
            Some((Turn::Trial(ip), _)) => CheckedOut { idle: None, first: Some(ip) },
            Some((Turn::At(ip), entry)) => {
                let own = entry.take_to(ip);
                drop(pool);
                let theirs = || self.siblings(worker, endpoint, |entry| entry.take_movable_to(ip));
                CheckedOut { idle: own.or_else(theirs), first: Some(ip) }
            }
        }
    }

    pub fn check_in(&self, worker: usize, endpoint: &Endpoint, upstream: Upstream, now: Instant) {
        let mut pool = self.workers[worker].0.lock();
        let entry = if let Some(entry) = pool.by_endpoint.get_mut(endpoint) {
            entry
        } else {
            // The name may have lost an address while the connection was out and nobody looked.
            let entry = Entry::new(self.addresses(endpoint));
            pool.by_endpoint.entry(endpoint.clone()).or_insert(entry)
        };
        entry.put(upstream, now, self.most_idle);
    }

    /// Nothing came over an idle connection to one of a name's addresses: the others are used until a new connection tells
    /// that it can be reached.
    pub fn note_silence(&self, endpoint: &Endpoint, ip: IpAddr, now: Uptime) {
        if let Some(addresses) = self.addresses(endpoint) {
            addresses.avoid(ip, now);
        }
    }

    /// Closes what has been idle for `most`, what the other side has closed, and what leads to where a name does not
    /// lead any more. Names that were used are told so.
    pub fn purge(&self, worker: usize, now: Instant, most: Duration) {
        let mut pool = self.workers[worker].0.lock();
        let changes = self.names.changes();
        let has_changed = mem::replace(&mut pool.changes, changes) != changes;
        pool.by_endpoint.retain(|endpoint, entry| {
            let is_used = mem::take(&mut entry.is_used);
            if let (true, Host::Name(name)) = (is_used, &endpoint.host) {
                self.names.note_used(name.to_look_up());
            }
            if has_changed {
                entry.lead_to(self.addresses(endpoint));
            }
            entry.retain_open(now, most);
            is_used || !entry.is_empty()
        });
    }

    /// Of a name that is known.
    fn addresses(&self, endpoint: &Endpoint) -> Option<Arc<Addresses>> {
        match &endpoint.host {
            Host::Name(name) => self.names.known(name.to_look_up()),
            Host::Address(_) => None,
        }
    }

    fn siblings(
        &self,
        worker: usize,
        endpoint: &Endpoint,
        take: impl Fn(&mut Entry) -> Option<Upstream>,
    ) -> Option<Upstream> {
        let count = self.workers.len();
        (1..count).find_map(|distance| {
            let sibling = &self.workers[(worker + distance) % count];
            let mut pool = sibling.0.try_lock()?;
            let upstream = take(pool.by_endpoint.get_mut(endpoint)?)?;
            drop(pool);
            rehome(upstream)
        })
    }
}

/// Registers the connection with the calling worker's reactor. Its state is unknown there at first, so the
/// socket itself is asked whether it is still open.
fn rehome(Upstream { stream, ip }: Upstream) -> Option<Upstream> {
    let Stream::Plain(tcp) = stream else { return None };
    let tcp = tcp.into_std().ok()?;
    let open = matches!(tcp.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
    let stream = if open { TcpStream::from_std(tcp).ok().map(Stream::Plain) } else { None };
    Some(Upstream { stream: stream?, ip })
}
