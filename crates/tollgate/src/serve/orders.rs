//! What the control plane has a node do.

use std::sync::Weak;

use futures_util::future::{FutureExt, join_all};
use tollgate_core::feed::Ordered;
use tollgate_node::CarryingOut;
use tollgate_proxy::Proxy;

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
            let Some(proxy) = proxy.upgrade() else { return Box::pin(std::future::ready(())) };
            // All are asked for now; how many are under way at once is the proxy's to say.
            let checks = services.into_iter().map(|(tenant, service)| proxy.check(tenant, service));
            Box::pin(join_all(checks.collect::<Vec<_>>()).map(drop))
        }
    }
}
