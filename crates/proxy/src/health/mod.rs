//! Active checks: targets are asked in the background whether they are well, never on a worker.

mod check;
mod checks;

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tollgate_core::health::{CheckResult, NoTurn, Subject};
use tollgate_core::resource::{HealthCheck, ServiceId, TenantId};
use tollgate_core::snapshot::{Service, Snapshot, Target};
use tollgate_core::uptime::Uptime;

pub(crate) use self::checks::Checks;
use self::checks::{Progress, UnderWay};
use crate::clock::Clock;
use crate::gateway::Gateway;
use crate::vital::Vital;

/// How soon a change of what is to be checked is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a check on demand waits for its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Where a check on demand is for nothing time and again, what is known will do.
const MOST_TIMES_ASKED: u32 = 3;

/// Checks targets for as long as the gateway is there.
pub(crate) async fn run(gateway: Weak<Gateway>, vital: Vital) {
    let _vital = vital;
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
    if let Some(Some(())) = under_way.unless_for_nothing(check_subject(&gateway, subject)).await {
        under_way.done();
    }
}

/// Has every target of a service checked as soon as may be, from the call on. Done when what is found is known, be it by
/// checks that were under way.
pub(crate) fn check_service(
    gateway: &Arc<Gateway>,
    tenant: TenantId,
    service: ServiceId,
) -> impl Future<Output = Result<(), NoTurn>> + Send + use<> {
    let snapshot = gateway.snapshot.load();
    let found = snapshot.tenant_by_id(tenant).and_then(|tenant| tenant.service_by_id(service));
    let targets = found.map_or(&[][..], |service| &*service.targets);
    let subjects = targets.iter().map(|target| Subject { tenant, service, target: target.id });
    let mut asked: Vec<_> = subjects.map(|subject| (subject, gateway.checks.ask(gateway, subject))).collect();
    let (gateway, turn_by) = (Arc::clone(gateway), Instant::now() + LONGEST_WAIT);
    async move {
        // Before any is waited for, so that no long one hides that others have no turn.
        for (_, progress) in &mut asked {
            turn(progress, turn_by).await?;
        }
        for (subject, progress) in asked {
            end(&gateway, subject, progress).await?;
        }
        Ok(())
    }
}

/// Until it is under way, or was for nothing.
async fn turn(progress: &mut watch::Receiver<Progress>, by: Instant) -> Result<(), NoTurn> {
    let turn = progress.wait_for(|progress| *progress != Progress::WaitsForTurn);
    tokio::time::timeout_at(by.into(), turn).await.map(drop).map_err(|_| NoTurn)
}

/// Where the check was for nothing, another is waited for: its settings may just have been edited.
async fn end(
    gateway: &Gateway,
    subject: Subject,
    mut progress: watch::Receiver<Progress>,
) -> Result<(), NoTurn> {
    for _ in 1..MOST_TIMES_ASKED {
        if progress.wait_for(|progress| *progress == Progress::Done).await.is_ok() {
            return Ok(());
        }
        progress = gateway.checks.ask(gateway, subject);
        turn(&mut progress, Instant::now() + LONGEST_WAIT).await?;
    }
    // Be it for nothing once more.
    drop(progress.wait_for(|progress| *progress == Progress::Done).await);
    Ok(())
}

/// `None` where there is nothing that it says something of.
async fn check_subject(gateway: &Gateway, subject: Subject) -> Option<()> {
    let snapshot = gateway.snapshot.load_full();
    let (service, target) = find(&snapshot, subject)?;
    let usual = HealthCheck::usual();
    let written = service.health_check();
    let (check, tenant) = (written.map_or(&usual, Arc::as_ref), subject.tenant);
    let (latency, outcome) = check::check(gateway, target, check, tenant).await;
    let now = Clock::new().now();
    let result = CheckResult { at: now.wall, latency, outcome };
    note(gateway, subject, written, result, gateway.live.uptime(now.instant))
}

/// What was found by settings that hold no longer, or of a target that is gone, is said of nothing.
fn note(
    gateway: &Gateway,
    subject: Subject,
    asked_by: Option<&Arc<HealthCheck>>,
    result: CheckResult,
    now: Uptime,
) -> Option<()> {
    let snapshot = gateway.snapshot.load();
    let found = find(&snapshot, subject).filter(|(service, _)| service.health_check() == asked_by);
    let (service, target) = found?;
    let live = gateway.live.service(subject.tenant, service.id);
    let thresholds = asked_by.map_or_else(|| HealthCheck::usual().thresholds, |check| check.thresholds);
    let verdict = live.target(target.id).note_check(result, thresholds, now);
    // Where nothing is written of checks, what one on demand has found decides nothing.
    if let Some(verdict) = verdict.filter(|_| asked_by.is_some()) {
        live.targets_changed();
        gateway.live.changes.verdict(service, target, verdict);
    }
    Some(())
}

fn find(snapshot: &Snapshot, subject: Subject) -> Option<(&Service, &Target)> {
    let service = snapshot.tenant_by_id(subject.tenant)?.service_by_id(subject.service)?;
    Some((service, service.targets.iter().find(|target| target.id == subject.target)?))
}
