//! One target, as all workers know it.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tollgate_core::balance::Load;
use tollgate_core::breaker::Breaker;
use tollgate_core::health::{CheckResult, Health, TargetHealth, Thresholds, Verdict};
use tollgate_core::outlier::{Ejection, Outcome, OutlierRules, Suspect};
use tollgate_core::resource::TargetId;
use tollgate_core::uptime::Uptime;

#[derive(Default)]
pub(crate) struct TargetLive {
    load: Load,
    /// Used where targets have circuits of their own.
    pub breaker: Breaker,
    /// Whether it has failed since its last success; written under the lock.
    is_suspected: AtomicBool,
    suspect: Mutex<Suspect>,
    checked: Mutex<Checked>,
}

#[derive(Default)]
struct Checked {
    health: Health,
    /// When it was last found well after having been unhealthy.
    back_since: Option<Uptime>,
}

impl TargetLive {
    pub const fn load(&self) -> &Load {
        &self.load
    }

    pub fn ejected_until(&self) -> Option<Uptime> {
        self.suspect.lock().ejected_until()
    }

    /// What its checks say, and since when it has been back.
    pub fn checked(&self) -> (Verdict, Option<Uptime>) {
        let checked = self.checked.lock();
        (checked.health.verdict(), checked.back_since)
    }

    /// What its checks say, and the last of them.
    pub fn last_check(&self) -> (Verdict, Option<CheckResult>) {
        let checked = self.checked.lock();
        (checked.health.verdict(), checked.health.last().cloned())
    }

    /// Takes the result of a check; the new verdict where it changes that.
    pub fn note_check(&self, result: CheckResult, thresholds: Thresholds, now: Uptime) -> Option<Verdict> {
        let mut checked = self.checked.lock();
        let before = checked.health.verdict();
        let verdict = checked.health.note(result, thresholds)?;
        if before == Verdict::Unhealthy {
            checked.back_since = Some(now);
        }
        Some(verdict)
    }

    /// For people.
    pub fn read(&self, target: TargetId, now: Uptime) -> TargetHealth {
        let ejected_until = self.ejected_until().filter(|&until| until > now);
        let checked = self.checked.lock();
        TargetHealth {
            target,
            verdict: checked.health.verdict(),
            ejected_for: ejected_until.map(|until| until.since(now)),
            in_flight: self.load.in_flight(),
            history: checked.health.history().cloned().collect(),
        }
    }

    /// Takes how a request went. While all is well that is one look at what nobody writes.
    pub fn note(&self, outcome: Outcome, rules: &OutlierRules, now: Uptime) -> Option<Ejection> {
        let counts_in_a_row = rules.ratio.is_none();
        if outcome == Outcome::Success && counts_in_a_row && !self.is_suspected.load(Ordering::Relaxed) {
            return None;
        }
        let mut suspect = self.suspect.lock();
        let ejection = suspect.note(outcome, rules, now);
        self.is_suspected.store(!suspect.is_clean(), Ordering::Relaxed);
        ejection
    }
}
