//! Who asks, as far as it decides what they may see and do.

use std::net::IpAddr;

use tollgate_core::address::Reach;
use tollgate_core::credential::KeyHash;
use tollgate_core::resource::{Role, TenantId, Username};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub role: Role,
    /// `None` for the holder of the admin token.
    pub username: Option<Username>,
    /// Of the token of a signed-in user, whose session may end while a request is read.
    pub session: Option<KeyHash>,
    /// Where the request comes from; `None` where there is none, or the listener does not tell.
    pub peer: Option<IpAddr>,
}

impl Principal {
    /// The operator: the holder of the admin token, or the process itself.
    pub const fn operator() -> Self {
        Self { role: Role::PlatformAdministrator, username: None, session: None, peer: None }
    }

    /// How far the targets may reach that this principal writes.
    pub const fn reach(&self) -> Reach {
        match self.role {
            Role::PlatformAdministrator => Reach::Private,
            Role::TenantUser(_) => Reach::Public,
        }
    }

    /// The one tenant that the principal may see; `None` where it may see all.
    pub const fn tenant(&self) -> Option<TenantId> {
        match self.role {
            Role::PlatformAdministrator => None,
            Role::TenantUser(tenant) => Some(tenant),
        }
    }
}
