//! What a node has counted that a store does not know of, while several nodes count apart.
//!
//! Each goes on from what the store knew last, and counts its own requests on top of that. What the store knew comes back by itself
//! at each of them, as it does in the store. A bucket's flow beyond that is there for the requests of all nodes together: of what is
//! on top a node has its part of it come back, and no more, as otherwise the bucket would fill once for each node.

use std::num::NonZeroU32;

use smallvec::SmallVec;

use super::decision::{Settlement, settle};
use super::token_bucket::TokenBucket;
use super::{Calendar, Counted, LimitRule, SubjectWindows, Window, gauge};
use crate::resource::Algorithm;
use crate::time::UnixMicros;

/// What a store knows of a subject that so many nodes count apart on top of that.
#[derive(Debug, Clone, Copy)]
pub struct Base<'w> {
    pub known: &'w SubjectWindows,
    pub nodes: NonZeroU32,
}

/// What was counted here at one moment, and what the store knew of it then.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub here: SubjectWindows,
    pub known: SubjectWindows,
}

impl Tally {
    /// Without windows that other limits count, and those of another.
    pub fn narrow_to(&mut self, rules: &[LimitRule], without: &Self) {
        let is_ours = |window| rules.iter().any(|rule| rule.window == window);
        self.retain(|window| is_ours(window) && without.here.find(window).is_none());
    }

    /// With the windows of another, which are not among its own.
    pub fn join(&mut self, other: &Self) {
        let Self { here, known } = self;
        for (own, others) in [(here, &other.here), (known, &other.known)] {
            others.iter().for_each(|(window, counted)| own.put(window, counted.clone()));
        }
    }

    /// Without the windows of another.
    pub fn forget(&mut self, other: &Self) {
        self.retain(|window| other.here.find(window).is_none() && other.known.find(window).is_none());
    }

    fn retain(&mut self, is_wanted: impl Fn(Window) -> bool) {
        self.here.retain(&is_wanted);
        self.known.retain(&is_wanted);
    }

    const fn base(&self, nodes: NonZeroU32) -> Base<'_> {
        Base { known: &self.known, nodes }
    }
}

/// How much of each limit is counted here and not known there; rounded up.
pub fn owed(
    rules: &[LimitRule],
    here: &SubjectWindows,
    base: Base<'_>,
    now: UnixMicros,
) -> SmallVec<[u64; 4]> {
    rules.iter().map(|rule| rule.requests_of(owed_of(rule, here, base, now))).collect()
}

/// As [`settle`], of what is counted on top of what a store knows.
pub fn settle_on_top(
    rules: &[LimitRule],
    here: &mut SubjectWindows,
    base: Base<'_>,
    calendar: Calendar<'_>,
    settlement: Settlement,
    now: UnixMicros,
) {
    for rule in rules {
        if let Some(OnTop { known, owed }) = bucket_on_top(rule, here, base, now) {
            here.put(rule.window, known.with(owed).counted());
        }
    }
    settle(rules, here, calendar, settlement, now);
}

/// Takes off what is owed what a request was charged too much; gives how much of each limit that was. It takes no more than the
/// store neither knows nor, as `told` says, is being told of.
pub fn take_off_owed(
    rules: &[LimitRule],
    here: &mut SubjectWindows,
    told: &Tally,
    base: Base<'_>,
    settlement: Settlement,
    now: UnixMicros,
) -> SmallVec<[u64; 4]> {
    let Settlement { charged, charged_at, actual } = settlement;
    let less = charged.saturating_sub(actual);
    let take_off = |rule: &LimitRule| {
        let owed = owed_since(rule, here, told, base, now);
        if let Some(on_top) = bucket_on_top(rule, here, base, now) {
            // This node's part of what has flowed since has come back already.
            let micros = as_of(rule, here, now).0.saturating_sub(charged_at.0);
            let flowed = u128::from(micros) * u128::from(rule.requests);
            let come_back = flowed.div_ceil(base.nodes.get().into());
            let taken = rule.request_micros(less).saturating_sub(come_back).min(owed);
            if taken > 0 {
                here.put(rule.window, on_top.known.with(on_top.owed.saturating_sub(taken)).counted());
            }
            return rule.requests_of(taken);
        }
        let taken = less.min(rule.requests_of(owed));
        if taken > 0 {
            let settlement = Settlement { charged: taken, charged_at, actual: 0 };
            settle_running(rule, here, settlement, now);
        }
        taken
    };
    rules.iter().map(take_off).collect()
}

