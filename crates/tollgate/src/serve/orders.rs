//! What the control plane has a node do.

use std::sync::{Arc, Weak};

use tokio::task::JoinSet;
use tollgate_core::feed::Ordered;
use tollgate_core::resource::{ServiceId, TenantId};
use tollgate_node::CarryingOut;
use tollgate_proxy::Proxy;

/// Services whose targets are asked at the same time.
const CHECKED_AT_ONCE: usize = 16;

/// Done when this is. A proxy that ends meanwhile is not kept from it.
pub fn carry_out(proxy: &Weak<Proxy>, what: Ordered) -> CarryingOut {
    match what {
        Ordered::ResetCircuits(service) => {
            if let Some(proxy) = proxy.upgrade() {
                proxy.reset_circuit(service);
            }
            Box::pin(std::future::ready(()))
        }
        Ordered::Check(services) => Box::pin(check(Weak::clone(proxy), services)),
    }
}

async fn check(proxy: Weak<Proxy>, services: Vec<(TenantId, ServiceId)>) {
    let mut under_way = JoinSet::new();
    for (tenant, service) in services {
        if under_way.len() == CHECKED_AT_ONCE {
            drop(under_way.join_next().await);
        }
        let Some(proxy): Option<Arc<Proxy>> = proxy.upgrade() else { return };
        under_way.spawn(proxy.check(tenant, service));
    }
    while under_way.join_next().await.is_some() {}
}
