//! What the workers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ahash::RandomState;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio_rustls::TlsConnector;
use tollgate_core::resource::KeyId;
use tollgate_core::snapshot::Snapshot;
use tollgate_counters::LocalCounters;

use crate::access_log::AccessLogger;
use crate::forward::Pools;
use crate::settings::Settings;

pub(crate) type LastUsed = std::collections::HashMap<KeyId, u64, RandomState>;

pub(crate) struct Gateway {
    pub settings: Settings,
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub counters: Arc<LocalCounters>,
    pub pools: Pools,
    pub tls: TlsConnector,
    pub access_log: AccessLogger,
    /// This process's name in `Via`: unique, so that a request that comes back is known, and a request that
    /// went through another Tollgate is not taken for one.
    pub via: Box<[u8]>,
    /// Port that clients reach the proxy at.
    pub port: u16,
    draining: AtomicBool,
    in_flight: Box<[InFlight]>,
    pub last_used: Mutex<LastUsed>,
}

/// One worker's requests that have begun and not ended. Only that worker changes it.
#[repr(align(64))]
#[derive(Default)]
struct InFlight(AtomicUsize);

impl Gateway {
    pub fn new(
        settings: Settings,
        snapshot: Arc<ArcSwap<Snapshot>>,
        counters: Arc<LocalCounters>,
        tls: TlsConnector,
        access_log: AccessLogger,
        port: u16,
    ) -> Self {
        let workers = settings.workers;
        Self {
            pools: Pools::new(workers, settings.upstream_idle_connections),
            settings,
            snapshot,
            counters,
            tls,
            access_log,
            via: format!("tollgate-{:08x}", fastrand::u32(..)).into_bytes().into(),
            port,
            draining: AtomicBool::new(false),
            in_flight: (0..workers).map(|_| InFlight::default()).collect(),
            last_used: Mutex::default(),
        }
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.iter().map(|worker| worker.0.load(Ordering::Relaxed)).sum()
    }

    pub fn request_began(&self, worker: usize) {
        let count = &self.in_flight[worker].0;
        // A plain store is enough, and cheaper: there is one writer.
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    pub fn request_ended(&self, worker: usize) {
        let count = &self.in_flight[worker].0;
        count.store(count.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }
}
