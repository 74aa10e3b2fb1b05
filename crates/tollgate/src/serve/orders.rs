//! What the control plane has a node do.

use std::sync::Weak;

use futures_util::future::OptionFuture;
use futures_util::stream::{self, StreamExt};
use tollgate_core::feed::Ordered;
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
        Ordered::Check(services) => {
            let proxy = Weak::clone(proxy);
            let check = move |(tenant, service)| {
                OptionFuture::from(proxy.upgrade().map(|proxy| proxy.check(tenant, service)))
            };
            Box::pin(stream::iter(services).map(check).buffer_unordered(CHECKED_AT_ONCE).map(drop).collect())
        }
    }
}
