//! How many requests the limits let through and refused, by where the caller's are counted: over all tenants together.

use std::sync::atomic::{AtomicU64, Ordering};

use tollgate_core::resource::Counting;

use crate::rejection::Rejection;

/// A place for each worker, which it alone writes.
pub(crate) struct Decisions(Box<[OfWorker]>);

#[repr(align(64))]
#[derive(Default)]
struct OfWorker {
    local: Outcomes,
    leased: Outcomes,
    exact: Outcomes,
}

#[derive(Default)]
struct Outcomes {
    allowed: AtomicU64,
    limited: AtomicU64,
    unavailable: AtomicU64,
}

/// Since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DecisionCounts {
    pub allowed: u64,
    /// Refused by a limit.
    pub limited: u64,
    /// Refused because the store that counts was away.
    pub unavailable: u64,
}

impl Decisions {
    pub fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| OfWorker::default()).collect())
    }

    /// `rejection` is what the limits said, where they did not let the request through.
    pub fn note(&self, worker: usize, counting: Counting, rejection: Option<&Rejection>) {
        let Some(own) = self.0.get(worker) else { return };
        let outcomes = own.of(counting);
        let count = match rejection {
            None => &outcomes.allowed,
            Some(Rejection::CounterStoreDown) => &outcomes.unavailable,
            Some(_) => &outcomes.limited,
        };
        // Nobody else writes it: a plain addition will do.
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    pub fn read(&self, counting: Counting) -> DecisionCounts {
        let sum = |count: fn(&Outcomes) -> &AtomicU64| {
            self.0.iter().map(|own| count(own.of(counting)).load(Ordering::Relaxed)).sum()
        };
        DecisionCounts {
            allowed: sum(|outcomes| &outcomes.allowed),
            limited: sum(|outcomes| &outcomes.limited),
            unavailable: sum(|outcomes| &outcomes.unavailable),
        }
    }
}

impl OfWorker {
    const fn of(&self, counting: Counting) -> &Outcomes {
        match counting {
            Counting::Local => &self.local,
            Counting::Leased => &self.leased,
            Counting::Exact => &self.exact,
        }
    }
}
