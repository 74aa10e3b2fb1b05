//! What this node knows of one subject: what the store said last, and what it was granted.

mod losses;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;
use tollgate_core::limit::{
    self, Calendar, Counted, Crossed, LimitRule, Outcome, Settlement, SubjectWindows, Tally, Window,
    crossed_between,
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
    /// When that was answered, or asked for anew, by the store's time.
    asked_at: UnixMicros,
    /// Of each window the last incarnation of the store that said it, or was told it.
    known_in: SmallVec<[(Window, u64); 3]>,
    /// Whether an answer was in doubt, and it is not known yet whether the store has lost something.
    is_in_doubt: bool,
    /// What was answered before this one does not count what was put back.
    put_back_number: u64,
    /// When the store was first seen to count one of these limits.
    began_at: UnixMicros,
    /// Thresholds that the store's count was seen to reach, and that were not told yet.
    crossed: Crossed,
    pub slices: Slices,
    /// While the store cannot be reached, and then alone: the mirror, with this node's requests counted for all nodes.
    pub apart: Option<Box<SubjectWindows>>,
    /// Whether something was let through that the store does not know of.
    pub owes: bool,
    /// What the store is being told of. Until it has heard, that is here and nobody else tells it.
    telling: Tally,
    /// What this process counted under these limits before the store did, over restarts too.
    pub kept: Kept,
    /// Whether this node counts the subject alone.
    pub is_at_home: bool,
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
            asked_at: UnixMicros(0),
            known_in: SmallVec::new(),
            is_in_doubt: false,
            put_back_number: 0,
            began_at: UnixMicros(0),
            crossed: Crossed::new(),
            slices: Slices::new(now),
            apart: None,
            owes: false,
            telling: Tally::default(),
            kept: Kept::Untold,
            is_at_home: false,
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
        Arc::ptr_eq(&self.rules, rules) && !self.is_at_home
    }

    /// Takes over what the store says of these limits, unless it said so before what is known already.
    pub fn note(&mut self, rules: &[LimitRule], answer: &Answer) {
        if answer.number <= self.mirror_number {
            return;
        }
        // What it says of these limits' windows says nothing of those that others count.
        let mut mirror = answer.windows.clone();
        for (window, counted) in self.mirror.iter() {
            let is_others = rules.iter().all(|rule| rule.window != window);
            if is_others && mirror.find(window).is_none() {
                mirror.put(window, counted.clone());
            }
        }
        // Not what this one charge has crossed, but what was crossed since this node heard last: whoever did it may
        // be gone before it has told. What several nodes tell is kept once.
        let crossed = crossed_between(&self.rules, &self.mirror, &mirror, answer.now);
        self.crossed.append(0, &crossed);
        self.mirror = mirror;
        self.mirror_number = answer.number;
        self.asked_at = answer.now;
        self.is_in_doubt = false;
        self.is_known_in(rules, answer.said_in);
        if answer.was_said_in.contains(&0) && answer.number != self.put_back_number {
            self.began_at = answer.now;
        }
    }

    /// Since when nothing was heard of the subject, nor asked; `None` where nothing is known of it that others could change.
    pub fn unheard_since(&self) -> Option<UnixMicros> {
        (!self.is_at_home && !self.mirror.is_empty()).then_some(self.asked_at)
    }

    pub const fn is_asked_anew(&mut self, now: UnixMicros) {
        self.asked_at = now;
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
        if left == 0 {
            return outcome;
        }
        for (rule, standing) in rules.iter().zip(&mut outcome.standings) {
            standing.remaining = match rule.overage {
                Overage::Deny => standing.remaining.saturating_add(left).min(rule.most_at_once()),
                // The mirror may be far beyond the limit: what is in hand makes up for that first.
                Overage::Allow => {
                    let used = limit::used(std::slice::from_ref(rule), &self.mirror, now)[0];
                    rule.requests.saturating_sub(used.saturating_sub(left))
                }
            };
            if let Some(reset_secs) =
                self.mirror.find(rule.window).and_then(|counted| rule.reset_without(counted, left, now))
            {
                standing.reset_secs = reset_secs;
            }
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

    /// What is counted while the store cannot be reached: it goes on from what the store said last, and what is owed already, as
    /// for all nodes. Where the store said nothing yet, as after a restart, what is counted here is all that is known, and of
    /// that what is owed once for each other node. Where this node counted alone since then, it is its own.
    pub fn apart_after(
        &mut self,
        here: impl FnOnce() -> (Tally, SmallVec<[u64; 4]>),
        rules: &[LimitRule],
        calendar: Calendar<'_>,
        nodes: NonZeroU32,
        now: UnixMicros,
    ) -> &mut SubjectWindows {
        let Self { mirror, is_at_home, apart, .. } = self;
        apart.get_or_insert_with(|| {
            let (Tally { here, .. }, owed) = here();
            if *is_at_home {
                return Box::new(here);
            }
            let nodes = u64::from(nodes.get());
            let (mut apart, times) =
                if mirror.is_empty() { (here, nodes - 1) } else { (mirror.clone(), nodes) };
            let of_all = owed.into_iter().map(|owed| owed.saturating_mul(times));
            limit::charge_each(rules.iter().zip(of_all), &mut apart, calendar, now);
            Box::new(apart)
        })
    }

    /// This node counts the subject alone from now on, and goes on from what the store knows, without what of the slices was
    /// not used.
    pub fn go_home(&mut self, unused: &[Unused], calendar: Calendar<'_>, now: UnixMicros) -> SubjectWindows {
        self.not_used(unused, calendar, now);
        self.is_at_home = true;
        self.kept = Kept::Untold;
        // What is owed is a part of what is counted here, and is told with that.
        self.owes = false;
        self.apart = None;
        self.mirror.clone()
    }

    /// What of the slices is not used, nor will be, and goes back. It is put back no more, should the store lose something before
    /// it hears of that.
    pub fn take_unused(&mut self, now: Instant, server_now: UnixMicros) -> SmallVec<[Unused; 2]> {
        let unused = self.slices.take_unused(now, server_now);
        self.not_used(&unused, Calendar::utc(), server_now);
        unused
    }

    fn not_used(&mut self, unused: &[Unused], calendar: Calendar<'_>, now: UnixMicros) {
        for unused in unused {
            let back = Settlement { charged: unused.units, charged_at: unused.granted_at, actual: 0 };
            limit::settle(&self.rules, &mut self.mirror, calendar, back, now);
        }
    }

    pub const fn mirror_mut(&mut self) -> &mut SubjectWindows {
        &mut self.mirror
    }

    /// What the store has said and holds still.
    pub fn known(&self, now: UnixMicros) -> impl Iterator<Item = (Window, &Counted)> {
        self.mirror.not_over(now)
    }

    pub const fn being_told(&self) -> &Tally {
        &self.telling
    }

    pub fn is_telling_any(&self) -> bool {
        !self.telling.here.is_empty()
    }

    pub fn begin_telling(&mut self, tally: &Tally) {
        self.telling.join(tally);
    }

    pub fn end_telling(&mut self, tally: &Tally) {
        self.telling.forget(tally);
    }

    /// Whether nothing is lost by forgetting it.
    pub fn is_over(&mut self, now: UnixMicros) -> bool {
        self.slices.is_empty()
            && !self.owes
            && !self.is_telling_any()
            && self.mirror.forget_past(now)
            && self.apart.as_mut().is_none_or(|apart| apart.forget_past(now))
    }
}

#[cfg(test)]
mod tests;
