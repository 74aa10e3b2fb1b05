//! What a node has said of services, as it was when it was heard last.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tollgate_core::breaker::Reading;
use tollgate_core::health::TargetHealth;
use tollgate_core::resource::{Service, ServiceId, TargetId};
use tollgate_core::sighting::{
    Begins, CircuitSeen, Ends, MOST_A_NODE, ServiceSeen, SightingReport, TargetSeen,
};
use tollgate_core::snapshot::Snapshot;
use tollgate_core::uptime::Uptime;
use uuid::Uuid;

/// Some reports long: a node that has said nothing for so long is not known any more.
const STALE_AFTER: Duration = Duration::from_secs(10);

/// What one node has said. Nothing of a service means that all is as usual with it, once the node has said all.
#[derive(Debug, Clone, Default)]
pub struct Sighted {
    heard: Option<Heard>,
    services: HashMap<ServiceId, Arc<ServiceSeen>>,
}

/// The last report.
#[derive(Debug, Clone, Copy)]
struct Heard {
    session: Uuid,
    sequence: u64,
    at: Instant,
    /// The node's clock then.
    uptime: Uptime,
    /// Whether everything was said once.
    extent: Extent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    Part,
    Whole,
}

/// One node, as operators see it.
#[derive(Debug, Clone)]
pub struct SightedNode {
    pub name: String,
    pub link: NodeLink,
    pub sighted: Arc<Sighted>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeLink {
    Connected,
    Away,
}

/// How much what a node has said is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It was heard just now.
    Current,
    /// It is away, is silent, or has not said everything yet.
    Stale,
}

impl Sighted {
    /// Takes a report that [`SightingReport::check`] has let through. Services and targets that do not exist are left out.
    pub fn take(&mut self, report: SightingReport, snapshot: &Snapshot, at: Instant) {
        let SightingReport { session, sequence, now: uptime, begins, ends, services, usual, done: _ } =
            report;
        let goes_on = self.heard.filter(|heard| heard.session == session);
        if goes_on.is_some_and(|heard| sequence <= heard.sequence) {
            return;
        }
        let extent = match (begins, goes_on) {
            (Begins::Anew, _) => {
                self.services.clear();
                Extent::Part
            }
            (Begins::WhereItWas, Some(heard)) => heard.extent,
            // What it goes on from was never heard here.
            (Begins::WhereItWas, None) => return,
        };
        for mut seen in services {
            let tenant = snapshot.tenant_by_id(seen.tenant);
            let Some(service) = tenant.and_then(|tenant| tenant.service_by_id(seen.service)) else {
                continue;
            };
            seen.targets.retain(|seen| service.targets.iter().any(|target| target.id == seen.target));
            seen.targets.truncate(service.targets.len());
            if self.services.len() < MOST_A_NODE || self.services.contains_key(&seen.service) {
                self.services.insert(seen.service, Arc::new(seen));
            }
        }
        for service in usual {
            self.services.remove(&service);
        }
        let extent = match ends {
            Ends::Complete | Ends::ForGood => Extent::Whole,
            Ends::Cut => extent,
        };
        self.heard = Some(Heard { session, sequence, at, uptime, extent });
    }
}

impl SightedNode {
    pub fn standing(&self, now: Instant) -> Standing {
        match (self.link, self.sighted.heard) {
            (NodeLink::Connected, Some(Heard { extent: Extent::Whole, at, .. }))
                if now.saturating_duration_since(at) < STALE_AFTER =>
            {
                Standing::Current
            }
            (NodeLink::Connected | NodeLink::Away, _) => Standing::Stale,
        }
    }

