//! Active checks: targets are asked in the background whether they are well, never on a worker.

mod check;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ahash::RandomState;
use tokio::task::JoinSet;
use tollgate_core::health::{CheckResult, next_check};
use tollgate_core::resource::{HealthCheck, ServiceId, TargetId, TenantId};
use tollgate_core::snapshot::{Service, Snapshot, Target};

use crate::clock::Clock;
use crate::gateway::Gateway;

/// How soon a change of what is to be checked is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Checks at once; what is due besides waits.
const MOST_AT_ONCE: usize = 256;

/// A target that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Subject {
    tenant: TenantId,
    service: ServiceId,
    target: TargetId,
}

/// Checks targets for as long as the gateway is there.
pub(crate) async fn run(gateway: Weak<Gateway>) {
    let (mut due, mut under_way) = (Due::default(), JoinSet::new());
    loop {
        let Some(gateway) = gateway.upgrade() else { return };
        let snapshot = gateway.snapshot.load_full();
        let now = Instant::now();
        due.follow(&snapshot, now);
        while under_way.len() < MOST_AT_ONCE
            && let Some(subject) = due.take(&snapshot, now)
        {
            let (gateway, snapshot) = (Arc::clone(&gateway), Arc::clone(&snapshot));
            under_way.spawn(async move { check_subject(&gateway, &snapshot, subject).await });
        }
        drop((gateway, snapshot));
        while under_way.try_join_next().is_some() {}
        tokio::time::sleep(due.wait(Instant::now())).await;
    }
}

/// When whom is checked next.
#[derive(Default)]
struct Due {
    revision: Option<u64>,
    next: HashMap<Subject, Instant, RandomState>,
}

impl Due {
    /// Takes in who is to be checked by this snapshot. Who is new is checked at once.
    fn follow(&mut self, snapshot: &Snapshot, now: Instant) {
        if self.revision.replace(snapshot.revision()) == Some(snapshot.revision()) {
            return;
        }
        let before = std::mem::take(&mut self.next);
        for tenant in snapshot.tenants() {
            for service in tenant.services().filter(|service| service.health_check().is_some()) {
                for target in &*service.targets {
                    let subject = Subject { tenant: tenant.id, service: service.id, target: target.id };
                    self.next.insert(subject, before.get(&subject).copied().unwrap_or(now));
                }
            }
        }
    }

    /// One whose time has come; its next time is set.
    fn take(&mut self, snapshot: &Snapshot, now: Instant) -> Option<Subject> {
        let (&subject, at) = self.next.iter_mut().find(|(_, at)| **at <= now)?;
        let interval = find(snapshot, subject).and_then(|(service, _)| service.health_check());
        *at = match interval {
            Some(check) => now + next_check(check.interval, check.jitter_percent, fastrand::u64(..)),
            None => now + LOOK_EVERY,
        };
        Some(subject)
    }

    fn wait(&self, now: Instant) -> Duration {
        let next = self.next.values().min().map(|at| at.saturating_duration_since(now));
        next.unwrap_or(LOOK_EVERY).clamp(Duration::from_millis(1), LOOK_EVERY)
    }
}

fn find(snapshot: &Snapshot, subject: Subject) -> Option<(&Service, &Target)> {
    let service = snapshot.tenant_by_id(subject.tenant)?.service_by_id(subject.service)?;
    Some((service, service.targets.iter().find(|target| target.id == subject.target)?))
}

async fn check_subject(gateway: &Gateway, snapshot: &Snapshot, subject: Subject) {
    let Some((service, target)) = find(snapshot, subject) else { return };
    match service.health_check() {
        Some(check) => check_target(gateway, subject.tenant, service, target, check).await,
        None => check_target(gateway, subject.tenant, service, target, &HealthCheck::usual()).await,
    }
}

/// Checks every target of a service now, all at the same time.
pub(crate) async fn check_service(gateway: &Arc<Gateway>, tenant: TenantId, service: ServiceId) {
    let snapshot = gateway.snapshot.load_full();
    let Some(found) = snapshot.tenant_by_id(tenant).and_then(|tenant| tenant.service_by_id(service)) else {
        return;
    };
    let mut checks = JoinSet::new();
    for target in found.targets.iter().map(|target| target.id) {
        let (gateway, snapshot) = (Arc::clone(gateway), Arc::clone(&snapshot));
        let subject = Subject { tenant, service, target };
        checks.spawn(async move { check_subject(&gateway, &snapshot, subject).await });
    }
    while checks.join_next().await.is_some() {}
}

async fn check_target(
    gateway: &Gateway,
    tenant: TenantId,
    service: &Service,
    target: &Target,
    check: &HealthCheck,
) {
    let (latency, outcome) = check::check(gateway, target, check).await;
    let now = Clock::new().now();
    let live = gateway.live.service(tenant, service.id);
    let result = CheckResult { at: now.wall, latency, outcome };
    let uptime = gateway.live.uptime(now.instant);
    let verdict = live.target(target.id).note_check(result, check.thresholds, uptime);
    let Some(verdict) = verdict.filter(|_| service.health_check().is_some()) else { return };
    live.targets_changed();
    gateway.live.changes.verdict(service, target, verdict);
}
