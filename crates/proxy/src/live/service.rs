//! One service, as all workers know it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tollgate_core::breaker::Breaker;
use tollgate_core::hedge::Latencies;
use tollgate_core::resource::{ServiceId, TargetId, TenantId};
use tollgate_core::snapshot::Snapshot;

use super::queue::Queue;
use super::{TargetLive, find};

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

    /// Drops what is known of targets that are gone. As in [`super::Live::forget`] the snapshot is looked at under the lock.
    pub fn forget_targets(&self, service: ServiceId, snapshots: &ArcSwap<Snapshot>) {
        let mut targets = self.targets.lock();
        let snapshot = snapshots.load();
        // One that is gone by now is dropped as a whole when it is looked for next.
        if let Some(service) = find(&snapshot, self.tenant, service) {
            targets.retain(|&id, _| service.targets.iter().any(|held| held.id == id));
        }
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::thread;
    use std::time::Duration;

    use tollgate_core::snapshot::Change;
    use uuid::Uuid;

    use super::*;
    use crate::worker::tests::{SERVICE, TENANT, service, snapshot};

    #[test]
    fn what_is_known_of_a_new_target_is_not_dropped_by_an_older_snapshot() {
        let upstream = SocketAddr::from(([127, 0, 0, 1], 9));
        let (older, added) = (snapshot(upstream), TargetId(Uuid::from_u128(7)));
        let mut service = service(upstream);
        service.targets[0].id = added;
        let newer = older.with(&[Change::PutService(service)], 2).unwrap();
        let snapshots = Arc::new(ArcSwap::from_pointee(older));
        let live = Arc::new(ServiceLive::new(TENANT));
        let kept = live.target(added);
        let targets = live.targets.lock();
        let forgetting = {
            let (live, snapshots) = (Arc::clone(&live), Arc::clone(&snapshots));
            thread::spawn(move || live.forget_targets(SERVICE, &snapshots))
        };
        // By then it waits for the lock.
        thread::sleep(Duration::from_millis(50));
        snapshots.store(Arc::new(newer));
        drop(targets);
        forgetting.join().unwrap();
        assert!(Arc::ptr_eq(&kept, &live.target(added)));
    }
}
