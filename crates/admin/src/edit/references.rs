//! From the names that drafts use to the ids that resources hold.

use std::collections::HashMap;

use tollgate_core::resource::{ClientId, ConsumerId, PlanId, PlanSlug, ServiceId, ServiceSlug, TenantId};

use super::{Edit, EditError};

/// Names looked up once in an edit; a document asks for the same plan a million times. What an edit creates
/// must be created before it is asked for.
#[derive(Default)]
pub struct References {
    plans: HashMap<(TenantId, PlanSlug), Option<PlanId>>,
    consumers: HashMap<(TenantId, ClientId), Option<ConsumerId>>,
    services: HashMap<(TenantId, ServiceSlug), Option<ServiceId>>,
}

impl Edit {
    pub async fn plan_id(
        &mut self,
        references: &mut References,
        tenant: TenantId,
        slug: &PlanSlug,
    ) -> Result<Option<PlanId>, EditError> {
        let name = (tenant, slug.clone());
        if let Some(known) = references.plans.get(&name) {
            return Ok(*known);
        }
        let found = self.read().plan(tenant, slug).await?.map(|stored| stored.value.id);
        references.plans.insert(name, found);
        Ok(found)
    }

    pub async fn consumer_id(
        &mut self,
        references: &mut References,
        tenant: TenantId,
        client_id: &ClientId,
    ) -> Result<Option<ConsumerId>, EditError> {
        let name = (tenant, client_id.clone());
        if let Some(known) = references.consumers.get(&name) {
            return Ok(*known);
        }
        let found = self.read().consumer(tenant, client_id).await?.map(|stored| stored.value.consumer.id);
        references.consumers.insert(name, found);
        Ok(found)
    }

    pub async fn service_id(
        &mut self,
        references: &mut References,
        tenant: TenantId,
        slug: &ServiceSlug,
    ) -> Result<Option<ServiceId>, EditError> {
        let name = (tenant, slug.clone());
        if let Some(known) = references.services.get(&name) {
            return Ok(*known);
        }
        let found = self.read().service_by_slug(tenant, slug).await?.map(|stored| stored.value.id);
        references.services.insert(name, found);
        Ok(found)
    }
}
