//! Counters in this process's memory, one small lock over a share of the subjects.
//!
//! A request with one subject takes exactly one lock, around one hash look-up and the arithmetic of all its limits.
//! One with several takes the locks of all of them, in ascending order and none twice, so that two such requests
//! never wait for each other. There are many more shards than workers, so two workers seldom meet in one.

mod decision;
mod locked;
mod owing;

use std::num::NonZeroU32;

use ahash::RandomState;
use parking_lot::Mutex;
use smallvec::{SmallVec, smallvec};
use tollgate_core::limit::{
    self, Charge, Counted, CounterRecord, Crossed, Demand, LimitRule, Outcome, Settled, Settlement,
    Standings, Subject, SubjectWindows,
};
use tollgate_core::time::UnixMicros;

pub use decision::{Decision, Permits, Verdict};
pub(crate) use owing::{GoesOn, Heard};

use crate::entries::{Entries, SHARDS};
use decision::busy;

pub struct LocalCounters {
    shards: Box<[Shard]>,
    /// Of all shards.
    hasher: RandomState,
}

/// A cache line each, so that workers do not slow each other down by neighbourhood.
#[repr(align(64))]
#[derive(Default)]
struct Shard(Mutex<Entries>);

impl LocalCounters {
    pub fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard::default()).collect(), hasher: RandomState::new() }
    }

    /// Decides on one request that costs `cost`, over all limits of all subjects: all let it through and are charged,
    /// or none is charged. The demands' subjects differ.
    pub fn decide(&self, demands: &[Demand<'_>], cost: u64, now: UnixMicros) -> Decision<'_> {
        match demands {
            [] => Decision {
                standings: Standings::new(),
                verdict: Verdict::Admitted(self.permits()),
                crossed: Crossed::new(),
            },
            [only] => self.decide_one(*only, cost, now),
            several => self.decide_together(several, cost, now),
        }
    }

    fn decide_one(
        &self,
        Demand { subject, limits, calendar }: Demand<'_>,
        cost: u64,
        now: UnixMicros,
    ) -> Decision<'_> {
        let mut held = self.hold(subject);
        let entry = held.entry();
        entry.windows.fetch_ahead();
        if is_full(limits.concurrency, entry.in_flight) {
            return busy(0, limit::inspect(&limits.rules, &entry.windows, calendar, cost, now));
        }
        let charge = Charge { rules: &limits.rules, windows: &mut entry.windows, calendar };
        let Outcome { standings, refusal, crossed } = limit::decide(&mut [charge], cost, now);
        if let Some(refusal) = refusal {
            return Decision { standings, verdict: Verdict::Limited(refusal), crossed };
        }
        entry.changed |= !limits.rules.is_empty();
        let mut permits = self.permits();
        if limits.concurrency.is_some() {
            entry.in_flight += 1;
            permits.subjects.push(subject);
        }
        Decision { standings, verdict: Verdict::Admitted(permits), crossed }
    }

    fn decide_together(&self, demands: &[Demand<'_>], cost: u64, now: UnixMicros) -> Decision<'_> {
        let mut locked = self.lock_all(demands.iter().map(|demand| demand.subject));
        let is_busy = |(index, demand): (usize, &Demand<'_>)| {
            let in_flight = locked.entry(index).map_or(0, |entry| entry.in_flight);
            is_full(demand.limits.concurrency, in_flight)
        };
        if let Some(demand) = demands.iter().enumerate().position(is_busy) {
            return busy(demand, locked.inspect(demands, cost, now));
        }
        // They are taken out, because one map can't lend several of its entries at once, and put back below.
        let taken = |index| std::mem::take(&mut locked.entry_mut(index).windows);
        let mut windows: SmallVec<[SubjectWindows; 4]> = (0..demands.len()).map(taken).collect();
        let mut charges: SmallVec<[Charge<'_>; 4]> = demands
            .iter()
            .zip(&mut windows)
            .map(|(demand, windows)| Charge {
                rules: &demand.limits.rules,
                windows,
                calendar: demand.calendar,
            })
            .collect();
        let Outcome { standings, refusal, crossed } = limit::decide(&mut charges, cost, now);
        drop(charges);
        let mut permits = self.permits();
        for (index, (demand, windows)) in demands.iter().zip(windows).enumerate() {
            let entry = locked.entry_mut(index);
            entry.windows = windows;
            if refusal.is_none() {
                entry.changed |= !demand.limits.rules.is_empty();
                if demand.limits.concurrency.is_some() {
                    entry.in_flight += 1;
                    permits.subjects.push(demand.subject);
                }
            }
        }
        let verdict = refusal.map_or(Verdict::Admitted(permits), Verdict::Limited);
        Decision { standings, verdict, crossed }
    }

    /// Where the subjects stand; charges nothing.
    pub fn inspect(&self, demands: &[Demand<'_>], now: UnixMicros) -> Outcome {
        self.inspect_costing(demands, 1, now)
    }

    pub(crate) fn inspect_costing(&self, demands: &[Demand<'_>], cost: u64, now: UnixMicros) -> Outcome {
        self.lock_all(demands.iter().map(|demand| demand.subject)).inspect(demands, cost, now)
    }

    /// A place among the requests of a subject whose limits are counted elsewhere.
    pub(crate) fn place(&self, subject: Subject, most: NonZeroU32) -> Option<Permits<'_>> {
        let mut held = self.hold(subject);
        let entry = held.entry();
        if is_full(Some(most), entry.in_flight) {
            return None;
        }
        entry.in_flight += 1;
        Some(Permits { counters: self, subjects: smallvec![subject] })
    }

    pub(crate) fn no_permits(&self) -> Permits<'_> {
        self.permits()
    }

    /// What the subjects have used of each limit, beyond it too; charges nothing.
    pub fn used(&self, demands: &[Demand<'_>], now: UnixMicros) -> Vec<u64> {
        demands.iter().flat_map(|demand| self.used_of(demand.subject, &demand.limits.rules, now)).collect()
    }

    fn used_of(&self, subject: Subject, rules: &[LimitRule], now: UnixMicros) -> SmallVec<[u64; 4]> {
        match self.hold(subject).get() {
            Some(entry) => limit::used(rules, &entry.windows, now),
            None => smallvec![0; rules.len()],
        }
    }

    /// Corrects what a request that was let through was charged to these subjects; gives where they stand then.
    pub fn settle(&self, demands: &[Demand<'_>], settlement: Settlement, now: UnixMicros) -> Settled {
        let mut whole = Settled::default();
        for demand in demands {
            let mut held = self.hold(demand.subject);
            let entry = held.entry();
            let (rules, calendar) = (&demand.limits.rules, demand.calendar);
            whole.append(limit::settle(rules, &mut entry.windows, calendar, settlement, now));
            entry.changed |= !demand.limits.rules.is_empty();
        }
        whole
    }

    /// Puts back what was kept over a restart.
    pub fn restore(&self, records: impl IntoIterator<Item = CounterRecord>) {
        for record in records {
            self.hold(record.subject).entry().windows.put(record.window, record.counted);
        }
    }

    /// What changed since the last call, for keeping.
    pub fn take_changed(&self) -> Vec<CounterRecord> {
        let mut records = Vec::new();
        for shard in &self.shards {
            for (subject, entry) in shard.0.lock().iter_mut().filter(|(_, entry)| entry.changed) {
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

    /// Forgets what was over at `now`, which [`crate::Sweeps`] gives, so that memory follows the subjects that are active. What changed is kept first: that a count has
    /// moved has to be known after a restart.
    pub fn sweep(&self, now: UnixMicros) {
        for shard in &self.shards {
            let mut entries = shard.0.lock();
            entries.retain(|entry| entry.changed || !entry.windows.forget_past(now) || entry.in_flight > 0);
        }
    }

    fn permits(&self) -> Permits<'_> {
        Permits { counters: self, subjects: SmallVec::new() }
    }
}

const fn is_full(concurrency: Option<NonZeroU32>, in_flight: u32) -> bool {
    match concurrency {
        Some(most) => in_flight >= most.get(),
        None => false,
    }
}

impl Default for LocalCounters {
    fn default() -> Self {
        Self::new()
    }
}
