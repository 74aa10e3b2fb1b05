//! Active checks: targets are asked in the background whether they are well, never on a worker.

mod check;
mod checks;

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tollgate_core::health::{CheckResult, Subject};
use tollgate_core::resource::{HealthCheck, ServiceId, TenantId};
use tollgate_core::snapshot::{Service, Snapshot, Target};
use tollgate_core::uptime::Uptime;

pub(crate) use self::checks::Checks;
use self::checks::UnderWay;
use crate::clock::Clock;
use crate::gateway::Gateway;

/// How soon a change of what is to be checked is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Checks targets for as long as the gateway is there.
pub(crate) async fn run(gateway: Weak<Gateway>) {
    loop {
        let Some(gateway) = gateway.upgrade() else { return };
        let (begun, next_due) = gateway.checks.begin(&gateway);
        for under_way in begun {
            gateway.background.spawn(carry_out(under_way));
        }
        let now = gateway.live.uptime(Instant::now());
        let wait = next_due.map_or(LOOK_EVERY, |due| due.since(now)).min(LOOK_EVERY);
        let woken = gateway.checks.woken();
        drop(gateway);
        // Woken or not, it looks again.
        drop(tokio::time::timeout(wait, woken.notified()).await);
    }
}

async fn carry_out(mut under_way: UnderWay) {
    let (gateway, subject) = (under_way.gateway(), under_way.subject);
    under_way.unless_for_nothing(check_subject(&gateway, subject)).await;
}

/// Checks every target of a service now, all at the same time.
pub(crate) async fn check_service(gateway: &Arc<Gateway>, tenant: TenantId, service: ServiceId) {
    let snapshot = gateway.snapshot.load_full();
    let Some(found) = snapshot.tenant_by_id(tenant).and_then(|tenant| tenant.service_by_id(service)) else {
        return;
    };
    let mut checks = JoinSet::new();
    for target in found.targets.iter().map(|target| target.id) {
        let gateway = Arc::clone(gateway);
        let subject = Subject { tenant, service, target };
        checks.spawn(async move { check_subject(&gateway, subject).await });
    }
    while checks.join_next().await.is_some() {}
}

async fn check_subject(gateway: &Gateway, subject: Subject) {
    let snapshot = gateway.snapshot.load_full();
    let Some((service, target)) = find(&snapshot, subject) else { return };
    let usual = HealthCheck::usual();
    let written = service.health_check();
    let (latency, outcome) = check::check(gateway, target, written.map_or(&usual, Arc::as_ref)).await;
    let now = Clock::new().now();
    let result = CheckResult { at: now.wall, latency, outcome };
    note(gateway, subject, written, result, gateway.live.uptime(now.instant));
}

/// What was found by settings that hold no longer, or of a target that is gone, is said of nothing.
fn note(
    gateway: &Gateway,
    subject: Subject,
    asked_by: Option<&Arc<HealthCheck>>,
    result: CheckResult,
    now: Uptime,
) {
    let snapshot = gateway.snapshot.load();
    let found = find(&snapshot, subject).filter(|(service, _)| service.health_check() == asked_by);
    let Some((service, target)) = found else { return };
    let live = gateway.live.service(subject.tenant, service.id);
    let thresholds = asked_by.map_or_else(|| HealthCheck::usual().thresholds, |check| check.thresholds);
    let verdict = live.target(target.id).note_check(result, thresholds, now);
    // Where nothing is written of checks, what one on demand has found decides nothing.
    let Some(verdict) = verdict.filter(|_| asked_by.is_some()) else { return };
    live.targets_changed();
    gateway.live.changes.verdict(service, target, verdict);
}

fn find(snapshot: &Snapshot, subject: Subject) -> Option<(&Service, &Target)> {
    let service = snapshot.tenant_by_id(subject.tenant)?.service_by_id(subject.service)?;
    Some((service, service.targets.iter().find(|target| target.id == subject.target)?))
}
