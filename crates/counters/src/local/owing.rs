//! What was counted here that a store does not know of.
//!
//! What the store knows of it is kept beside it, over restarts too, as a subject of its own: both are read and changed under one
//! lock, as requests that are counted here alone come in between.

use std::mem;
use std::num::NonZeroU32;

use smallvec::SmallVec;
use tollgate_core::limit::{self, Calendar, Counted, LimitRule, Settlement, Subject, SubjectWindows, Window};
use tollgate_core::time::UnixMicros;

use super::LocalCounters;
use super::locked::Locked;

/// A count that is over, and takes the place of one that is not.
const OVER: Counted = Counted::Fixed { start_secs: 0, end_secs: 0, used: 0 };

/// What is counted of a subject here, and what of that the store knows.
struct Owing<'c> {
    locked: Locked<'c>,
    /// Of a place that has no entry.
    nothing: SubjectWindows,
}

impl Owing<'_> {
    const HERE: usize = 0;
    const IN_STORE: usize = 1;

    fn windows(&self, place: usize) -> &SubjectWindows {
        self.locked.entry(place).map_or(&self.nothing, |entry| &entry.windows)
    }

    /// How much is not known, of each limit.
    fn owed(&self, rules: &[LimitRule], nodes: NonZeroU32, now: UnixMicros) -> SmallVec<[u64; 4]> {
        limit::owed(rules, self.windows(Self::HERE), self.windows(Self::IN_STORE), nodes, now)
    }

    fn put<'w>(&mut self, place: usize, windows: impl Iterator<Item = (Window, &'w Counted)>) {
        let mut windows = windows.peekable();
        if windows.peek().is_none() {
            return;
        }
        let entry = self.locked.entry_mut(place);
        for (window, counted) in windows {
            entry.windows.put(window, counted.clone());
        }
        entry.changed = true;
    }
}

impl LocalCounters {
    fn owing(&self, subject: Subject) -> Owing<'_> {
        let locked = self.lock_all([subject, subject.in_store()].into_iter());
        Owing { locked, nothing: SubjectWindows::default() }
    }

    /// Corrects what a store that is not there has to be told of one subject, which so many nodes count apart.
    pub(crate) fn owe(
        &self,
        subject: Subject,
        rules: &[LimitRule],
        calendar: Calendar<'_>,
        settlement: Settlement,
        nodes: NonZeroU32,
        now: UnixMicros,
    ) {
        let mut owing = self.owing(subject);
        let mut here = mem::take(&mut owing.locked.entry_mut(Owing::HERE).windows);
        let known = owing.windows(Owing::IN_STORE);
        limit::settle_on_top(rules, &mut here, known, calendar, settlement, nodes, now);
        let entry = owing.locked.entry_mut(Owing::HERE);
        entry.windows = here;
        entry.changed = true;
    }

    /// What was counted in a store is counted here from now on, and on top of it what is here already. What of that the store knows
    /// is kept too, for as long: it would be told of it a second time. Where it is kept already, what is here goes on here: the store
    /// knows less of it.
    pub(crate) fn go_on_from<'w>(
        &self,
        subject: Subject,
        rules: &[LimitRule],
        calendar: Calendar<'_>,
        of_store: impl Iterator<Item = (Window, &'w Counted)>,
        now: UnixMicros,
    ) {
        let mut owing = self.owing(subject);
        let (here, in_store) = (owing.windows(Owing::HERE), owing.windows(Owing::IN_STORE));
        let is_kept = |window| in_store.not_over(now).any(|(kept, _)| kept == window);
        // What other limits count here could not come on top.
        let is_ours = |window| rules.iter().any(|rule| rule.window == window) || here.find(window).is_none();
        let known: SmallVec<[_; 4]> =
            of_store.filter(|(window, _)| !is_kept(*window) && is_ours(*window)).collect();
        if known.is_empty() {
            return;
        }
        let used = limit::used(rules, here, now);
        owing.put(Owing::HERE, known.iter().copied());
        let is_known = |rule: &LimitRule| known.iter().any(|(window, _)| *window == rule.window);
        let on_top = rules.iter().zip(used).filter(|(rule, _)| is_known(rule));
        let entry = owing.locked.entry_mut(Owing::HERE);
        limit::charge_each(on_top, &mut entry.windows, calendar, now);
        owing.put(Owing::IN_STORE, known.iter().copied());
    }

    /// How much of what is counted here the store does not know, of each limit.
    pub(crate) fn owed(
        &self,
        subject: Subject,
        rules: &[LimitRule],
        nodes: NonZeroU32,
        now: UnixMicros,
    ) -> SmallVec<[u64; 4]> {
        self.owing(subject).owed(rules, nodes, now)
    }

    /// What is counted here, and how much of it the store does not know, as they are at one moment.
    pub(crate) fn windows_and_owed(
        &self,
        subject: Subject,
        rules: &[LimitRule],
        nodes: NonZeroU32,
        now: UnixMicros,
    ) -> (SubjectWindows, SmallVec<[u64; 4]>) {
        let owing = self.owing(subject);
        (owing.windows(Owing::HERE).clone(), owing.owed(rules, nodes, now))
    }

    /// The store knows of these windows, which were here. What was counted since is still owed; where nothing was, it counts from now
    /// on, and what was kept here over restarts goes too.
    pub(crate) fn has_told(
        &self,
        subject: Subject,
        rules: &[LimitRule],
        told: &SubjectWindows,
        now: UnixMicros,
    ) {
        let mut owing = self.owing(subject);
        let here = limit::used(rules, owing.windows(Owing::HERE), now);
        let (mut over, mut known) = (SubjectWindows::default(), SubjectWindows::default());
        for ((rule, here), told_of) in rules.iter().zip(here).zip(limit::used(rules, told, now)) {
            let Some(counted) = told.find(rule.window) else { continue };
            if here > told_of {
                known.put(rule.window, counted.clone());
            } else {
                over.put(rule.window, OVER);
                known.put(rule.window, OVER);
            }
        }
        owing.put(Owing::HERE, over.iter());
        owing.put(Owing::IN_STORE, known.iter());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use tollgate_core::limit::{Demand, LevelLimits};
    use tollgate_core::resource::LimitDraft;
    use uuid::Uuid;

    use super::*;

    const NOW: UnixMicros = UnixMicros::from_secs(1_769_351_520);

    #[test]
    fn what_is_counted_while_the_store_is_told_is_told_once() {
        let counters = LocalCounters::new();
        let limit = LimitDraft { requests: 1_000_000, per: "month".into(), ..LimitDraft::default() };
        let limits = LevelLimits::of_plan(&[limit.parse().unwrap()], None);
        let demand =
            Demand { subject: Subject(Uuid::from_u128(1)), limits: &limits, calendar: Calendar::utc() };
        let is_over = AtomicBool::new(false);
        let mut told = 0;
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..100_000 {
                    assert!(counters.decide(&[demand], 1, NOW).verdict.is_admitted());
                }
                is_over.store(true, Ordering::Release);
            });
            while !is_over.load(Ordering::Acquire) {
                let (windows, owed) =
                    counters.windows_and_owed(demand.subject, &limits.rules, NonZeroU32::MIN, NOW);
                told += owed[0];
                counters.has_told(demand.subject, &limits.rules, &windows, NOW);
            }
        });
        assert_eq!(told + counters.owed(demand.subject, &limits.rules, NonZeroU32::MIN, NOW)[0], 100_000);
    }
}
