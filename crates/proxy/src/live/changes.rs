//! What changes by itself, as it is told to operators: each change is a line in the log and counted, over all tenants
//! together. Circuits that open and close, targets that are left out, and what checks find.

use std::sync::atomic::{AtomicU64, Ordering};

use tollgate_core::breaker::Transition;
use tollgate_core::health::Verdict;
use tollgate_core::outlier::{Ejection, Reason};
use tollgate_core::snapshot::{Service, Target};
use tollgate_core::uptime::Uptime;
use uuid::Uuid;

#[derive(Default)]
pub(crate) struct Changes {
    opened: Count,
    half_opened: Count,
    closed: Count,
    ejected_in_a_row: Count,
    ejected_by_ratio: Count,
    healthy: Count,
    unhealthy: Count,
}

/// How often each has happened since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeCounts {
    pub circuits: CircuitCounts,
    pub ejections: EjectionCounts,
    pub checks: CheckCounts,
}

/// Circuits, by what they became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CircuitCounts {
    pub opened: u64,
    pub half_opened: u64,
    pub closed: u64,
}

/// Targets that were left out for failing, by why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EjectionCounts {
    pub consecutive: u64,
    pub ratio: u64,
}

/// Targets by what their checks have found where they had found something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckCounts {
    pub healthy: u64,
    pub unhealthy: u64,
}

#[derive(Default)]
struct Count(AtomicU64);

impl Count {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Changes {
    /// Of a service.
    pub fn circuit(&self, service: &Service, transition: Transition) {
        self.count(transition);
        let (service, id) = (service.slug.as_str(), service.id.0);
        match transition {
            Transition::Opened => tracing::warn!(service, %id, "a circuit opens: the service fails"),
            Transition::HalfOpened => tracing::info!(service, %id, "a circuit is half open: some may try"),
            Transition::Closed => tracing::info!(service, %id, "a circuit closes: the service works"),
        }
    }

    /// Of one of a service's targets.
    pub fn target_circuit(&self, service: &Service, target: &Target, transition: Transition) {
        self.count(transition);
        let (service, id, address) = target_of(service, target);
        match transition {
            Transition::Opened => tracing::warn!(service, %id, address, "a circuit opens: the target fails"),
            Transition::HalfOpened => {
                tracing::info!(service, %id, address, "a circuit is half open: some may try");
            }
            Transition::Closed => tracing::info!(service, %id, address, "a circuit closes: the target works"),
        }
    }

    /// By an operator: nobody has seen that the service works.
    pub fn circuit_reset(&self, service: &Service) {
        self.count(Transition::Closed);
        let (service, id) = (service.slug.as_str(), service.id.0);
        tracing::info!(service, %id, "a circuit is closed by hand");
    }

    /// The same of one of a service's targets.
    pub fn target_circuit_reset(&self, service: &Service, target: &Target) {
        self.count(Transition::Closed);
        let (service, id, address) = target_of(service, target);
        tracing::info!(service, %id, address, "a circuit is closed by hand");
    }

    fn count(&self, transition: Transition) {
        match transition {
            Transition::Opened => self.opened.add(),
            Transition::HalfOpened => self.half_opened.add(),
            Transition::Closed => self.closed.add(),
        }
    }

    pub fn ejection(&self, service: &Service, target: &Target, ejection: Ejection, now: Uptime) {
        let Ejection { until, reason } = ejection;
        match reason {
            Reason::Consecutive => self.ejected_in_a_row.add(),
            Reason::Ratio => self.ejected_by_ratio.add(),
        }
        let (service, id, address) = target_of(service, target);
        let seconds = until.since(now).as_secs();
        tracing::warn!(service, %id, address, ?reason, seconds, "a target is left out: it fails");
    }

    pub fn verdict(&self, service: &Service, target: &Target, verdict: Verdict) {
        let (service, id, address) = target_of(service, target);
        match verdict {
            Verdict::Healthy | Verdict::Unknown => {
                self.healthy.add();
                tracing::info!(service, %id, address, "a target is well");
            }
            Verdict::Unhealthy => {
                self.unhealthy.add();
                tracing::warn!(service, %id, address, "a target is left out: its checks fail");
            }
        }
    }

    pub fn read(&self) -> ChangeCounts {
        ChangeCounts {
            circuits: CircuitCounts {
                opened: self.opened.read(),
                half_opened: self.half_opened.read(),
                closed: self.closed.read(),
            },
            ejections: EjectionCounts {
                consecutive: self.ejected_in_a_row.read(),
                ratio: self.ejected_by_ratio.read(),
            },
            checks: CheckCounts { healthy: self.healthy.read(), unhealthy: self.unhealthy.read() },
        }
    }
}

/// The service's slug and id, as another tenant may have a service of that slug, and where the target is.
fn target_of<'a>(service: &'a Service, target: &'a Target) -> (&'a str, Uuid, &'a str) {
    (service.slug.as_str(), service.id.0, target.authority.as_str())
}
