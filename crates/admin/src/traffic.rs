//! What the proxy of this process knows of services from how their requests went. A control plane without a proxy
//! beside it knows nothing of that.

use std::future::Future;
use std::pin::Pin;

use tollgate_core::breaker::Reading;
use tollgate_core::channel;
use tollgate_core::health::{NoTurn, TargetHealth};
use tollgate_core::resource::{ServiceId, TargetId, TenantId};

/// Done when what the checks have found is known.
pub type Checking = Pin<Box<dyn Future<Output = Result<(), NoTurn>> + Send>>;

/// The proxy of this process.
pub trait LiveTraffic: Send + Sync {
    /// `None` where there is no proxy.
    fn circuit(&self, service: ServiceId) -> Option<Reading>;

    /// The same of one of its targets, where those have circuits of their own.
    fn target_circuit(&self, service: ServiceId, target: TargetId) -> Option<Reading>;

    /// Closes the service's circuit, and those of its targets.
    fn reset_circuit(&self, service: ServiceId);

    /// What is known of the service's targets, in their order; `None` where there is no proxy.
    fn health(&self, tenant: TenantId, service: ServiceId) -> Option<Vec<TargetHealth>>;

    /// How many requests the service has and how many wait; `None` where it has as many as come.
    fn channel(&self, tenant: TenantId, service: ServiceId) -> Option<channel::Reading>;

    /// Has all of the service's targets asked whether they are well.
    fn check(&self, tenant: TenantId, service: ServiceId) -> Checking;
}
