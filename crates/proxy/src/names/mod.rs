//! What the names of targets resolve to. A name is looked up when it is first needed, and then again and again in the
//! background, for as long as requests come for it: no request waits for that. Which answers change what is in use, and
//! when to ask again, is decided by [`tollgate_core::name::Refresh`].

mod askers;
mod current;
mod families;
mod name;
mod places;
mod resolver;
mod servers;
mod system;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ahash::RandomState;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tollgate_core::balance::Addresses;
use tollgate_core::resource::TenantId;

use askers::{Askers, Waiting};
use name::Name;
use resolver::{Failure, Found, Resolver};

/// Names that are looked up in the background, each by a task. More are looked up for every connection.
const MOST_NAMES: usize = 10_000;

/// The name does not resolve, and why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LookupError(Arc<str>);

impl LookupError {
    /// The answer names nothing.
    pub fn nothing() -> Self {
        Self("the answer has no address".into())
    }

    fn of(error: impl std::fmt::Display) -> Self {
        Self(Arc::from(error.to_string()))
    }
}

pub(crate) struct Names {
    resolver: Resolver,
    background: Handle,
    known: Mutex<HashMap<Box<str>, Arc<Name>, RandomState>>,
    changes: AtomicU64,
    started: Instant,
}

impl Names {
    /// `servers` are asked instead of the system's, where there are any.
    pub fn new(servers: &[SocketAddr], background: Handle) -> Arc<Self> {
        Arc::new(Self {
            resolver: Resolver::new(servers.into()),
            background,
            known: Mutex::default(),
            changes: AtomicU64::new(0),
            started: Instant::now(),
        })
    }

    /// The tenant needs the name too, which perhaps waits to be looked up for another: that is its own look-up, until what is given
    /// is dropped.
    pub fn need(self: &Arc<Self>, text: &str, tenant: TenantId) -> Option<Waiting> {
        self.name(text, tenant)?.needed_by(tenant)
    }

    /// The name's addresses. Waits where the name has not resolved yet; time is the caller's to limit.
    pub async fn addresses(
        self: &Arc<Self>,
        text: &str,
        tenant: TenantId,
    ) -> Result<Arc<Addresses>, LookupError> {
        if let Some(name) = self.name(text, tenant) {
            let _waiting = name.needed_by(tenant);
            return name.addresses().await;
        }
        match self.resolver.look_up(text, None, &Askers::of(tenant)).await {
            Ok(Found { ips, .. }) => Ok(Arc::new(Addresses::new(ips, None))),
            Err(Failure::Denied { error, .. } | Failure::Unknown(error)) => Err(error),
        }
    }

    /// A connection to it was used.
    pub fn note_used(&self, text: &str) {
        if let Some(name) = self.known.lock().get(text) {
            name.note_used();
        }
    }

    /// Counted up whenever what [`Names::known`] says of a name may have changed.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// The name's addresses, of which there may be none any more; `None` where it has not resolved, or nobody has
    /// asked for it for long.
    pub fn known(&self, text: &str) -> Option<Arc<Addresses>> {
        let name = self.known.lock().get(text).cloned()?;
        name.known()
    }

    /// The name, which is looked up from now on; `None` where there are too many already.
    fn name(self: &Arc<Self>, text: &str, tenant: TenantId) -> Option<Arc<Name>> {
        let mut known = self.known.lock();
        if let Some(name) = known.get(text) {
            return Some(Arc::clone(name));
        }
        if known.len() >= MOST_NAMES {
            return None;
        }
        let name = Arc::new(Name::new(text, tenant));
        known.insert(text.into(), Arc::clone(&name));
        self.background.spawn(current::keep(Arc::downgrade(self), Arc::clone(&name)));
        Some(name)
    }

    fn forget(&self, name: &Name) {
        self.known.lock().remove(name.text());
        self.note_change();
    }

    fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }
}
