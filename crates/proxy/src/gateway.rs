//! What the workers share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

use ahash::RandomState;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_rustls::rustls::ClientConfig;
use tollgate_core::resource::{Counting, KeyId};
use tollgate_core::snapshot::Snapshot;
use tollgate_core::usage::KeyUsage;
use tollgate_counters::Counters;
use tollgate_http1::Version;

use crate::access_log::AccessLogger;
use crate::caller::Caller;
use crate::crossings::Crossings;
use crate::decisions::Decisions;
use crate::failures::FailedCredentials;
use crate::forward::Pools;
use crate::health::Checks;
use crate::key_sets::KeySets;
use crate::live::Live;
use crate::names::Names;
use crate::room::Room;
use crate::settings::Settings;

pub(crate) struct Gateway {
    pub settings: Settings,
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub counters: Arc<Counters>,
    pub pools: Pools,
    /// What new connections to `https` targets begin with.
    pub tls: ArcSwap<ClientConfig>,
    pub access_log: AccessLogger,
    /// Public keys of other issuers.
    pub key_sets: KeySets,
    /// Where work is done that no worker must wait for.
    pub background: Handle,
    pub failed_credentials: FailedCredentials,
    /// What is known of services and targets.
    pub live: Live,
    /// Which of their targets is being asked whether it is well.
    pub checks: Checks,
    /// What targets' names resolve to.
    pub names: Arc<Names>,
    /// Thresholds of limits that were reached.
    pub crossings: Crossings,
    pub decisions: Decisions,
    pub room: Room,
    pub via: Via,
    /// Told where something has panicked that the gateway cannot do without.
    pub failed: Arc<Notify>,
    /// Port that clients reach the proxy at.
    pub port: u16,
    draining: AtomicBool,
    /// No request begins any more.
    closed: AtomicBool,
    in_flight: Box<[InFlight]>,
    key_usage: Mutex<HashMap<KeyId, KeyUsage, RandomState>>,
}

/// One worker's requests that have begun and not ended. Only that worker changes it.
#[repr(align(64))]
#[derive(Default)]
struct InFlight {
    count: AtomicUsize,
    /// Whether the worker knows that the gateway drains.
    is_aware: AtomicBool,
}

/// Whether a request may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Began {
    InTime,
    /// The gateway ends: what was sent is not looked at, so that the client can send it elsewhere.
    TooLate,
}

/// This process in `Via` (RFC 9110 section 7.6.3). Its name is unique, so that a request that comes back is
/// known, and a request that went through another Tollgate is not taken for one.
pub(crate) struct Via {
    name: Box<str>,
    of_http10: Box<str>,
    of_http11: Box<str>,
}

impl Via {
    fn random() -> Self {
        let name = format!("tollgate-{:08x}", fastrand::u32(..));
        let line = |version: &str| format!("Via: {version} {name}\r\n").into();
        Self { of_http10: line("1.0"), of_http11: line("1.1"), name: name.into() }
    }

    pub const fn name(&self) -> &[u8] {
        self.name.as_bytes()
    }

    /// The line that tells of a request that came in this version.
    pub const fn line(&self, version: Version) -> &[u8] {
        match version {
            Version::Http10 => self.of_http10.as_bytes(),
            Version::Http11 => self.of_http11.as_bytes(),
        }
    }
}

impl Gateway {
    pub fn new(
        settings: Settings,
        snapshot: Arc<ArcSwap<Snapshot>>,
        counters: Arc<Counters>,
        tls: ClientConfig,
        access_log: AccessLogger,
        port: u16,
        background: Handle,
    ) -> Self {
        let workers = settings.workers;
        let names = Names::new(&settings.dns_servers, background.clone());
        Self {
            pools: Pools::new(workers, settings.upstream_idle_connections, Arc::clone(&names)),
            failed_credentials: FailedCredentials::new(settings.failures_per_minute),
            room: Room::new(settings.limits.max_requests, settings.limits.max_connections, workers),
            names,
            key_sets: KeySets::kept_in(settings.key_sets_dir.clone()),
            settings,
            snapshot,
            counters,
            tls: ArcSwap::from_pointee(tls),
            access_log,
            background,
            live: Live::default(),
            checks: Checks::default(),
            crossings: Crossings::default(),
            decisions: Decisions::new(workers),
            via: Via::random(),
            failed: Arc::default(),
            port,
            draining: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            in_flight: (0..workers).map(|_| InFlight::default()).collect(),
            key_usage: Mutex::default(),
        }
    }

    /// Takes requests of keys, with their seconds since the epoch, and which of them were refused.
    pub fn note_key_uses(&self, uses: &mut Vec<(KeyId, u32)>, rejections: &mut Vec<KeyId>) {
        if uses.is_empty() && rejections.is_empty() {
            return;
        }
        let mut usage = self.key_usage.lock();
        // A key's counts are seldom in the cache, but no look-up waits for another: many are under way at once.
        for (key, secs) in uses.drain(..) {
            let used = KeyUsage { last_used_secs: secs.into(), requests: 1, rejections: 0 };
            usage.entry(key).or_default().add(&used);
        }
        for key in rejections.drain(..) {
            usage.entry(key).or_default().rejections += 1;
        }
    }

    /// Where what the caller may do is counted; `None` where nothing limits it.
    pub fn counting(&self, caller: &Caller<'_>) -> Option<Counting> {
        let counting = caller.demand()?.limits.counting;
        Some(if self.counters.store().is_some() { counting } else { Counting::Local })
    }

    /// What keys were used since the last call.
    pub fn take_key_usage(&self) -> Vec<(KeyId, KeyUsage)> {
        let mut usage = self.key_usage.lock();
        // The next ones are as many: growing to that again would move each of them several times.
        let next = HashMap::with_capacity_and_hasher(usage.len(), RandomState::new());
        let taken = std::mem::replace(&mut *usage, next);
        drop(usage);
        taken.into_iter().collect()
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Notes that a worker has been told to drain: from now on its thread finds [`Self::is_draining`] true.
    pub fn worker_drains(&self, worker: usize) {
        self.in_flight[worker].is_aware.store(true, Ordering::Release);
    }

    /// Requests that have begun and not ended. While draining, zero is final: whoever was told it may end the
    /// workers, so none begins any more. A worker that does not know yet counts as one that has begun another.
    pub fn in_flight(&self) -> usize {
        let count = self.count_in_flight();
        if count > 0 || !self.is_draining() {
            return count;
        }
        // What a worker counted without a fence, it counted before it became aware: that is visible here.
        let unaware = self.in_flight.iter().filter(|worker| !worker.is_aware.load(Ordering::Acquire)).count();
        if unaware > 0 {
            return unaware;
        }
        self.closed.store(true, Ordering::Relaxed);
        // With the one in `request_began`, which an aware worker never leaves out: either that request sees that it is too late, or it is seen here.
        fence(Ordering::SeqCst);
        self.count_in_flight()
    }

    fn count_in_flight(&self) -> usize {
        self.in_flight.iter().map(|worker| worker.count.load(Ordering::Relaxed)).sum()
    }

    /// Counts a request, unless it came too late to begin.
    pub fn request_began(&self, worker: usize) -> Began {
        let count = &self.in_flight[worker].count;
        // A plain store is enough, and cheaper: there is one writer.
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        if self.is_draining() {
            fence(Ordering::SeqCst);
            if self.closed.load(Ordering::Relaxed) {
                self.request_ended(worker);
                return Began::TooLate;
            }
        }
        Began::InTime
    }

    pub fn request_ended(&self, worker: usize) {
        let count = &self.in_flight[worker].count;
        count.store(count.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }
}