    /// How long ago it was heard; nothing before the first time.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.sighted.heard.map(|heard| now.saturating_duration_since(heard.at))
    }

    /// The circuit of a service. Nothing where it has not said everything yet.
    pub fn circuit(&self, service: ServiceId, now: Instant) -> Option<Reading> {
        self.read(now, |sighted| sighted.services.get(&service).map(|seen| seen.circuit))
    }

    /// The same of one of the service's targets.
    pub fn target_circuit(&self, service: ServiceId, target: TargetId, now: Instant) -> Option<Reading> {
        self.read(now, |sighted| Some(sighted.services.get(&service)?.target(target)?.circuit))
    }

    /// How the service's targets are. Requests under way are not told, and of the checks only the last.
    pub fn health(&self, service: &Service, now: Instant) -> Vec<TargetHealth> {
        let Some(uptime) = self.uptime(now) else { return Vec::new() };
        let Some(seen) = self.sighted.services.get(&service.id) else { return Vec::new() };
        let ejected_for = |until: Uptime| Some(until.since(uptime)).filter(|wait| !wait.is_zero());
        let read = |target: &TargetSeen| TargetHealth {
            target: target.target,
            verdict: target.verdict,
            ejected_for: target.ejected_until.and_then(ejected_for),
            in_flight: 0,
            history: target.last_check.iter().cloned().collect(),
        };
        seen.targets.iter().map(read).collect()
    }

    fn read(&self, now: Instant, find: impl Fn(&Sighted) -> Option<CircuitSeen>) -> Option<Reading> {
        let heard = self.sighted.heard?;
        match (find(&self.sighted), heard.extent) {
            (Some(seen), Extent::Whole | Extent::Part) => Some(seen.read(self.uptime(now)?)),
            (None, Extent::Whole) => Some(CircuitSeen::default().read(Uptime::default())),
            (None, Extent::Part) => None,
        }
    }

    /// The node's own clock.
    fn uptime(&self, now: Instant) -> Option<Uptime> {
        self.sighted.heard.map(|heard| heard.uptime.after(now.saturating_duration_since(heard.at)))
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::breaker::State;
    use tollgate_core::resource::{DisplayName, Tenant, TenantId, TenantSlug, TimeZone};
    use tollgate_core::snapshot::Change;

    use super::*;

    const TENANT: TenantId = TenantId(Uuid::from_u128(1));
    const SERVICE: ServiceId = ServiceId(Uuid::from_u128(2));

    fn report(session: u128, sequence: u64, begins: Begins) -> SightingReport {
        SightingReport {
            session: Uuid::from_u128(session),
            sequence,
            now: Uptime::from_secs(100),
            begins,
            ends: Ends::Complete,
            services: Vec::new(),
            usual: Vec::new(),
            done: Vec::new(),
        }
    }

    fn node(sighted: Sighted, link: NodeLink) -> SightedNode {
        SightedNode { name: "edge".to_owned(), link, sighted: Arc::new(sighted) }
    }

    #[test]
    fn a_node_is_known_while_it_is_connected_and_heard() {
        let (snapshot, at) = (Snapshot::default(), Instant::now());
        let mut sighted = Sighted::default();
        assert_eq!(node(sighted.clone(), NodeLink::Connected).standing(at), Standing::Stale);
        sighted.take(report(1, 1, Begins::Anew), &snapshot, at);
        let connected = node(sighted.clone(), NodeLink::Connected);
        assert_eq!(connected.standing(at), Standing::Current);
        assert_eq!(connected.circuit(SERVICE, at).map(|reading| reading.state), Some(State::Closed));
        assert_eq!(connected.standing(at + STALE_AFTER), Standing::Stale);
        assert_eq!(connected.age(at + STALE_AFTER), Some(STALE_AFTER));
        assert_eq!(node(sighted, NodeLink::Away).standing(at), Standing::Stale);
    }

    #[test]
    fn what_was_overtaken_or_goes_on_from_what_was_not_heard_is_not_taken() {
        let (snapshot, at) = (Snapshot::default(), Instant::now());
        let later = at + Duration::from_secs(1);
        let mut sighted = Sighted::default();
        sighted.take(report(1, 1, Begins::WhereItWas), &snapshot, at);
        assert_eq!(node(sighted.clone(), NodeLink::Connected).age(at), None);
        sighted.take(report(1, 2, Begins::Anew), &snapshot, at);
        for other in
            [report(1, 2, Begins::Anew), report(1, 1, Begins::Anew), report(2, 9, Begins::WhereItWas)]
        {
            sighted.take(other, &snapshot, later);
            assert_eq!(node(sighted.clone(), NodeLink::Connected).age(at), Some(Duration::ZERO));
        }
        sighted.take(report(2, 1, Begins::Anew), &snapshot, later);
        assert_eq!(node(sighted, NodeLink::Connected).age(later), Some(Duration::ZERO));
    }

    #[test]
    fn services_that_do_not_exist_take_no_place() {
        let tenant = Tenant {
            id: TENANT,
            slug: TenantSlug::parse("acme").unwrap(),
            name: DisplayName::parse("Acme").unwrap(),
            time_zone: TimeZone::parse("UTC").unwrap(),
            limits: Vec::new(),
        };
        let snapshot = Snapshot::default().with(&[Change::PutTenant(tenant)], 1).unwrap();
        let seen = ServiceSeen {
            tenant: TENANT,
            service: SERVICE,
            circuit: CircuitSeen { state: State::Open, ..CircuitSeen::default() },
            targets: Vec::new(),
        };
        let mut sighted = Sighted::default();
        let report = SightingReport { services: vec![seen], ..report(1, 1, Begins::Anew) };
        sighted.take(report, &snapshot, Instant::now());
        assert!(sighted.services.is_empty());
    }
}
