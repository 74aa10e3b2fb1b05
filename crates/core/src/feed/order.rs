//! What operators have done on every node at once. An order changes no resource: it goes to the nodes that listen when it is
//! given, once, and to none that comes later.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::resource::{ServiceId, TenantId};

/// Tells orders apart over restarts of the control plane: random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(pub Uuid);

/// The node says when it has done it. Doing it twice does no harm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub id: OrderId,
    pub what: Ordered,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ordered {
    /// The service's circuit is closed, and those of its targets.
    ResetCircuits(ServiceId),
    /// The targets of these services are asked whether they are well.
    Check(Vec<(TenantId, ServiceId)>),
}