/// One limit's count that goes on from what a store knows of it, which is not over, and has on top of that what is here and was not
/// told: `None` where that is nothing.
pub fn on_top_of(
    rule: &LimitRule,
    of_store: &Counted,
    here: &SubjectWindows,
    told: &Tally,
    base: Base<'_>,
    now: UnixMicros,
) -> Option<Counted> {
    let owed = owed_since(rule, here, told, base, now);
    if owed == 0 {
        return None;
    }
    if let Algorithm::TokenBucket { .. } = rule.algorithm {
        return Some(known_bucket(rule, Some(of_store), as_of(rule, here, now)).with(owed).counted());
    }
    let mut windows = SubjectWindows::default();
    windows.put(rule.window, of_store.clone());
    let charge = Settlement::uncharged(rule.requests_of(owed), now);
    settle_running(rule, &mut windows, charge, now);
    windows.find(rule.window).cloned()
}

/// Of a count that is not over: it knows its own period.
fn settle_running(rule: &LimitRule, windows: &mut SubjectWindows, settlement: Settlement, now: UnixMicros) {
    settle(std::slice::from_ref(rule), windows, Calendar::utc(), settlement, now);
}

/// What is here, and was neither known to the store nor told, in microseconds of requests.
fn owed_since(
    rule: &LimitRule,
    here: &SubjectWindows,
    told: &Tally,
    base: Base<'_>,
    now: UnixMicros,
) -> u128 {
    let now = as_of(rule, here, now);
    let owed_then = owed_of(rule, &told.here, told.base(base.nodes), now);
    owed_of(rule, here, base, now).saturating_sub(owed_then)
}

/// In microseconds of requests.
fn owed_of(rule: &LimitRule, here: &SubjectWindows, base: Base<'_>, now: UnixMicros) -> u128 {
    match here.find(rule.window) {
        Some(&Counted::Bucket { missing, at, .. }) => {
            on_top(rule, missing.into(), at, base, now).map_or(0, |on_top| on_top.owed)
        }
        other @ (Some(Counted::Fixed { .. } | Counted::Sliding { .. } | Counted::Log(_)) | None) => {
            let known = gauge::used(rule, base.known.find(rule.window), now);
            rule.request_micros(gauge::used(rule, other, now).saturating_sub(known))
        }
    }
}

/// A bucket's count is of its last charge, and of now where that is later.
fn as_of(rule: &LimitRule, here: &SubjectWindows, now: UnixMicros) -> UnixMicros {
    match here.find(rule.window) {
        Some(&Counted::Bucket { at, .. }) => at.max(now),
        Some(Counted::Fixed { .. } | Counted::Sliding { .. } | Counted::Log(_)) | None => now,
    }
}

/// A bucket as of now.
struct OnTop {
    /// What is missing that the store knows of,
    known: TokenBucket,
    /// and what besides.
    owed: u128,
}

/// `None` where this is no bucket, where it came back at another rate than this rule's, and where less is missing than the store
/// knows of.
fn bucket_on_top(rule: &LimitRule, here: &SubjectWindows, base: Base<'_>, now: UnixMicros) -> Option<OnTop> {
    let Some(&Counted::Bucket { missing, at, full_at }) = here.find(rule.window) else { return None };
    let is_this_rate = rule.bucket(rule.requests, 0, at).since(missing.into(), at, at).full_at() == full_at;
    if is_this_rate { on_top(rule, missing.into(), at, base, now) } else { None }
}

/// Of what was missing at `at`.
fn on_top(rule: &LimitRule, missing: u128, at: UnixMicros, base: Base<'_>, now: UnixMicros) -> Option<OnTop> {
    let until = at.max(now);
    let of_store = base.known.find(rule.window);
    let (known_before, known) = (known_bucket(rule, of_store, at), known_bucket(rule, of_store, until));
    let flowed = u128::from(until.0 - at.0) * u128::from(rule.requests);
    let beyond = flowed.saturating_sub(known_before.missing().saturating_sub(known.missing()));
    let on_top = missing.checked_sub(known_before.missing())?;
    Some(OnTop { known, owed: on_top.saturating_sub(beyond / u128::from(base.nodes.get())) })
}

/// What a store knows of a limit, as a bucket.
fn known_bucket(rule: &LimitRule, of_store: Option<&Counted>, now: UnixMicros) -> TokenBucket {
    match of_store {
        Some(&Counted::Bucket { missing, at, .. }) => {
            rule.bucket(rule.requests, 0, now).since(missing.into(), at, now)
        }
        other => rule.bucket(rule.requests, gauge::used(rule, other, now), now),
    }
}

#[cfg(test)]
mod tests;
