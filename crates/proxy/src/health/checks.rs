//! Which checks are under way: the schedule as the background carries it out.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use ahash::RandomState;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use tollgate_core::health::{Asked, Schedule, Subject};
use tollgate_core::resource::HealthCheck;
use tollgate_core::snapshot::Snapshot;
use tollgate_core::uptime::Uptime;

use crate::gateway::Gateway;

/// Checks at once; what is due besides waits for its turn.
const MOST_AT_ONCE: usize = 256;

pub(crate) struct Checks {
    state: Mutex<State>,
    /// Something is to be done before the next check is due.
    woken: Arc<Notify>,
}

struct State {
    /// Of the snapshot that is followed.
    revision: Option<u64>,
    schedule: Schedule,
    /// Dropped to end a check that is for nothing.
    under_way: HashMap<Subject, oneshot::Sender<Infallible>, RandomState>,
    /// Those that somebody waits for.
    asked: HashMap<Subject, watch::Sender<Progress>, RandomState>,
}

/// How far a check is that somebody waits for. Where nothing more comes and it is not done, it was for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    WaitsForTurn,
    UnderWay,
    Done,
}

/// One of the checks that there may be at once, until it is dropped.
pub(super) struct UnderWay {
    gateway: Arc<Gateway>,
    pub subject: Subject,
    for_nothing: oneshot::Receiver<Infallible>,
}

impl Default for Checks {
    fn default() -> Self {
        let schedule = Schedule::new(MOST_AT_ONCE);
        let (under_way, asked) = (HashMap::default(), HashMap::default());
        let state = State { revision: None, schedule, under_way, asked };
        Self { state: Mutex::new(state), woken: Arc::default() }
    }
}

impl Checks {
    pub(super) fn woken(&self) -> Arc<Notify> {
        Arc::clone(&self.woken)
    }

    /// Has a target checked as soon as may be. One that is being checked is not checked beside that.
    pub(super) fn ask(&self, gateway: &Gateway, subject: Subject) -> watch::Receiver<Progress> {
        let mut state = self.state.lock();
        // By what is written by now.
        state.follow(gateway, gateway.live.uptime(Instant::now()));
        let progress = match state.schedule.ask(subject) {
            Asked::WaitsForTurn => Progress::WaitsForTurn,
            Asked::UnderWay => Progress::UnderWay,
        };
        let asked = state.asked.entry(subject).or_insert_with(|| watch::Sender::new(progress)).subscribe();
        drop(state);
        self.woken.notify_one();
        asked
    }

    /// Those that begin now, and when the next is due.
    pub(super) fn begin(&self, gateway: &Arc<Gateway>) -> (Vec<UnderWay>, Option<Uptime>) {
        let mut state = self.state.lock();
        let now = gateway.live.uptime(Instant::now());
        state.follow(gateway, now);
        let mut begun = Vec::new();
        while let Some(subject) = state.schedule.begin(now, fastrand::u64(..)) {
            begun.push(state.under_way(gateway, subject));
        }
        (begun, state.schedule.next_due())
    }
}

impl State {
    /// The snapshot is looked at under the lock, so that no older one is followed after a newer.
    fn follow(&mut self, gateway: &Gateway, now: Uptime) {
        let snapshot = gateway.snapshot.load();
        if self.revision.replace(snapshot.revision()) == Some(snapshot.revision()) {
            return;
        }
        for subject in self.schedule.follow(wanted(&snapshot), now) {
            self.under_way.remove(&subject);
        }
    }

    fn under_way(&mut self, gateway: &Arc<Gateway>, subject: Subject) -> UnderWay {
        let (holds, for_nothing) = oneshot::channel();
        self.under_way.insert(subject, holds);
        self.tell(subject, Progress::UnderWay);
        UnderWay { gateway: Arc::clone(gateway), subject, for_nothing }
    }

    fn tell(&self, subject: Subject, progress: Progress) {
        if let Some(asked) = self.asked.get(&subject) {
            asked.send_replace(progress);
        }
    }
}

impl UnderWay {
    pub fn gateway(&self) -> Arc<Gateway> {
        Arc::clone(&self.gateway)
    }

    /// What it has found is known.
    pub fn done(self) {
        self.gateway.checks.state.lock().tell(self.subject, Progress::Done);
    }

    /// `None` where it was for nothing: its target is gone, or asked otherwise by now.
    pub async fn unless_for_nothing<T>(&mut self, check: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            _ = &mut self.for_nothing => None,
            result = check => Some(result),
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let checks = &self.gateway.checks;
        let mut state = checks.state.lock();
        state.under_way.remove(&self.subject);
        state.asked.remove(&self.subject);
        state.schedule.end(self.subject);
        drop(state);
        // Another may have waited for the place.
        checks.woken.notify_one();
    }
}

/// Who is to be checked, and how.
fn wanted(snapshot: &Snapshot) -> impl Iterator<Item = (Subject, &Arc<HealthCheck>)> {
    snapshot.tenants().flat_map(|tenant| {
        let services = tenant.services().filter_map(|service| Some((service, service.health_check()?)));
        services.flat_map(move |(service, check)| {
            let targets = service.targets.iter();
            targets.map(move |target| {
                (Subject { tenant: tenant.id, service: service.id, target: target.id }, check)
            })
        })
    })
}
