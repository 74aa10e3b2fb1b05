//! What this node knows of one subject: what the store said last, and the slices that it was granted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use tollgate_core::limit::{
    self, Calendar, Counted, Crossed, LimitRule, Outcome, Settlement, SubjectWindows, crossed_between,
};
use tollgate_core::resource::Overage;
use tollgate_core::time::UnixMicros;

use super::call::Answer;
use super::pace::Pace;

/// Most time for which a slice may be used.
const LONGEST_LIFE: Duration = Duration::from_secs(2);
/// A slice lives for at most so-manieth of the shortest window.
const LIVES_A_WINDOW: u32 = 10;
/// A refusal is believed for so long at most: other nodes may give back what they did not use.
const REFUSAL_HOLDS: Duration = Duration::from_millis(100);
/// How long after a slice that could not be had it is asked for again.
const REFILL_AGAIN: Duration = Duration::from_millis(50);
/// A slice that was asked for so long ago will not come any more.
const REFILL_TAKES: Duration = Duration::from_millis(200);
/// A slice that was not used for so long is given back.
const IDLE: Duration = Duration::from_millis(300);

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
    slices: SmallVec<[Slice; 2]>,
    pace: Pace,
    refused: Option<Refused>,
    /// When a slice may be asked for: not while another is on its way, and not soon after none could be had.
    refill_from: Instant,
    /// While the store cannot be reached: the mirror, with this node's requests counted for all nodes.
    pub apart: Option<Box<SubjectWindows>>,
    /// Whether something was let through that the store does not know of.
    pub owes: bool,
    /// While this node counts the subject alone: what the store knows of that.
    pub home: Option<Box<SubjectWindows>>,
}

/// Units that are charged in the store already.
#[derive(Debug, Clone, Copy)]
struct Slice {
    left: u64,
    /// The server's time of the grant; names the slice.
    granted_at: UnixMicros,
    ends: Instant,
    used: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Refused {
    cost: u64,
    until: Instant,
}

/// What a node has to give back of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unused {
    pub units: u64,
    pub granted_at: UnixMicros,
}

