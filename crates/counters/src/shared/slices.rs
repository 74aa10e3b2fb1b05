//! What a subject may use here without asking: slices of its limits, which the store has charged already.

use std::time::{Duration, Instant};

use smallvec::SmallVec;
use tollgate_core::limit::{Counted, LimitRule, SubjectWindows};
use tollgate_core::time::UnixMicros;

use super::call::{self, Amount, Answer, Depths};
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

pub struct Slices {
    granted: SmallVec<[Slice; 2]>,
    pace: Pace,
    refused: Option<Refused>,
    /// When a slice may be asked for: not while another is on its way, and not soon after none could be had.
    refill_from: Instant,
}

/// Units that are charged in the store already.
#[derive(Debug, Clone)]
struct Slice {
    left: u64,
    /// The server's time of the grant; names the slice.
    granted_at: UnixMicros,
    depths: Depths,
    ends: Instant,
    /// The end of the first period that it was charged in, by the server's time: while the machine sleeps, [`Instant`]s stand still.
    period_ends: Option<UnixMicros>,
    used: Instant,
}

impl Slice {
    #[inline]
    fn is_over(&self, now: Instant, server_now: UnixMicros) -> bool {
        now >= self.ends || self.period_ends.is_some_and(|end| server_now >= end)
    }
}

#[derive(Debug, Clone, Copy)]
struct Refused {
    cost: u64,
    until: Instant,
}

/// What a node has to give back of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unused {
    pub units: u64,
    pub granted_at: UnixMicros,
    /// When it was granted.
    pub depths: Depths,
}

impl Unused {
    /// For each of so many limits.
    pub fn amounts(&self, limits: usize) -> Box<[Amount]> {
        call::less(limits, self.units, self.granted_at, &self.depths)
    }
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

impl Slices {
    pub fn new(now: Instant) -> Self {
        Self { granted: SmallVec::new(), pace: Pace::new(now), refused: None, refill_from: now }
    }

    /// Whether a slice has as much.
    #[inline]
    pub fn has_in_hand(&self, cost: u64, now: Instant, server_now: UnixMicros) -> bool {
        self.granted.iter().any(|slice| !slice.is_over(now, server_now) && slice.left >= cost)
    }

    #[inline]
    pub fn spend(&mut self, cost: u64, now: Instant, server_now: UnixMicros) -> Spent {
        let wanted = self.pace.note(cost, now);
        let mut left = 0;
        let mut spent = None;
        for slice in self.granted.iter_mut().filter(|slice| !slice.is_over(now, server_now)) {
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
    pub fn spend_in_hand(&mut self, cost: u64, now: Instant, server_now: UnixMicros) -> Option<UnixMicros> {
        let has_it = |slice: &&mut Slice| !slice.is_over(now, server_now) && slice.left >= cost;
        let slice = self.granted.iter_mut().find(has_it)?;
        slice.left -= cost;
        Some(slice.granted_at)
    }

    /// Puts back what was spent for nothing; `false` where the slice is gone.
    pub fn unspend(&mut self, granted_at: UnixMicros, cost: u64) -> bool {
        match self.granted.iter_mut().find(|slice| slice.granted_at == granted_at) {
            Some(slice) => {
                slice.left += cost;
                true
            }
            None => false,
        }
    }

    /// The slice of an answer to what was asked at `sent`; its life began then at the latest.
    pub fn add(&mut self, answer: &Answer, rules: &[LimitRule], sent: Instant, now: Instant) {
        self.refill_from = now;
        if answer.slice == 0 {
            self.refill_from = now + REFILL_AGAIN;
            return;
        }
        self.refused = None;
        let period_ends = period_ends(&answer.windows);
        let until_period_ends = period_ends.map(|end| end.since(answer.now));
        let life = until_period_ends.map_or(life(rules), |rest| rest.min(life(rules)));
        // Two grants of one microsecond are one.
        match self.granted.iter_mut().find(|held| held.granted_at == answer.now) {
            Some(held) => {
                held.left += answer.slice;
                let depths = held.depths.iter_mut().zip(&answer.depths);
                depths.for_each(|(held, later)| *held = (*held).max(*later));
            }
            None => self.granted.push(Slice {
                left: answer.slice,
                granted_at: answer.now,
                depths: answer.depths.clone(),
                ends: sent + life,
                period_ends,
                used: now,
            }),
        }
    }

    /// One that was asked for did not come.
    pub fn none_came(&mut self, now: Instant) {
        self.refill_from = now + REFILL_AGAIN;
    }

    pub fn note_refusal(&mut self, cost: u64, retry_after: Duration, now: Instant) {
        self.refused = Some(Refused { cost, until: now + retry_after.min(REFUSAL_HOLDS) });
    }

    /// Units of all.
    pub fn left(&self) -> u64 {
        self.granted.iter().map(|slice| slice.left).sum()
    }

    /// What of them is not used, nor will be.
    pub fn take_unused(&mut self, now: Instant, server_now: UnixMicros) -> SmallVec<[Unused; 2]> {
        let is_idle = |slice: &Slice| now.saturating_duration_since(slice.used) >= IDLE;
        self.take(|slice| slice.is_over(now, server_now) || is_idle(slice))
    }

    pub fn take_all(&mut self) -> SmallVec<[Unused; 2]> {
        self.take(|_| true)
    }

    /// All of what is not used, when the limits that they were granted under are in force no more.
    pub fn end(&mut self) -> SmallVec<[Unused; 2]> {
        self.refused = None;
        self.take_all()
    }

    pub fn is_empty(&self) -> bool {
        self.granted.is_empty()
    }

    fn take(&mut self, is_wanted: impl Fn(&Slice) -> bool) -> SmallVec<[Unused; 2]> {
        let mut unused = SmallVec::new();
        self.granted.retain(|slice| {
            let is_taken = is_wanted(slice);
            if is_taken && slice.left > 0 {
                let depths = std::mem::take(&mut slice.depths);
                unused.push(Unused { units: slice.left, granted_at: slice.granted_at, depths });
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
