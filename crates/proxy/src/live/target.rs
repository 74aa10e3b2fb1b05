//! One target, as all workers know it.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tollgate_core::balance::Load;
use tollgate_core::outlier::{Ejection, Outcome, OutlierRules, Suspect};
use tollgate_core::uptime::Uptime;

#[derive(Default)]
pub(crate) struct TargetLive {
    load: Load,
    /// Whether it has failed since its last success; written under the lock.
    is_suspected: AtomicBool,
    suspect: Mutex<Suspect>,
}

impl TargetLive {
    pub const fn load(&self) -> &Load {
        &self.load
    }

    pub fn ejected_until(&self) -> Option<Uptime> {
        self.suspect.lock().ejected_until()
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
