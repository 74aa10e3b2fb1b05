//! What this node knows of one subject: what the store said last, and what it was granted.

use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;
use tollgate_core::limit::{
    self, Calendar, Crossed, LimitRule, Outcome, Settlement, SubjectWindows, crossed_between,
};
use tollgate_core::resource::Overage;
use tollgate_core::time::UnixMicros;

use super::call::Answer;
use super::slices::{Slices, Unused};

pub struct Ledger {
    pub rules: Arc<[LimitRule]>,
    /// As the store had it when it answered last; slices are in it as used.
    mirror: SubjectWindows,
    /// The answer that the mirror is from.
    mirror_number: u64,
    mirror_said_in: u64,
    /// What the store said before it lost something, where it was asked again before this node had noticed.
    before_loss: Option<Box<SubjectWindows>>,
    /// Thresholds that the store's count was seen to reach, and that were not told yet.
    crossed: Crossed,
    pub slices: Slices,
    /// While the store cannot be reached: the mirror, with this node's requests counted for all nodes.
    pub apart: Option<Box<SubjectWindows>>,
    /// Whether something was let through that the store does not know of.
    pub owes: bool,
    /// What this process counted under these limits before the store did, over restarts too.
    pub kept: Kept,
    /// While this node counts the subject alone: what the store knows of that.
    pub home: Option<Box<SubjectWindows>>,
}

/// Whether the store has heard of what was kept here. That a ledger exists says nothing of it: whoever is refused while the
/// store is away, or settles, has one as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    Untold,
    Told,
}

/// What the store has to hear before it is asked.
#[must_use = "the store counts without what it was not told"]
pub(super) struct Due {
    pub kept: Kept,
    pub stale: Option<Stale>,
}

/// Slices, and the limits under which they were granted: they go back under those, which charged them.
pub(super) struct Stale {
    pub rules: Arc<[LimitRule]>,
    pub slices: SmallVec<[Unused; 2]>,
}

impl Ledger {
    pub fn new(rules: Arc<[LimitRule]>, now: Instant) -> Self {
        Self {
            rules,
            mirror: SubjectWindows::default(),
            mirror_number: 0,
            mirror_said_in: 0,
            before_loss: None,
            crossed: Crossed::new(),
            slices: Slices::new(now),
            apart: None,
            owes: false,
            kept: Kept::Untold,
            home: None,
        }
    }

    /// Takes over the limits that are in force now; gives what was granted under those before, where the limits differ. They
    /// may come back with the next request: a consumer's keys can be on several plans.
    pub fn adopt(&mut self, rules: &Arc<[LimitRule]>) -> Due {
        let mut stale = None;
        if !Arc::ptr_eq(&self.rules, rules) {
            let before = std::mem::replace(&mut self.rules, Arc::clone(rules));
            if before != *rules {
                self.kept = Kept::Untold;
                self.crossed = self.crossed.under(&before, rules);
                stale = Some(Stale { slices: self.slices.end(), rules: before });
            }
        }
        Due { kept: self.kept, stale }
    }

    /// Whether slices in hand were granted under these limits.
    pub fn is_under(&self, rules: &Arc<[LimitRule]>) -> bool {
        self.rules == *rules
    }

    /// Whether a slice that comes in now is of use. It was asked for under these limits: others may be in force by now, or this
    /// node counts the subject alone, and the store has to hear of that before anything is spent of it.
    pub fn takes_slices_under(&self, rules: &Arc<[LimitRule]>) -> bool {
        Arc::ptr_eq(&self.rules, rules) && self.home.is_none()
    }

    /// Takes over what the store says, unless it said so before what is known already.
    pub fn note(&mut self, answer: &Answer) {
        if answer.number > self.mirror_number {
            if answer.was_said_in == 0 || answer.was_said_in > self.mirror_said_in {
                self.keep_before_loss(answer.now);
            }
            // Not what this one charge has crossed, but what was crossed since this node heard last: whoever did it may
            // be gone before it has told. What several nodes tell is kept once.
            let crossed = crossed_between(&self.rules, &self.mirror, &answer.windows, answer.now);
            self.crossed.append(0, &crossed);
            // What it says of these limits' windows says nothing of those that others count.
            let mut mirror = answer.windows.clone();
            for (window, counted) in self.mirror.iter() {
                let is_others = self.rules.iter().all(|rule| rule.window != window);
                if is_others && mirror.find(window).is_none() {
                    mirror.put(window, counted.clone());
                }
            }
            self.mirror = mirror;
            self.mirror_number = answer.number;
            self.mirror_said_in = answer.said_in;
        }
    }

