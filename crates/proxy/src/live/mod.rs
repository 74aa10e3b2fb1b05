//! What is known of services and targets from how their requests went: breakers, ejections, loads. Keyed by their ids,
//! so that it outlives every snapshot.
//!
//! Workers share [`ServiceLive`] and [`TargetLive`]; what is each worker's own is in [`LocalService`].

mod changes;
mod known;
mod local;
mod lookup;
mod picked;
mod queue;
mod seen;
mod service;
mod target;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use ahash::RandomState;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tollgate_core::resource::{ServiceId, TenantId};
use tollgate_core::snapshot::{Service, Snapshot};
use tollgate_core::uptime::{Uptime, micros};

use changes::Changes;
pub use changes::{ChangeCounts, CheckCounts, CircuitCounts, EjectionCounts};
pub(crate) use local::{Asked, LocalService};
pub(crate) use lookup::Lookup;
pub(crate) use picked::Picked;
#[cfg(test)]
pub(crate) use queue::Queue;
pub(crate) use queue::{Entered, Place, Waiter};
pub(crate) use service::ServiceLive;
pub(crate) use target::TargetLive;

use self::known::Known;

pub(crate) struct Live {
    started: Instant,
    services: Mutex<HashMap<ServiceId, Arc<ServiceLive>, RandomState>>,
    known: Known,
    /// Of all services together.
    pub changes: Changes,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            services: Mutex::default(),
            known: Known::default(),
            changes: Changes::default(),
        }
    }
}

impl Live {
    pub fn uptime(&self, instant: Instant) -> Uptime {
        Uptime(micros(instant.saturating_duration_since(self.started)))
    }

    /// Made where nothing was known yet.
    pub fn service(&self, tenant: TenantId, service: ServiceId) -> Arc<ServiceLive> {
        let mut services = self.services.lock();
        self.known.add(service);
        Arc::clone(services.entry(service).or_insert_with(|| Arc::new(ServiceLive::new(tenant))))
    }

    /// Whether nothing is known of a service: it never failed, and nobody asked after its targets. `false` where that
    /// can only be said by looking.
    pub fn is_unknown(&self, service: ServiceId) -> bool {
        !self.known.may_contain(service)
    }

    /// `None` where nothing is known of it.
    pub fn known(&self, service: ServiceId) -> Option<Arc<ServiceLive>> {
        self.services.lock().get(&service).cloned()
    }

    /// Every service of which something is known.
    pub fn each(&self) -> Vec<(ServiceId, Arc<ServiceLive>)> {
        self.services.lock().iter().map(|(&id, live)| (id, Arc::clone(live))).collect()
    }

    /// Drops what is known of services and targets that are gone. The snapshot is looked at under the lock, so that no worker
    /// keeps for itself what was dropped by an older one than it has.
    pub fn forget(&self, snapshots: &ArcSwap<Snapshot>) {
        let mut services = self.services.lock();
        let snapshot = snapshots.load();
        services.retain(|&id, live| {
            live.forget_targets(id, snapshots);
            find(&snapshot, live.tenant, id).is_some()
        });
    }
}

/// A service that something is known of, as it is now.
pub(crate) fn find(snapshot: &Snapshot, tenant: TenantId, service: ServiceId) -> Option<&Service> {
    snapshot.tenant_by_id(tenant)?.service_by_id(service)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::worker::tests::{SERVICE, TENANT, snapshot};

    #[test]
    fn what_is_known_of_a_new_service_is_not_dropped_by_an_older_snapshot() {
        let snapshots = Arc::new(ArcSwap::from_pointee(Snapshot::default()));
        let live = Arc::new(Live::default());
        live.service(TENANT, SERVICE);
        let services = live.services.lock();
        let forgetting = {
            let (live, snapshots) = (Arc::clone(&live), Arc::clone(&snapshots));
            thread::spawn(move || live.forget(&snapshots))
        };
        // By then it waits for the lock.
        thread::sleep(Duration::from_millis(50));
        snapshots.store(Arc::new(snapshot(SocketAddr::from(([127, 0, 0, 1], 9)))));
        drop(services);
        forgetting.join().unwrap();
        assert!(live.known(SERVICE).is_some());
    }
}
