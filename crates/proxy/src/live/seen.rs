//! What there is to say of services, for a control plane elsewhere.

use tollgate_core::resource::{ServiceId, TargetId};
use tollgate_core::sighting::{CircuitSeen, ServiceSeen, Sighting, TargetSeen, shortened};
use tollgate_core::uptime::Uptime;

use super::{Live, ServiceLive, TargetLive};

impl Live {
    /// Looked up from the side, now and then: no request waits for it for longer than a list is copied.
    pub fn sighting(&self, now: Uptime) -> Sighting {
        let services = self.each();
        let seen = services.iter().map(|(id, live)| live.seen(*id, now));
        Sighting { now, services: seen.filter(|service| !service.is_usual()).collect() }
    }
}

impl ServiceLive {
    fn seen(&self, service: ServiceId, now: Uptime) -> ServiceSeen {
        let mut targets: Vec<_> = self.each_target().iter().map(|(id, live)| live.seen(*id, now)).collect();
        targets.retain(|target| !target.is_usual());
        // The same state is told in the same order.
        targets.sort_unstable_by_key(|target| target.target);
        let circuit = CircuitSeen::of(self.breaker.read(now), now);
        ServiceSeen { tenant: self.tenant, service, circuit, targets }
    }
}

impl TargetLive {
    fn seen(&self, target: TargetId, now: Uptime) -> TargetSeen {
        let circuit = CircuitSeen::of(self.breaker.read(now), now);
        let ejected_until = self.ejected_until().filter(|&until| until > now);
        let (verdict, last_check) = self.last_check();
        TargetSeen { target, circuit, verdict, ejected_until, last_check: last_check.as_ref().map(shortened) }
    }
}
