//! What is asked of others on demand, checks and resets, tests of webhooks, new key sets: each tenant may have so many under
//! way, whoever asks for them, so that one that asks again and again takes neither connections nor the nodes' time from others.

use tollgate_core::resource::TenantId;

use crate::shares::{Share, Shares};

const MOST_OF_A_TENANT: u32 = 16;

#[derive(Debug)]
pub struct OnDemand(Shares<TenantId>);

/// One that is under way, until it is dropped.
pub type Demand = Share<TenantId>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many checks of the tenant are under way")]
pub struct TooManyDemands;

impl OnDemand {
    pub fn new() -> Self {
        Self(Shares::new(MOST_OF_A_TENANT))
    }

    pub fn begin(&self, tenant: TenantId) -> Result<Demand, TooManyDemands> {
        self.0.take(tenant).ok_or(TooManyDemands)
    }
}
