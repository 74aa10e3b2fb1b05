//! Thresholds: shares of a limit whose use is worth telling. That one was crossed is a fact of a charge: less was used
//! before it, and as much or more after it. What decays is crossed again and again; who keeps the facts keeps one of
//! each period.

use std::ops::{Deref, Range};

use smallvec::SmallVec;

use super::{LimitRule, SubjectWindows, gauge};
use crate::resource::{Limit, Thresholds};
use crate::time::UnixMicros;

/// A share of a limit, with the use at which it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    pub percent: u16,
    /// At least 1.
    pub requests: u64,
}

/// A charge has reached a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crossing {
    /// Whose threshold it is, counted through the rules of all charges.
    pub rule: usize,
    pub percent: u16,
    /// By this charge and those before it.
    pub used: u64,
    /// The period that it counts for. What has no period of its own goes by the stretches of its length since the epoch.
    pub period_end_secs: u64,
}

/// What a charge has crossed: one word, which is null but for the few requests that cross a threshold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Crossed(Option<Box<SmallVec<[Crossing; 2]>>>);

impl Crossed {
    pub const fn new() -> Self {
        Self(None)
    }

    /// Adds what was crossed among rules before which there are so many others.
    #[inline]
    pub fn append(&mut self, rules_before: usize, crossed: &Self) {
        if !crossed.is_empty() {
            let moved = |crossing: &Crossing| Crossing { rule: rules_before + crossing.rule, ..*crossing };
            self.extend(crossed.iter().map(moved));
        }
    }

    /// Those of some of the rules, counted from the first of these.
    #[inline]
    #[must_use]
    pub fn of_rules(&self, rules: Range<usize>) -> Self {
        let mut own = Self::new();
        let within = self.iter().filter(|crossing| rules.contains(&crossing.rule));
        own.extend(within.map(|crossing| Crossing { rule: crossing.rule - rules.start, ..*crossing }));
        own
    }

    /// What of it holds once other rules are in force: the threshold is one of the same window's, and what was used reaches
    /// it there too.
    #[must_use]
    pub fn under(&self, before: &[LimitRule], after: &[LimitRule]) -> Self {
        let mut kept = Self::new();
        kept.extend(self.iter().filter_map(|crossing| {
            let window = before.get(crossing.rule)?.window;
            let rule = after.iter().position(|rule| rule.window == window)?;
            let mut thresholds = after[rule].thresholds.iter();
            thresholds
                .any(|threshold| threshold.percent == crossing.percent && threshold.requests <= crossing.used)
                .then_some(Crossing { rule, ..*crossing })
        }));
        kept
    }
}

impl Deref for Crossed {
    type Target = [Crossing];

    #[inline]
    fn deref(&self) -> &[Crossing] {
        self.0.as_deref().map_or(&[], SmallVec::as_slice)
    }
}

impl Extend<Crossing> for Crossed {
    fn extend<T: IntoIterator<Item = Crossing>>(&mut self, crossings: T) {
        for crossing in crossings {
            self.0.get_or_insert_default().push(crossing);
        }
    }
}

/// Of `whole`, which is what the limit has at most.
pub(super) fn compile(thresholds: &Thresholds, whole: u64) -> Box<[Threshold]> {
    let at = |percent: u16| {
        let requests = (u128::from(whole) * u128::from(percent)).div_ceil(100);
        Threshold { percent, requests: u64::try_from(requests).unwrap_or(u64::MAX).max(1) }
    };
    thresholds.percents().map(at).collect()
}

/// Use of one limit, before and after a charge.
#[derive(Debug, Clone, Copy)]
pub(super) struct Use {
    pub before: u64,
    pub after: u64,
    pub period_end_secs: u64,
}

/// The thresholds that lie between what was known of a subject's use and what is known now, whoever used it.
pub fn crossed_between(
    rules: &[LimitRule],
    before: &SubjectWindows,
    after: &SubjectWindows,
    now: UnixMicros,
) -> Crossed {
    let mut crossed = Crossed::new();
    for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.is_watched()) {
        let (before, after) = (before.find(rule.window), after.find(rule.window));
        let change = Use {
            before: gauge::used(rule, before, now),
            after: gauge::used(rule, after, now),
            period_end_secs: gauge::period_end_secs(rule, after, now),
        };
        crossed.extend(rule.crossings(index, change));
    }
    crossed
}

impl LimitRule {
    /// Whether anybody wants to know how much of the limit was used.
    pub const fn is_watched(&self) -> bool {
        !self.thresholds.is_empty()
    }

    /// The thresholds that were crossed; `rule` says which rule of all charges this is.
    pub(super) fn crossings(
        &self,
        rule: usize,
        Use { before, after, period_end_secs }: Use,
    ) -> impl Iterator<Item = Crossing> {
        let is_crossed =
            move |threshold: &&Threshold| before < threshold.requests && threshold.requests <= after;
        self.thresholds.iter().filter(is_crossed).map(move |threshold| Crossing {
            rule,
            percent: threshold.percent,
            used: after,
            period_end_secs,
        })
    }
}

impl Limit {
    /// What may be used of it at once, where nothing was.
    pub const fn most_at_once(&self) -> u64 {
        self.algorithm.most_at_once(self.requests)
    }
}
