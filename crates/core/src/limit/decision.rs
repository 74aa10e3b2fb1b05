//! One decision over all limits that apply: all pass and all are charged, or none is charged.

use smallvec::SmallVec;
use uuid::Uuid;

use super::fixed_window::FixedWindow;
use super::{Counted, LimitRule, Window};
use crate::resource::{Algorithm, ConsumerId, KeyId};
use crate::time::UnixMicros;

/// Who is counted: the consumer that is spoken for, else the key. Ids are unique across both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject(pub Uuid);

impl From<KeyId> for Subject {
    fn from(id: KeyId) -> Self {
        Self(id.0)
    }
}

impl From<ConsumerId> for Subject {
    fn from(id: ConsumerId) -> Self {
        Self(id.0)
    }
}

/// All windows of one subject. A window that is no longer in its plan is kept until it is over: taking a
/// limit out and putting it back refills nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubjectWindows(SmallVec<[(Window, Counted); 3]>);

/// One subject's use of one window, as it is kept across restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterRecord {
    pub subject: Subject,
    pub window: Window,
    pub counted: Counted,
}

impl CounterRecord {
    /// The instant from which on nothing is lost by forgetting it.
    pub fn over_at(&self) -> UnixMicros {
        self.counted.over_at(self.window)
    }
}

/// Where a subject stands with one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Requests that would be let through now.
    pub remaining: u64,
    /// Seconds since the epoch at which the whole limit is available again.
    pub reset_secs: u64,
}

/// One standing a limit, in the order of the rules.
pub type Standings = SmallVec<[Standing; 4]>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub standings: Standings,
    /// `None`: the request is let through, and charged to every limit.
    pub refusal: Option<Refusal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Which of the rules refused; of several, the one that lasts longest.
    pub rule: usize,
    pub retry_after_micros: u64,
}

impl Refusal {
    /// Whole seconds after which the request would be let through; at least 1.
    pub const fn retry_after_secs(&self) -> u64 {
        let secs = self.retry_after_micros.div_ceil(1_000_000);
        if secs == 0 { 1 } else { secs }
    }
}

/// Decides on one request and charges it where it is let through.
pub fn decide(rules: &[LimitRule], windows: &mut SubjectWindows, now: UnixMicros) -> Outcome {
    let (current, mut outcome) = judge(rules, windows, now);
    if outcome.refusal.is_none() {
        for ((rule, counted), standing) in rules.iter().zip(current).zip(&mut outcome.standings) {
            let charged = charge(rule, counted);
            *standing = stand(rule, charged, now);
            windows.put(rule.window, charged);
        }
    }
    outcome
}

/// Where a subject stands, charging nothing.
pub fn inspect(rules: &[LimitRule], windows: &SubjectWindows, now: UnixMicros) -> Outcome {
    judge(rules, windows, now).1
}

fn judge(
    rules: &[LimitRule],
    windows: &SubjectWindows,
    now: UnixMicros,
) -> (SmallVec<[Counted; 4]>, Outcome) {
    let mut current = SmallVec::new();
    let mut outcome = Outcome { standings: SmallVec::new(), refusal: None };
    for (index, rule) in rules.iter().enumerate() {
        let counted = advance(rule, windows.find(rule.window), now);
        if let Some(retry_after_micros) = refused(rule, counted, now) {
            let lasts_longer =
                outcome.refusal.is_none_or(|earlier| earlier.retry_after_micros < retry_after_micros);
            if lasts_longer {
                outcome.refusal = Some(Refusal { rule: index, retry_after_micros });
            }
        }
        outcome.standings.push(stand(rule, counted, now));
        current.push(counted);
    }
    (current, outcome)
}

/// The count as it is now, in the form that the rule's algorithm keeps: a plan that changes its algorithm
/// takes over what was used.
fn advance(rule: &LimitRule, stored: Option<Counted>, now: UnixMicros) -> Counted {
    match rule.algorithm {
        Algorithm::TokenBucket { burst } => {
            let bucket = rule.bucket(burst);
            match stored {
                None => bucket.counted(0, now),
                Some(Counted::Bucket { missing, at, .. }) => {
                    bucket.counted(bucket.missing_at(missing, at, now), now.max(at))
                }
                Some(Counted::Fixed { start_secs, used }) => {
                    let used = fixed(rule, now).used(start_secs, used);
                    bucket.counted(bucket.missing_after(used), now)
                }
            }
        }
        Algorithm::FixedWindow => {
            let window = fixed(rule, now);
            match stored {
                None => Counted::Fixed { start_secs: window.period.start_secs, used: 0 },
                Some(Counted::Fixed { start_secs, used }) => Counted::Fixed {
                    start_secs: window.start(start_secs),
                    used: window.used(start_secs, used),
                },
                Some(Counted::Bucket { missing, at, .. }) => {
                    let bucket = rule.bucket(rule.requests);
                    let used = bucket.used(bucket.missing_at(missing, at, now));
                    Counted::Fixed { start_secs: window.period.start_secs, used }
                }
            }
        }
    }
}

fn fixed(rule: &LimitRule, now: UnixMicros) -> FixedWindow {
    FixedWindow { requests: rule.requests, period: rule.window.period(now) }
}

/// How long until the limit lets a request through, where it does not now. `counted` comes from [`advance`].
fn refused(rule: &LimitRule, counted: Counted, now: UnixMicros) -> Option<u64> {
    match counted {
        Counted::Bucket { missing, .. } => {
            let bucket = rule.bucket(burst_of(rule));
            (!bucket.admits(missing, 1)).then(|| bucket.retry_after_micros(missing))
        }
        Counted::Fixed { used, .. } => {
            let window = fixed(rule, now);
            (!window.admits(used, 1)).then(|| window.retry_after_micros(now))
        }
    }
}

fn charge(rule: &LimitRule, counted: Counted) -> Counted {
    match counted {
        Counted::Bucket { missing, at, .. } => {
            let bucket = rule.bucket(burst_of(rule));
            bucket.counted(missing + bucket.cost(1), at)
        }
        Counted::Fixed { start_secs, used } => Counted::Fixed { start_secs, used: used + 1 },
    }
}

fn stand(rule: &LimitRule, counted: Counted, now: UnixMicros) -> Standing {
    match counted {
        Counted::Bucket { missing, .. } => rule.bucket(burst_of(rule)).standing(missing, now),
        Counted::Fixed { used, .. } => fixed(rule, now).standing(used),
    }
}

const fn burst_of(rule: &LimitRule) -> u64 {
    match rule.algorithm {
        Algorithm::TokenBucket { burst } => burst,
        Algorithm::FixedWindow => rule.requests,
    }
}

impl SubjectWindows {
    pub fn iter(&self) -> impl Iterator<Item = (Window, Counted)> {
        self.0.iter().copied()
    }

    /// Sets what a window counted, when it comes back after a restart.
    pub fn put(&mut self, window: Window, counted: Counted) {
        match self.0.iter_mut().find(|(held, _)| *held == window) {
            Some((_, held)) => *held = counted,
            None => self.0.push((window, counted)),
        }
    }

    /// Drops what is over; `true` where nothing is left.
    pub fn forget_past(&mut self, now: UnixMicros) -> bool {
        self.0.retain(|(window, counted)| now < counted.over_at(*window));
        self.0.is_empty()
    }

    fn find(&self, window: Window) -> Option<Counted> {
        self.0.iter().find(|(held, _)| *held == window).map(|(_, counted)| *counted)
    }
}

#[cfg(test)]
mod tests;
