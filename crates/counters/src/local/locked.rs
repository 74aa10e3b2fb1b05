//! Entries behind their shards' locks: of one subject, or of all subjects of a request.

use ahash::RandomState;
use parking_lot::MutexGuard;
use smallvec::SmallVec;
use tollgate_core::limit::{self, Crossed, Demand, Outcome, Refusal, Standings, Subject, SubjectWindows};
use tollgate_core::time::UnixMicros;

use super::LocalCounters;
use crate::entries::{Entries, Entry, Hashed};

/// A subject's shard, locked.
pub(super) struct Held<'c> {
    entries: MutexGuard<'c, Entries>,
    subject: Hashed,
    hasher: &'c RandomState,
}

impl Held<'_> {
    pub fn get(&self) -> Option<&Entry> {
        self.entries.get(self.subject)
    }

    pub fn get_mut(&mut self) -> Option<&mut Entry> {
        self.entries.get_mut(self.subject)
    }

    pub fn entry(&mut self) -> &mut Entry {
        self.entries.entry(self.subject, self.hasher)
    }
}

/// The shards of several subjects, which [`LocalCounters::lock_all`] was given in this order.
pub(super) struct Locked<'c> {
    guards: SmallVec<[MutexGuard<'c, Entries>; 8]>,
    /// Of each subject which guard is its own.
    places: SmallVec<[(usize, Hashed); 8]>,
    hasher: &'c RandomState,
}

impl Locked<'_> {
    pub fn entry(&self, place: usize) -> Option<&Entry> {
        let (guard, subject) = self.places[place];
        self.guards[guard].get(subject)
    }

    pub fn entry_mut(&mut self, place: usize) -> &mut Entry {
        let (guard, subject) = self.places[place];
        self.guards[guard].entry(subject, self.hasher)
    }

    pub fn inspect(&self, demands: &[Demand<'_>], cost: u64, now: UnixMicros) -> Outcome {
        let mut whole = Outcome { standings: Standings::new(), refusal: None, crossed: Crossed::new() };
        for (index, &Demand { limits, calendar, .. }) in demands.iter().enumerate() {
            let outcome = match self.entry(index) {
                Some(entry) => limit::inspect(&limits.rules, &entry.windows, calendar, cost, now),
                None => limit::inspect(&limits.rules, &SubjectWindows::default(), calendar, cost, now),
            };
            let before = whole.standings.len();
            let refusal = outcome.refusal.map(|refusal| Refusal { rule: before + refusal.rule, ..refusal });
            whole.refusal =
                whole.refusal.into_iter().chain(refusal).max_by_key(|refusal| refusal.retry_after_micros);
            whole.standings.extend(outcome.standings);
        }
        whole
    }
}

impl LocalCounters {
    pub(super) fn hold(&self, subject: Subject) -> Held<'_> {
        let subject = self.hashed(subject);
        let entries = self.shards[usize::from(subject.shard())].0.lock();
        Held { entries, subject, hasher: &self.hasher }
    }

    /// In ascending order and none twice: whoever holds one waits only for later ones.
    pub(super) fn lock_all(&self, subjects: impl Iterator<Item = Subject>) -> Locked<'_> {
        let subjects: SmallVec<[Hashed; 8]> = subjects.map(|subject| self.hashed(subject)).collect();
        let mut indices: SmallVec<[u8; 8]> = subjects.iter().map(|subject| subject.shard()).collect();
        indices.sort_unstable();
        indices.dedup();
        let guards = indices.iter().map(|&index| self.shards[usize::from(index)].0.lock()).collect();
        let place = |subject: Hashed| indices.partition_point(|&held| held < subject.shard());
        let places = subjects.iter().map(|&subject| (place(subject), subject)).collect();
        Locked { guards, places, hasher: &self.hasher }
    }

    fn hashed(&self, subject: Subject) -> Hashed {
        Hashed::new(subject, &self.hasher)
    }
}
