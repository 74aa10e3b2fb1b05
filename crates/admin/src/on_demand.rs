//! What is asked of others on demand, checks and resets, tests of webhooks, new key sets: each tenant may have so many under
//! way, whoever asks for them, and all tenants together so many, so that they take neither all connections nor the nodes' time
//! from others.

use std::future::Future;

use tollgate_core::resource::TenantId;

use crate::shares::{Share, Shares};

const MOST_OF_A_TENANT: u32 = 16;
/// A quarter of the connections that the API has.
const MOST_OF_ALL: u32 = 256;

#[derive(Debug)]
pub struct OnDemand {
    of_tenants: Shares<TenantId>,
    of_all: Shares<()>,
}

/// One that may be under way.
#[derive(Debug)]
pub struct Demand {
    _of_tenant: Share<TenantId>,
    _of_all: Share<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooManyDemands {
    #[error("too many checks, resets, tests of webhooks and new key sets of the tenant are under way")]
    OfTheTenant,
    #[error("too many checks, resets, tests of webhooks and new key sets of all tenants are under way")]
    OfAll,
}

impl OnDemand {
    pub fn new() -> Self {
        Self { of_tenants: Shares::new(MOST_OF_A_TENANT), of_all: Shares::new(MOST_OF_ALL) }
    }

    pub fn begin(&self, tenant: TenantId) -> Result<Demand, TooManyDemands> {
        let of_tenant = self.of_tenants.take(tenant).ok_or(TooManyDemands::OfTheTenant)?;
        let of_all = self.of_all.take(()).ok_or(TooManyDemands::OfAll)?;
        Ok(Demand { _of_tenant: of_tenant, _of_all: of_all })
    }
}

impl Demand {
    /// Does what was asked for, to its end: whoever asked may leave meanwhile, and the others that were asked do not notice. So
    /// its place is given back by the work.
    pub async fn carry<W>(self, work: W) -> W::Output
    where
        W: Future + Send + 'static,
        W::Output: Send,
    {
        let carried = tokio::spawn(async move {
            let output = work.await;
            drop(self);
            output
        });
        match carried.await {
            Ok(output) => output,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use uuid::Uuid;

    use super::*;

    fn tenant(number: u32) -> TenantId {
        TenantId(Uuid::from_u128(number.into()))
    }

    #[test]
    fn all_tenants_together_leave_connections_to_others() {
        let on_demand = OnDemand::new();
        let begin = |number: u32| on_demand.begin(tenant(number / MOST_OF_A_TENANT));
        let mut under_way: Vec<Demand> = (0..MOST_OF_ALL).map(|number| begin(number).unwrap()).collect();
        assert_eq!(begin(0).unwrap_err(), TooManyDemands::OfTheTenant);
        assert_eq!(begin(MOST_OF_ALL).unwrap_err(), TooManyDemands::OfAll);
        under_way.pop();
        assert!(begin(MOST_OF_ALL).is_ok());
    }

    #[tokio::test]
    async fn who_leaves_has_no_place_again_before_the_work_is_done() {
        let on_demand = OnDemand::new();
        let (ended, end) = oneshot::channel::<()>();
        let under_way: Vec<Demand> =
            (1..MOST_OF_A_TENANT).map(|_| on_demand.begin(tenant(0)).unwrap()).collect();
        let (began, beginning) = oneshot::channel();
        let work = async move {
            began.send(()).unwrap();
            end.await.unwrap();
        };
        let asking = tokio::spawn(on_demand.begin(tenant(0)).unwrap().carry(work));
        beginning.await.unwrap();
        asking.abort();
        assert!(asking.await.unwrap_err().is_cancelled());
        assert_eq!(on_demand.begin(tenant(0)).unwrap_err(), TooManyDemands::OfTheTenant);
        ended.send(()).unwrap();
        while on_demand.begin(tenant(0)).is_err() {
            tokio::task::yield_now().await;
        }
        drop(under_way);
    }
}
