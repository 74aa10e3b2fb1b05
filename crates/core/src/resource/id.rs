//! Stable identifiers: UUIDs, version 7 where Tollgate makes them. Live state is keyed by them, so that a
//! renamed thing keeps its counters.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

ids! {
    TenantId
    ServiceId
    /// One upstream of a service. A target whose URL changes is another target.
    TargetId
    RouteId
    PlanId
    ConsumerId
    /// Stays the same when the key is rotated.
    KeyId
    UserId
    WebhookId
}
