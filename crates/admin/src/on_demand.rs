//! What is asked of others on demand, checks and resets, tests of webhooks, new key sets: each tenant may have so many under
//! way, whoever asks for them, so that one that asks again and again takes neither connections nor the nodes' time from others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tollgate_core::resource::TenantId;

const MOST_OF_A_TENANT: u32 = 16;

#[derive(Debug, Default)]
pub struct OnDemand(Mutex<HashMap<TenantId, u32>>);

/// One that is under way, until it is dropped.
#[derive(Debug)]
pub struct Demand<'d> {
    on_demand: &'d OnDemand,
    tenant: TenantId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many checks of the tenant are under way")]
pub struct TooManyDemands;

impl OnDemand {
    pub fn begin(&self, tenant: TenantId) -> Result<Demand<'_>, TooManyDemands> {
        let mut under_way = self.under_way();
        let count = under_way.entry(tenant).or_default();
        if *count >= MOST_OF_A_TENANT {
            return Err(TooManyDemands);
        }
        *count += 1;
        drop(under_way);
        Ok(Demand { on_demand: self, tenant })
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<TenantId, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Demand<'_> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.on_demand.under_way().entry(self.tenant) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_tenant_that_asks_for_too_much_waits_behind_nobody_but_itself() {
        let on_demand = OnDemand::default();
        let [one, other] = [1, 2].map(|number| TenantId(Uuid::from_u128(number)));
        let mut demands: Vec<_> = (0..MOST_OF_A_TENANT).map(|_| on_demand.begin(one).unwrap()).collect();
        assert_eq!(on_demand.begin(one).unwrap_err(), TooManyDemands);
        drop(on_demand.begin(other).unwrap());
        demands.pop();
        drop(on_demand.begin(one).unwrap());
        drop(demands);
        assert!(on_demand.under_way().is_empty());
    }
}
