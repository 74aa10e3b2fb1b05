//! What the proxy of this process knows of services from how their requests went. A control plane without a proxy
//! beside it knows nothing of that.

use tollgate_core::breaker::Reading;
use tollgate_core::resource::ServiceId;

/// The proxy of this process.
pub trait LiveTraffic: Send + Sync {
    /// `None` where there is no proxy.
    fn circuit(&self, service: ServiceId) -> Option<Reading>;

    /// Closes the service's circuit.
    fn reset_circuit(&self, service: ServiceId);
}
