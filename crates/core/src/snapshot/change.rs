//! From one snapshot to the next.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::routes::{Admitted, CrowdingRoute};
use super::{Consumer, Key, Map, Plan, Service, Snapshot, Tenant};
use crate::limit::{Level, Subject, SubjectLimits};
use crate::problem::Problems;
use crate::resource::{self, ConsumerId, PlanId, RouteId, ServiceId, TenantId};
use crate::token::SigningKey;

/// One resource as it is from now on, or gone. Changes are what travels between nodes; each node compiles
/// them by itself and comes to the same snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    PutTenant(resource::Tenant),
    DeleteTenant(TenantId),
    PutPlan(resource::Plan),
    DeletePlan(TenantId, PlanId),
    PutService(resource::Service),
    DeleteService(TenantId, ServiceId),
    PutConsumer(resource::Consumer),
    DeleteConsumer(TenantId, ConsumerId),
    /// `before` is the key as it was: hashes that it no longer has are taken out.
    PutKey {
        key: resource::Key,
        before: Option<Box<resource::Key>>,
    },
    /// A key revoked: all its hashes go.
    DeleteKey(Box<resource::Key>),
    PutSigningKey(resource::SigningKey),
    /// By its `kid`.
    DeleteSigningKey(Box<str>),
    PutRoute(resource::Route),
    DeleteRoute(TenantId, RouteId),
}

impl Snapshot {
    /// This snapshot with the changes in it, at `revision`; or everything that is wrong with them. Changes
    /// are applied in order, so a thing comes before what refers to it.
    pub fn with(&self, changes: &[Change], revision: u64) -> Result<Self, Problems> {
        self.clone().grown(changes, revision)
    }

    /// As [`Snapshot::with`], for a snapshot that nobody else holds yet: growing it batch by batch copies
    /// nothing that is in it already, so that a million keys can be loaded.
    pub fn grown(self, changes: &[Change], revision: u64) -> Result<Self, Problems> {
        let routes = changes
            .iter()
            .filter_map(|change| if let Change::PutRoute(route) = change { Some(route) } else { None });
        let former = self.former(routes);
        self.grow(changes, revision, &mut Admitted::New(former))
    }

    /// As [`Snapshot::grown`] with what was accepted before, by this build or an earlier one: routes that crowd others, which a
    /// new one may not, are in force as they were, and told.
    pub fn restored(self, changes: &[Change], revision: u64) -> Result<(Self, Vec<CrowdingRoute>), Problems> {
        let mut crowding = Vec::new();
        let snapshot = self.grow(changes, revision, &mut Admitted::Accepted(&mut crowding))?;
        Ok((snapshot, crowding))
    }

    fn grow(
        mut self,
        changes: &[Change],
        revision: u64,
        admitted: &mut Admitted<'_>,
    ) -> Result<Self, Problems> {
        self.revision = revision;
        let mut problems = Problems::default();
        // Routes that change together are compared as they will be: two may change places.
        for change in changes {
            if let Change::PutRoute(route) = change {
                self.delete_route(route.tenant, route.id);
            }
        }
        for change in changes {
            self.apply(change, admitted, &mut problems);
        }
        problems.finish(Some(self))
    }

    fn apply(&mut self, change: &Change, admitted: &mut Admitted<'_>, problems: &mut Problems) {
        match change {
            Change::PutTenant(tenant) => self.put_tenant(tenant, problems),
            Change::DeleteTenant(id) => self.delete_tenant(*id),
            Change::PutPlan(plan) => self.edit(plan.tenant, problems, |tenant, problems| {
                tenant.put_plan(plan, problems);
            }),
            Change::DeletePlan(tenant, id) => {
                self.edit(*tenant, problems, |tenant, problems| {
                    if tenant.consumers.values().any(|consumer| consumer.plan == Some(*id)) {
                        problems.add("plan", "is still the plan of a consumer");
                    }
                    if let Some(plan) = tenant.plans.remove(id) {
                        tenant.plan_ids.remove(&plan.slug);
                    }
                });
                self.keys.forget_plan(*tenant, *id);
            }
            Change::PutService(service) => {
                self.edit(service.tenant, problems, |tenant, problems| tenant.put_service(service, problems));
            }
            Change::DeleteService(tenant, id) => self.edit(*tenant, problems, |tenant, _| {
                if let Some(service) = Arc::make_mut(&mut tenant.services_by_id).remove(id) {
                    Arc::make_mut(&mut tenant.services).remove(&service.slug);
                }
            }),
            Change::PutConsumer(consumer) => {
                self.edit(consumer.tenant, problems, |tenant, problems| {
                    tenant.put_consumer(consumer, problems);
                });
            }
            Change::DeleteConsumer(tenant, id) => self.edit(*tenant, problems, |tenant, _| {
                if let Some(consumer) = tenant.consumers.remove(id) {
                    tenant.consumer_ids.remove(&consumer.client_id);
                }
            }),
            Change::PutKey { key, before } => self.put_key(key, before.as_deref(), problems),
            Change::DeleteKey(key) => self.remove_hashes(key),
            Change::PutSigningKey(key) => {
                self.remove_signing_key(&key.key_id);
                let compiled = problems.check("signing_key", SigningKey::from_seed(key));
                self.signing_keys.extend(compiled.map(Arc::new));
            }
            Change::DeleteSigningKey(key_id) => self.remove_signing_key(key_id),
            Change::PutRoute(route) => self.put_route(route, admitted, problems),
            Change::DeleteRoute(tenant, id) => self.delete_route(*tenant, *id),
        }
    }

