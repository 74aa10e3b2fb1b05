//! For tests: a store that nobody answers for.

use std::sync::Arc;
use std::time::Instant;

use smallvec::smallvec;
use tokio::sync::mpsc;
use tollgate_core::limit::{Demand, Settlement, SubjectWindows};
use tollgate_core::time::UnixMicros;

use super::call::{Answer, Depths};
use super::{LANES, Op, Shared};
use crate::{LocalCounters, TimeSource};

/// It, and what it is asked.
pub fn unanswered() -> (Shared, [mpsc::UnboundedReceiver<Op>; LANES]) {
    let [(first, first_asked), (second, second_asked)] = [(); LANES].map(|()| mpsc::unbounded_channel());
    let local = Arc::new(LocalCounters::new());
    (Shared::new(local, TimeSource::Server, [first, second]), [first_asked, second_asked])
}

/// So many requests are let through of which it is to be told.
pub fn owe(shared: &Shared, demand: &Demand<'_>, units: u64, now: UnixMicros) {
    let mut shard = shared.ledgers.shard(demand.subject).lock();
    let ledger = shard.ledger(demand.subject, &demand.limits.rules, Instant::now());
    shared.owe(ledger, demand, Settlement::uncharged(units, now), now);
}

/// What the store may have said first, once it counts this.
pub fn first_answer(windows: SubjectWindows, slice: u64, now: UnixMicros) -> Answer {
    Answer {
        admitted: 0,
        slice,
        now,
        number: 1,
        said_in: 1,
        was_said_in: smallvec![1],
        windows,
        depths: Depths::new(),
    }
}
