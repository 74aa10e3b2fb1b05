//! Where the proxy has its limits counted: in this process alone, or in a store that several nodes share as well.

use std::sync::Arc;
use std::time::Instant;

use tollgate_core::limit::{Demand, Settled, Settlement, Standings};
use tollgate_core::resource::Counting;
use tollgate_core::time::UnixMicros;

use crate::shared::{Shared, StoreStatus, Undecided, asking, here, looking};
use crate::{Decision, LocalCounters};

/// One instant on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub wall: UnixMicros,
    pub instant: Instant,
}

pub struct Counters {
    local: Arc<LocalCounters>,
    shared: Option<Arc<Shared>>,
}

/// What became of a decision at once.
#[must_use]
pub enum Attempt<'c, 's> {
    Decided(Decision<'c>),
    /// The store has to be asked. In a box, so that decisions which do not wait carry no room for it.
    Waiting(Box<Undecided<'c, 's>>),
}

impl Counters {
    /// In this process alone.
    pub const fn local(local: Arc<LocalCounters>) -> Self {
        Self { local, shared: None }
    }

    pub(crate) const fn shared(local: Arc<LocalCounters>, shared: Arc<Shared>) -> Self {
        Self { local, shared: Some(shared) }
    }

    /// Decides on one request that costs `cost`, over all limits of all subjects: all let it through and are charged,
    /// or none is charged. The demands' subjects differ.
    #[inline]
    pub fn decide<'c, 's>(&'c self, demands: &[Demand<'s>], cost: u64, now: Moment) -> Attempt<'c, 's> {
        let Some(shared) = &self.shared else {
            return Attempt::Decided(self.local.decide(demands, cost, now.wall));
        };
        if let [only] = demands
            && let Some(decision) = here::decide_one(&self.local, shared, only, cost, now)
        {
            return Attempt::Decided(decision);
        }
        match asking::begin(&self.local, shared, demands, cost, now) {
            Ok(decision) => Attempt::Decided(decision),
            Err(undecided) => Attempt::Waiting(undecided),
        }
    }

    /// Where the subjects stand, as far as this node knows; charges nothing.
    pub fn inspect(&self, demands: &[Demand<'_>], now: Moment) -> Standings {
        match &self.shared {
            None => self.local.inspect(demands, now.wall).standings,
            Some(shared) => shared.inspect_all(&self.local, demands, now),
        }
    }

    /// Asks the store, where there is one, so that [`Self::inspect`] knows what it says.
    pub async fn look(&self, demands: &[Demand<'_>], now: Moment) {
        if let Some(shared) = &self.shared {
            looking::look(shared, demands, now).await;
        }
    }

    /// What the subjects have used of each limit, beyond it too, as far as this node knows; charges nothing.
    pub fn used(&self, demands: &[Demand<'_>], now: Moment) -> Vec<u64> {
        match &self.shared {
            None => self.local.used(demands, now.wall),
            Some(shared) => shared.used_of_all(&self.local, demands, now),
        }
    }

    /// Corrects what a request that was let through was charged to these subjects; gives where they stand then.
    ///
    /// `ahead_micros` is what [`Self::clock_ahead_micros`] was when that was charged.
    pub fn settle(
        &self,
        demands: &[Demand<'_>],
        settlement: Settlement,
        ahead_micros: i64,
        now: Moment,
    ) -> Settled {
        let Some(shared) = &self.shared else { return self.local.settle(demands, settlement, now.wall) };
        let mut whole = Settled::default();
        for demand in demands {
            whole.append(if shared.counts_at_home(demand, now) {
                self.local.settle(std::slice::from_ref(demand), settlement, now.wall)
            } else {
                shared.settle(demand, settlement, ahead_micros, now)
            });
        }
        whole
    }

    /// By how many microseconds the clock that these demands are counted by is ahead of this node's, as far as is known.
    pub fn clock_ahead_micros(&self, demands: &[Demand<'_>]) -> i64 {
        let counts_there = |demand: &Demand<'_>| demand.limits.counting != Counting::Local;
        match &self.shared {
            Some(shared) if demands.iter().any(counts_there) => shared.ahead_micros(),
            Some(_) | None => 0,
        }
    }

    /// How the shared store is, where there is one.
    pub fn store(&self) -> Option<&StoreStatus> {
        self.shared.as_deref().map(Shared::status)
    }
}