    fn put_tenant(&mut self, tenant: &resource::Tenant, problems: &mut Problems) {
        if self.tenants.get(&tenant.slug).is_some_and(|holder| holder.id != tenant.id) {
            problems.add("slug", "is taken by another tenant");
            return;
        }
        let renamed_from = self.tenant_slugs.insert(tenant.id, tenant.slug.clone());
        let before = renamed_from.and_then(|slug| self.tenants.remove(&slug));
        let next = match before {
            Some(before) => {
                let tenant = Tenant::new(tenant);
                Tenant {
                    slug: tenant.slug,
                    name: tenant.name,
                    time_zone: tenant.time_zone,
                    identity_lines: tenant.identity_lines,
                    limits: tenant.limits,
                    ..before.as_ref().clone()
                }
            }
            None => Tenant::new(tenant),
        };
        self.tenants.insert(tenant.slug.clone(), Arc::new(next));
    }

    fn delete_tenant(&mut self, id: TenantId) {
        if let Some(slug) = self.tenant_slugs.remove(&id)
            && let Some(tenant) = self.tenants.remove(&slug)
        {
            self.delete_routes_of(&tenant);
        }
        self.keys.remove_of(id);
    }

    fn edit(&mut self, id: TenantId, problems: &mut Problems, edit: impl FnOnce(&mut Tenant, &mut Problems)) {
        let tenant = self.tenant_slugs.get(&id).and_then(|slug| self.tenants.get_mut(slug));
        match tenant {
            Some(tenant) => edit(Arc::make_mut(tenant), problems),
            None => problems.add("tenant", "does not exist"),
        }
    }

    fn put_key(&mut self, key: &resource::Key, before: Option<&resource::Key>, problems: &mut Problems) {
        let Some(tenant) = self.tenant_by_id(key.tenant) else {
            problems.add("tenant", "does not exist");
            return;
        };
        if key.plan.is_some_and(|plan| tenant.plan(plan).is_none()) {
            problems.add("plan", "does not exist");
        }
        if key.consumer.is_some_and(|consumer| tenant.consumer(consumer).is_none()) {
            problems.add("consumer", "does not exist");
        }
        for (index, service) in key.services.iter().flatten().enumerate() {
            if !tenant.has_service(*service) {
                problems.add(format!("services[{index}]"), "does not exist");
            }
        }
        if let Some(before) = before {
            self.remove_hashes(before);
        }
        let retired = key.retired.iter().map(|retired| (retired.hash, Some(retired.valid_until_secs)));
        for (hash, valid_until_secs) in retired.chain([(key.hash, None)]) {
            if self.keys.get(&hash).is_some_and(|held| held.id != key.id) {
                problems.add("key", "is in use already");
            }
            self.keys.insert(hash, Key::compile(key, valid_until_secs));
        }
    }

    fn remove_signing_key(&mut self, key_id: &str) {
        self.signing_keys.retain(|held| *held.key_id != *key_id);
    }

    fn remove_hashes(&mut self, key: &resource::Key) {
        self.keys.remove(&key.hash);
        for retired in &key.retired {
            self.keys.remove(&retired.hash);
        }
    }
}

fn limits_of(tenant: &resource::Tenant) -> Option<Arc<SubjectLimits>> {
    SubjectLimits::compile(Subject::tenant(tenant.id), Level::Tenant, &tenant.limits).map(Arc::from)
}

impl Tenant {
    fn new(tenant: &resource::Tenant) -> Self {
        let slug = tenant.slug.as_str();
        Self {
            id: tenant.id,
            slug: tenant.slug.clone(),
            name: tenant.name.clone(),
            time_zone: tenant.time_zone.clone(),
            identity_lines: format!("X-Tenant-ID: {slug}\r\nX-Organization-ID: {slug}\r\n").into(),
            limits: limits_of(tenant),
            services: Arc::default(),
            services_by_id: Arc::default(),
            plans: Map::default(),
            plan_ids: Map::default(),
            consumers: Map::default(),
            consumer_ids: Map::default(),
            routes: Map::default(),
            routes_within: None,
        }
    }

    fn put_plan(&mut self, plan: &resource::Plan, problems: &mut Problems) {
        if self.plan_ids.get(&plan.slug).is_some_and(|holder| *holder != plan.id) {
            problems.add("slug", "is taken by another plan");
            return;
        }
        if let Some(before) = self.plans.insert(plan.id, Arc::new(Plan::from(plan))) {
            self.plan_ids.remove(&before.slug);
        }
        self.plan_ids.insert(plan.slug.clone(), plan.id);
    }

    fn put_service(&mut self, service: &resource::Service, problems: &mut Problems) {
        if self.services.get(service.slug.as_str()).is_some_and(|holder| holder.id != service.id) {
            problems.add("slug", "is taken by another service");
            return;
        }
        if service.targets.is_empty() {
            problems.add("targets", "must name at least one target");
            return;
        }
        let compiled = Arc::new(Service::from(service));
        let by_id = Arc::make_mut(&mut self.services_by_id);
        if let Some(before) = by_id.insert(service.id, Arc::clone(&compiled)) {
            Arc::make_mut(&mut self.services).remove(&before.slug);
        }
        Arc::make_mut(&mut self.services).insert(compiled);
    }

    fn put_consumer(&mut self, consumer: &resource::Consumer, problems: &mut Problems) {
        if self.consumer_ids.get(&consumer.client_id).is_some_and(|holder| *holder != consumer.id) {
            problems.add("client_id", "is taken by another consumer");
            return;
        }
        if consumer.plan.is_some_and(|plan| !self.plans.contains_key(&plan)) {
            problems.add("plan", "does not exist");
        }
        if let Some(before) = self.consumers.insert(consumer.id, Arc::new(Consumer::from(consumer))) {
            self.consumer_ids.remove(&before.client_id);
        }
        self.consumer_ids.insert(consumer.client_id.clone(), consumer.id);
    }
}