    /// The thresholds that are to be told of these limits.
    #[inline]
    pub fn take_crossed(&mut self, rules: &Arc<[LimitRule]>) -> Crossed {
        if Arc::ptr_eq(&self.rules, rules) { std::mem::take(&mut self.crossed) } else { Crossed::new() }
    }

    /// Where the subject stands, as far as this node knows.
    pub fn inspect(
        &self,
        rules: &[LimitRule],
        calendar: Calendar<'_>,
        cost: u64,
        now: UnixMicros,
    ) -> Outcome {
        let mut outcome = limit::inspect(rules, &self.mirror, calendar, cost, now);
        let left = self.slices.left();
        for (rule, standing) in rules.iter().zip(&mut outcome.standings) {
            standing.remaining = match rule.overage {
                Overage::Deny => standing.remaining.saturating_add(left).min(rule.most_at_once()),
                // The mirror may be far beyond the limit: what is in hand makes up for that first.
                Overage::Allow => {
                    let used = limit::used(std::slice::from_ref(rule), &self.mirror, now)[0];
                    rule.requests.saturating_sub(used.saturating_sub(left))
                }
            };
        }
        outcome
    }

    /// What the subject has used of each limit, as far as this node knows; beyond it too.
    pub fn used(&self, rules: &[LimitRule], now: UnixMicros) -> SmallVec<[u64; 4]> {
        let mut used = limit::used(rules, &self.mirror, now);
        let left = self.slices.left();
        used.iter_mut().for_each(|used| *used = used.saturating_sub(left));
        used
    }

    /// What is counted while the store cannot be reached: it goes on from what the store said last, or from what else is
    /// known where it said nothing yet, or this node counted alone since then.
    pub fn apart_or(&mut self, otherwise: impl FnOnce() -> SubjectWindows) -> &mut SubjectWindows {
        let Self { mirror, home, apart, .. } = self;
        let says_all = !mirror.is_empty() && home.is_none();
        apart.get_or_insert_with(|| Box::new(if says_all { mirror.clone() } else { otherwise() }))
    }

    /// This node counts the subject alone from now on, and goes on from what the store knows, without what of the slices was
    /// not used.
    pub fn go_home(&mut self, unused: &[Unused], calendar: Calendar<'_>, now: UnixMicros) -> SubjectWindows {
        let mut known = self.mirror.clone();
        for &Unused { units, granted_at } in unused {
            let back = Settlement { charged: units, charged_at: granted_at, actual: 0 };
            limit::settle(&self.rules, &mut known, calendar, back, now);
        }
        self.home = Some(Box::new(known.clone()));
        self.kept = Kept::Untold;
        // What is owed is a part of what is counted here, and is told with that.
        self.owes = false;
        self.apart = None;
        known
    }

    /// What the store may have lost: of each limit, the larger of what is kept already and of what the mirror says. Mostly
    /// something was only over.
    fn keep_before_loss(&mut self, now: UnixMicros) {
        let Self { rules, mirror, before_loss, .. } = self;
        if mirror.is_empty() {
            return;
        }
        let before = before_loss.get_or_insert_default();
        let kept = limit::used(rules, before, now);
        let used = limit::used(rules, mirror, now);
        for ((rule, used), kept) in rules.iter().zip(used).zip(kept) {
            if let Some(counted) = mirror.find(rule.window).filter(|_| used > kept) {
                before.put(rule.window, counted.clone());
            }
        }
        if before.forget_past(now) {
            *before_loss = None;
        }
    }

    /// What a store of this incarnation may not know any more; of several words on a limit, the largest counts.
    pub fn take_known(&mut self, incarnation: u64) -> SmallVec<[SubjectWindows; 2]> {
        let before = self.before_loss.take().map(|before| *before);
        let is_from_before = self.mirror_said_in < incarnation && !self.mirror.is_empty();
        before.into_iter().chain(is_from_before.then(|| self.mirror.clone())).collect()
    }

    pub const fn mirror_mut(&mut self) -> &mut SubjectWindows {
        &mut self.mirror
    }

    /// Whether nothing is lost by forgetting it.
    pub fn is_over(&mut self, now: UnixMicros) -> bool {
        self.slices.is_empty()
            && !self.owes
            && self.mirror.forget_past(now)
            && self.apart.as_mut().is_none_or(|apart| apart.forget_past(now))
            && self.home.as_mut().is_none_or(|home| home.forget_past(now))
    }
}
