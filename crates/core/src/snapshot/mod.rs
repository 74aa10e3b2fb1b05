//! What the proxy runs: plain immutable data, compiled from resources, read once per request. No atomics,
//! locks or cursors in it.
//!
//! A snapshot is built by applying [`Change`]s to one that was there before, or to the empty one: one way for
//! the start, for an edit, and for a node that is told of an edit. The maps share what two snapshots have
//! in common (hash array mapped tries; for keys [`keys::Keys`]; a tenant's services are one table), so that one
//! key changed among a million copies little.

mod change;
mod compiled;
mod issuers;
mod keys;
mod routes;
mod service;
mod service_limits;
mod services;
mod traffic;

use std::collections::HashMap;
use std::sync::Arc;

use imbl::GenericHashMap;
use imbl::shared_ptr::DefaultSharedPtr;

pub use change::Change;
pub use compiled::{Consumer, Key, KeyParticulars, Plan};
pub use issuers::{ForeignToken, KeySource, TokenIssuer, TokenIssuers};
pub use routes::CrowdingRoute;
pub use service::{Endpoint, Service, Target, Targets};
pub use service_limits::{Rule, ServiceLimits};
pub use traffic::{Circuits, Picking, Traffic};

use self::keys::Keys;
use self::services::Services;
use crate::credential::KeyHash;
use crate::limit::SubjectLimits;
use crate::resource::{
    ClientId, ConsumerId, DisplayName, PlanId, PlanSlug, Route, RouteId, ServiceId, TenantId, TenantSlug,
    TimeZone,
};
use crate::routing::{Hosts, Trie};
use crate::token::SigningKey;

type Map<K, V> = GenericHashMap<K, V, ahash::RandomState, DefaultSharedPtr>;

/// Everything that every tenant has, at one revision.
#[derive(Clone, Default)]
pub struct Snapshot {
    revision: u64,
    tenants: Map<TenantSlug, Arc<Tenant>>,
    tenant_slugs: Map<TenantId, TenantSlug>,
    keys: Keys,
    /// In no order; a few.
    signing_keys: Vec<Arc<SigningKey>>,
    /// The routes that have hosts; `None` where there is none, so that requests pay for no more than asking that.
    hosts: Option<Arc<Hosts>>,
}

/// One tenant's part.
#[derive(Clone)]
pub struct Tenant {
    pub id: TenantId,
    pub slug: TenantSlug,
    pub name: DisplayName,
    pub time_zone: TimeZone,
    /// What an upstream is told where no consumer is spoken for, as HTTP/1.1 writes it: `X-Tenant-ID` and
    /// `X-Organization-ID`.
    pub identity_lines: Box<str>,
    /// Over everything that it has.
    pub limits: Option<Arc<SubjectLimits>>,
    /// One plain table: every request asks it, and a trie costs a cache miss for every level. A service that
    /// changes copies it, a pointer for each of the tenant's services.
    services: Arc<Services>,
    /// The same by what routes hold.
    services_by_id: Arc<HashMap<ServiceId, Arc<Service>, ahash::RandomState>>,
    plans: Map<PlanId, Arc<Plan>>,
    plan_ids: Map<PlanSlug, PlanId>,
    consumers: Map<ConsumerId, Arc<Consumer>>,
    consumer_ids: Map<ClientId, ConsumerId>,
    routes: Map<RouteId, Arc<Route>>,
    /// Those without hosts, whose paths are within the tenant; `None` where there is none.
    routes_within: Option<Arc<Trie>>,
}

impl Snapshot {
    /// The revision of the resources that this was compiled from; zero before the first.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    pub fn tenant(&self, slug: &str) -> Option<&Tenant> {
        self.tenants.get(slug).map(Arc::as_ref)
    }

    pub fn tenants(&self) -> impl Iterator<Item = &Tenant> {
        self.tenants.values().map(Arc::as_ref)
    }

    pub fn tenant_by_id(&self, id: TenantId) -> Option<&Tenant> {
        self.tenants.get(self.tenant_slugs.get(&id)?).map(Arc::as_ref)
    }

    /// The key that a credential hashes to, of whatever tenant.
    pub fn key(&self, hash: &KeyHash) -> Option<&Key> {
        self.keys.get(hash)
    }

    /// The keys that sign tokens, or did so lately, or will soon.
    pub fn signing_keys(&self) -> &[Arc<SigningKey>] {
        &self.signing_keys
    }

    pub fn key_hashes(&self) -> usize {
        self.keys.len()
    }
}

impl Tenant {
    pub fn service(&self, slug: &str) -> Option<&Service> {
        self.services.get(slug)
    }

    pub fn has_service(&self, id: ServiceId) -> bool {
        self.services_by_id.contains_key(&id)
    }

    pub fn service_by_id(&self, id: ServiceId) -> Option<&Service> {
        self.services_by_id.get(&id).map(Arc::as_ref)
    }

    /// The routes whose paths are within the tenant; `None` where it has none.
    pub fn routes_within(&self) -> Option<&Trie> {
        self.routes_within.as_deref()
    }

    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.iter()
    }

    pub fn plan(&self, id: PlanId) -> Option<&Plan> {
        self.plans.get(&id).map(Arc::as_ref)
    }

    pub fn plan_by_slug(&self, slug: &str) -> Option<&Plan> {
        self.plan(*self.plan_ids.get(slug)?)
    }

    pub fn consumer(&self, id: ConsumerId) -> Option<&Consumer> {
        self.consumers.get(&id).map(Arc::as_ref)
    }

    pub fn consumer_by_client_id(&self, client_id: &str) -> Option<&Consumer> {
        self.consumer(*self.consumer_ids.get(client_id)?)
    }
}

#[cfg(test)]
mod tests;
