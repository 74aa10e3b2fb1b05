//! Counters in this process's memory, one small lock over a share of the subjects.
//!
//! A request takes exactly one lock, around one hash look-up and the arithmetic of all its limits. There are
//! many more shards than workers, so two workers seldom meet in one.

use std::collections::HashMap;

use ahash::RandomState;
use parking_lot::Mutex;
use tollgate_core::limit::{
    self, Calendar, Counted, CounterRecord, LimitRule, Outcome, Subject, SubjectWindows,
};
use tollgate_core::time::UnixMicros;

/// One for each value of the byte that picks it.
const SHARDS: usize = 1 << u8::BITS;
/// Of a request.
const COST: u64 = 1;

pub struct LocalCounters {
    shards: Box<[Shard]>,
    /// Picks the shard; the maps inside have hashers of their own.
    hasher: RandomState,
}

/// A cache line each, so that workers do not slow each other down by neighbourhood.
#[repr(align(64))]
#[derive(Default)]
struct Shard(Mutex<HashMap<Subject, Entry, RandomState>>);

#[derive(Default)]
struct Entry {
    windows: SubjectWindows,
    /// Whether it changed since it was last taken for keeping.
    changed: bool,
}

impl LocalCounters {
    pub fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard::default()).collect(), hasher: RandomState::new() }
    }

    /// Decides on one request of `subject` over all its limits, and charges it where it is let through.
    pub fn decide(
        &self,
        subject: Subject,
        rules: &[LimitRule],
        calendar: Calendar<'_>,
        now: UnixMicros,
    ) -> Outcome {
        let mut shard = self.shard(subject).0.lock();
        let entry = shard.entry(subject).or_default();
        let outcome = limit::decide(rules, &mut entry.windows, calendar, COST, now);
        entry.changed |= outcome.refusal.is_none();
        outcome
    }

    /// Where `subject` stands; charges nothing.
    pub fn inspect(
        &self,
        subject: Subject,
        rules: &[LimitRule],
        calendar: Calendar<'_>,
        now: UnixMicros,
    ) -> Outcome {
        let shard = self.shard(subject).0.lock();
        match shard.get(&subject) {
            Some(entry) => limit::inspect(rules, &entry.windows, calendar, COST, now),
            None => limit::inspect(rules, &SubjectWindows::default(), calendar, COST, now),
        }
    }

    /// Puts back what was kept over a restart.
    pub fn restore(&self, records: impl IntoIterator<Item = CounterRecord>) {
        for record in records {
            let mut shard = self.shard(record.subject).0.lock();
            shard.entry(record.subject).or_default().windows.put(record.window, record.counted);
        }
    }

    /// What changed since the last call, for keeping.
    pub fn take_changed(&self) -> Vec<CounterRecord> {
        let mut records = Vec::new();
        for shard in &self.shards {
            for (&subject, entry) in shard.0.lock().iter_mut().filter(|(_, entry)| entry.changed) {
                entry.changed = false;
                let record = |(window, counted): (_, &Counted)| CounterRecord {
                    subject,
                    window,
                    counted: counted.clone(),
                };
                records.extend(entry.windows.iter().map(record));
            }
        }
        records
    }

    /// Forgets what is over, so that memory follows the subjects that are active.
    pub fn sweep(&self, now: UnixMicros) {
        for shard in &self.shards {
            shard.0.lock().retain(|_, entry| !entry.windows.forget_past(now));
        }
    }

    fn shard(&self, subject: Subject) -> &Shard {
        let [index, ..] = self.hasher.hash_one(subject).to_le_bytes();
        &self.shards[usize::from(index)]
    }
}

impl Default for LocalCounters {
    fn default() -> Self {
        Self::new()
    }
}
