//! One service, as all workers know it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use parking_lot::Mutex;
use tollgate_core::breaker::Breaker;
use tollgate_core::hedge::Latencies;
use tollgate_core::resource::{TargetId, TenantId};

use super::TargetLive;
use super::queue::Queue;

pub(crate) struct ServiceLive {
    pub tenant: TenantId,
    pub breaker: Breaker,
    pub queue: Queue,
    /// Of requests that may be hedged.
    pub latencies: Mutex<Latencies>,
    pub hedges: Hedges,
    /// Counts what changes who takes requests.
    epoch: AtomicU64,
    targets: Mutex<HashMap<TargetId, Arc<TargetLive>, RandomState>>,
}

impl ServiceLive {
    pub fn new(tenant: TenantId) -> Self {
        Self {
            tenant,
            breaker: Breaker::default(),
            queue: Queue::default(),
            latencies: Mutex::default(),
            hedges: Hedges::default(),
            epoch: AtomicU64::new(0),
            targets: Mutex::default(),
        }
    }

    /// Made where nothing was known yet.
    pub fn target(&self, id: TargetId) -> Arc<TargetLive> {
        Arc::clone(self.targets.lock().entry(id).or_default())
    }

    /// Those of which something may be known.
    pub fn each_target(&self) -> Vec<(TargetId, Arc<TargetLive>)> {
        self.targets.lock().iter().map(|(&id, live)| (id, Arc::clone(live))).collect()
    }

    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Who takes requests has to be derived anew.
    pub fn targets_changed(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }

    pub fn keep_targets(&self, is_kept: impl Fn(TargetId) -> bool) {
        self.targets.lock().retain(|&id, _| is_kept(id));
    }
}

/// Second copies of requests that were late.
#[derive(Default)]
pub(crate) struct Hedges {
    sent: AtomicU64,
    won: AtomicU64,
}

impl Hedges {
    pub fn sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub fn won(&self) {
        self.won.fetch_add(1, Ordering::Relaxed);
    }

    /// How many went out, and how many of them answered first.
    pub fn read(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.won.load(Ordering::Relaxed))
    }
}