/// Whether a request can be decided here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// From the slice of this name. Where it runs low, so many units more are to be asked for.
    FromSlice { granted_at: UnixMicros, refill: Option<u64> },
    /// The store said a moment ago that it does not pass.
    Refused,
    /// The store has to be asked, for so many units besides.
    Ask { extra: u64 },
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
            slices: SmallVec::new(),
            pace: Pace::new(now),
            refused: None,
            refill_from: now,
            apart: None,
            owes: false,
            home: None,
        }
    }

    /// Takes over the limits that are in force now. Slices were granted under those before: they are to be given back where
    /// the limits differ.
    pub fn adopt(&mut self, rules: &Arc<[LimitRule]>) -> SmallVec<[Unused; 2]> {
        if Arc::ptr_eq(&self.rules, rules) {
            return SmallVec::new();
        }
        let before = std::mem::replace(&mut self.rules, Arc::clone(rules));
        if before == *rules {
            return SmallVec::new();
        }
        self.refused = None;
        self.crossed = self.crossed.under(&before, rules);
        self.take_slices(|_| true)
    }

    /// Whether a slice has as much.
    #[inline]
    pub fn has_in_hand(&self, cost: u64, now: Instant) -> bool {
        self.slices.iter().any(|slice| now < slice.ends && slice.left >= cost)
    }

    #[inline]
    pub fn spend(&mut self, cost: u64, now: Instant) -> Spent {
        let wanted = self.pace.note(cost, now);
        let mut left = 0;
        let mut spent = None;
        for slice in self.slices.iter_mut().filter(|slice| now < slice.ends) {
            if spent.is_none() && slice.left >= cost {
                slice.left -= cost;
                slice.used = now;
                spent = Some(slice.granted_at);
            }
            left += slice.left;
        }
        if let Some(granted_at) = spent {
            let refill = (left < wanted / 2 && now >= self.refill_from).then_some(wanted);
            if refill.is_some() {
                self.refill_from = now + REFILL_TAKES;
            }
            return Spent::FromSlice { granted_at, refill };
        }
        if self.refused.is_some_and(|refused| now < refused.until && cost >= refused.cost) {
            return Spent::Refused;
        }
        let extra = if wanted > left && now >= self.refill_from { wanted - left } else { 0 };
        if extra > 0 {
            self.refill_from = now + REFILL_TAKES;
        }
        Spent::Ask { extra }
    }

    /// The same for a store that cannot be asked.
    pub fn spend_in_hand(&mut self, cost: u64, now: Instant) -> Option<UnixMicros> {
        let slice = self.slices.iter_mut().find(|slice| now < slice.ends && slice.left >= cost)?;
        slice.left -= cost;
        Some(slice.granted_at)
    }

    /// Puts back what was spent for nothing; `false` where the slice is gone.
    pub fn unspend(&mut self, granted_at: UnixMicros, cost: u64) -> bool {
        match self.slices.iter_mut().find(|slice| slice.granted_at == granted_at) {
            Some(slice) => {
                slice.left += cost;
                true
            }
            None => false,
        }
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
            self.mirror.clone_from(&answer.windows);
            self.mirror_number = answer.number;
            self.mirror_said_in = answer.said_in;
        }
    }

    /// The thresholds that are to be told of these limits.
    #[inline]
    pub fn take_crossed(&mut self, rules: &Arc<[LimitRule]>) -> Crossed {
        if Arc::ptr_eq(&self.rules, rules) { std::mem::take(&mut self.crossed) } else { Crossed::new() }
    }

    /// The slice of an answer to what was asked at `sent`; its life began then at the latest.
    pub fn add_slice(&mut self, answer: &Answer, sent: Instant, now: Instant) {
        self.refill_from = now;
        if answer.slice == 0 {
            self.refill_from = now + REFILL_AGAIN;
            return;
        }
        self.refused = None;
        let until_period_ends = period_ends(&answer.windows).map(|end| end.since(answer.now));
        let life = until_period_ends.map_or(life(&self.rules), |rest| rest.min(life(&self.rules)));
        let slice = Slice { left: answer.slice, granted_at: answer.now, ends: sent + life, used: now };
        // Two grants of one microsecond are one.
        match self.slices.iter_mut().find(|held| held.granted_at == slice.granted_at) {
            Some(held) => held.left += slice.left,
            None => self.slices.push(slice),
        }
    }

    /// A slice that was asked for did not come.
    pub fn no_slice(&mut self, now: Instant) {
        self.refill_from = now + REFILL_AGAIN;
    }

    pub fn note_refusal(&mut self, cost: u64, retry_after: Duration, now: Instant) {
        self.refused = Some(Refused { cost, until: now + retry_after.min(REFUSAL_HOLDS) });
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
        let left = self.in_hand();
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
        let left = self.in_hand();
        used.iter_mut().for_each(|used| *used = used.saturating_sub(left));
        used
    }

    /// Of all slices.
    fn in_hand(&self) -> u64 {
        self.slices.iter().map(|slice| slice.left).sum()
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

    /// What of the slices is not used, nor will be.
    pub fn take_unused(&mut self, now: Instant) -> SmallVec<[Unused; 2]> {
        self.take_slices(|slice| now >= slice.ends || now.saturating_duration_since(slice.used) >= IDLE)
    }

    pub fn take_all(&mut self) -> SmallVec<[Unused; 2]> {
        self.take_slices(|_| true)
    }

    pub fn has_slices(&self) -> bool {
        !self.slices.is_empty()
    }

    /// Whether nothing is lost by forgetting it.
    pub fn is_over(&mut self, now: UnixMicros) -> bool {
        self.slices.is_empty()
            && !self.owes
            && self.mirror.forget_past(now)
            && self.apart.as_mut().is_none_or(|apart| apart.forget_past(now))
            && self.home.as_mut().is_none_or(|home| home.forget_past(now))
    }

    fn take_slices(&mut self, is_wanted: impl Fn(&Slice) -> bool) -> SmallVec<[Unused; 2]> {
        let mut unused = SmallVec::new();
        self.slices.retain(|slice| {
            let is_taken = is_wanted(slice);
            if is_taken && slice.left > 0 {
                unused.push(Unused { units: slice.left, granted_at: slice.granted_at });
            }
            !is_taken
        });
        unused
    }
}

/// How long a slice of these limits may be used. Its tokens count as used at the end of its life, so that a long one
/// would cost a short window much.
pub fn life(rules: &[LimitRule]) -> Duration {
    let shortest = rules.iter().map(|rule| Duration::from_secs(rule.window.nominal_secs())).min();
    shortest.map_or(LONGEST_LIFE, |window| LONGEST_LIFE.min(window / LIVES_A_WINDOW))
}

/// The first end among the periods: what was charged in one must not be used in the next.
fn period_ends(windows: &SubjectWindows) -> Option<UnixMicros> {
    let ends = windows.iter().filter_map(|(_, counted)| match counted {
        &Counted::Fixed { end_secs, .. } | &Counted::Sliding { end_secs, .. } => {
            Some(UnixMicros::from_secs(end_secs))
        }
        Counted::Bucket { .. } | Counted::Log(_) => None,
    });
    ends.min()
}
