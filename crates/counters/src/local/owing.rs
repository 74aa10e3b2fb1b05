//! What was counted here that a store does not know of.
//!
//! What the store knows of it is kept beside it, over restarts too, as a subject of its own: both are read and changed under one
//! lock, as requests that are counted here alone come in between.

use std::mem;
use std::num::NonZeroU32;

use smallvec::SmallVec;
use tollgate_core::limit::{
    self, Base, Calendar, Counted, LimitRule, Settlement, Subject, SubjectWindows, Tally, Window,
};
use tollgate_core::time::UnixMicros;

use super::LocalCounters;
use super::locked::Locked;

/// A count that is over, and takes the place of one that is not.
const OVER: Counted = Counted::Fixed { start_secs: 0, end_secs: 0, used: 0 };

/// What a store has heard.
pub struct Heard<'h> {
    /// What was told.
    pub told: &'h Tally,
    /// What it knows now.
    pub of_store: &'h SubjectWindows,
    pub counting: GoesOn,
}

/// Where a subject is counted from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoesOn {
    InStore,
    Here,
}

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

    fn base(&self, nodes: NonZeroU32) -> Base<'_> {
        Base { known: self.windows(Self::IN_STORE), nodes }
    }

    /// How much is not known, of each limit.
    fn owed(&self, rules: &[LimitRule], nodes: NonZeroU32, now: UnixMicros) -> SmallVec<[u64; 4]> {
        limit::owed(rules, self.windows(Self::HERE), self.base(nodes), now)
    }

    /// What is here, and was neither known nor told, on top of what the store knows; `None` where that is nothing.
    fn on_top_of(
        &self,
        of_store: &Counted,
        rule: &LimitRule,
        told: &Tally,
        nodes: NonZeroU32,
        now: UnixMicros,
    ) -> Option<Counted> {
        limit::on_top_of(rule, of_store, self.windows(Self::HERE), told, self.base(nodes), now)
    }

    /// Changes what is counted here, on top of what is known.
    fn change<T>(&mut self, nodes: NonZeroU32, change: impl FnOnce(&mut SubjectWindows, Base<'_>) -> T) -> T {
        let mut here = mem::take(&mut self.locked.entry_mut(Self::HERE).windows);
        let outcome = change(&mut here, self.base(nodes));
        self.locked.entry_mut(Self::HERE).windows = here;
        outcome
    }

    /// What is counted here is to be kept.
    fn has_changed(&mut self) {
        self.locked.entry_mut(Self::HERE).changed = true;
    }

    fn put(&mut self, place: usize, windows: &SubjectWindows) {
        if windows.is_empty() {
            return;
        }
        let entry = self.locked.entry_mut(place);
        for (window, counted) in windows.iter() {
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

    /// Has a store that is not there told more of one subject, which so many nodes count apart.
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
        owing.change(nodes, |here, base| {
            limit::settle_on_top(rules, here, base, calendar, settlement, now);
        });
        owing.has_changed();
    }

    /// Has it told less, but of what it is being told of already; gives how much less of each limit.
    pub(crate) fn take_off_owed(
        &self,
        subject: Subject,
        rules: &[LimitRule],
        being_told: &Tally,
        settlement: Settlement,
        nodes: NonZeroU32,
        now: UnixMicros,
    ) -> SmallVec<[u64; 4]> {
        let mut owing = self.owing(subject);
        let taken = owing
            .change(nodes, |here, base| limit::take_off_owed(rules, here, being_told, base, settlement, now));
        if taken.iter().any(|taken| *taken > 0) {
            owing.has_changed();
        }
        taken
    }

    /// What was counted in a store is counted here from now on, and on top of it what is here already. What of that the store knows
    /// is kept too, for as long: it would be told of it a second time. Where it is kept already, what is here goes on here: the store
    /// knows less of it.
    pub(crate) fn go_on_from<'w>(
        &self,
        subject: Subject,
        rules: &[LimitRule],
        of_store: impl Iterator<Item = (Window, &'w Counted)>,
        nodes: NonZeroU32,
        now: UnixMicros,
    ) {
        let mut owing = self.owing(subject);
        let (mut here, mut known) = (SubjectWindows::default(), SubjectWindows::default());
        for (window, counted) in of_store {
            if owing.windows(Owing::IN_STORE).not_over(now).any(|(kept, _)| kept == window) {
                continue;
            }
            let rule = rules.iter().find(|rule| rule.window == window);
            if rule.is_none() && owing.windows(Owing::HERE).find(window).is_some() {
                // What other limits count here could not come on top.
                continue;
            }
            let untold = Tally::default();
            let on_top = rule.and_then(|rule| owing.on_top_of(counted, rule, &untold, nodes, now));
            here.put(window, on_top.unwrap_or_else(|| counted.clone()));
            known.put(window, counted.clone());
        }
        owing.put(Owing::HERE, &here);
        owing.put(Owing::IN_STORE, &known);
    }

    /// What is counted here, and how much of it the store does not know, as they are at one moment.
    pub(crate) fn tally_and_owed(
        &self,
        subject: Subject,
        rules: &[LimitRule],
        nodes: NonZeroU32,
        now: UnixMicros,
    ) -> (Tally, SmallVec<[u64; 4]>) {
        let owing = self.owing(subject);
        let [here, known] = [Owing::HERE, Owing::IN_STORE].map(|place| owing.windows(place).clone());
        (Tally { here, known }, owing.owed(rules, nodes, now))
    }

    /// The store knows of what was told. What was counted since is still owed, on top of what the store knows now; where nothing
    /// was, it counts from now on, and what was kept here over restarts goes too.
    pub(crate) fn has_told(
        &self,
        subject: Subject,
        rules: &[LimitRule],
        Heard { told, of_store, counting }: Heard<'_>,
        nodes: NonZeroU32,
        now: UnixMicros,
    ) {
        let mut owing = self.owing(subject);
        let (mut here, mut known) = (SubjectWindows::default(), SubjectWindows::default());
        for rule in rules {
            let (window, Some(then)) = (rule.window, told.here.find(rule.window)) else { continue };
            let of_store = of_store.not_over(now).find(|(its, _)| *its == window).map(|(_, counted)| counted);
            let on_top = owing.on_top_of(of_store.unwrap_or(then), rule, told, nodes, now);
            match (on_top, of_store) {
                (Some(on_top), Some(of_store)) => {
                    here.put(window, on_top);
                    known.put(window, of_store.clone());
                }
                // The period that was told is over, and what is here is of the next.
                (Some(_), None) => known.put(window, OVER),
                (None, Some(of_store)) if counting == GoesOn::Here => {
                    here.put(window, of_store.clone());
                    known.put(window, of_store.clone());
                }
                (None, _) => {
                    here.put(window, OVER);
                    known.put(window, OVER);
                }
            }
        }
        owing.put(Owing::HERE, &here);
        owing.put(Owing::IN_STORE, &known);
    }

    /// Nothing was owed: what was told before is over, and still there. What was charged since is owed on top of what the store
    /// knows.
    pub(crate) fn owed_nothing(
        &self,
        subject: Subject,
        rules: &[LimitRule],
        told: &Tally,
        nodes: NonZeroU32,
        now: UnixMicros,
    ) {
        let heard = Heard { told, of_store: &told.known, counting: GoesOn::InStore };
        self.has_told(subject, rules, heard, nodes, now);
    }
}

#[cfg(test)]
mod tests;
