//! From the names that drafts use to the ids that resources hold.

use std::borrow::Cow;
use std::collections::HashMap;

use tollgate_core::resource::{
    ClientId, ConsumerId, PlanId, PlanSlug, Reference, Referring, ServiceId, ServiceSlug, TenantId,
};

use super::{Edit, EditError};

/// Names looked up once in an edit; a document asks for the same plan a million times. What an edit creates
/// must be created before it is asked for.
#[derive(Default)]
pub struct References {
    plans: HashMap<(TenantId, PlanSlug), Option<PlanId>>,
    consumers: HashMap<(TenantId, ClientId), Option<ConsumerId>>,
    services: HashMap<(TenantId, ServiceSlug), Option<ServiceId>>,
    /// Where a document has what was refused, by what it would have been called.
    refused: HashMap<(Named, String), String>,
}

/// What is named, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Named {
    Tenant,
    Plan(TenantId),
    Consumer(TenantId),
    Service(TenantId),
}

impl References {
    /// Notes that an entry of a document was refused: whoever names it is told to look there.
    pub fn refuse(&mut self, named: Named, name: &str, entry: &str) {
        self.refused.entry((named, name.to_owned())).or_insert_with(|| entry.to_owned());
    }

    /// What is wrong with a name that nothing has.
    pub fn missing(&self, named: Named, name: &str) -> Cow<'static, str> {
        match self.refused.get(&(named, name.to_owned())) {
            Some(entry) => format!("is not valid: see {entry}").into(),
            None => "does not exist".into(),
        }
    }
}

impl Edit {
    /// What a draft says. Where something is wrong with it, what it names is looked up all the same: its author is told
    /// everything at once.
    pub async fn parse<D: Referring>(
        &mut self,
        references: &mut References,
        tenant: TenantId,
        draft: &D,
    ) -> Result<D::Spec, EditError> {
        let mut problems = match draft.parse() {
            Ok(spec) => return Ok(spec),
            Err(problems) => problems,
        };
        for (field, reference) in draft.references() {
            if let Some(problem) = self.missing(references, tenant, &reference).await? {
                problems.add(field, problem);
            }
        }
        Err(problems.into())
    }

    /// What is wrong with a name, where nothing has it.
    async fn missing(
        &mut self,
        references: &mut References,
        tenant: TenantId,
        reference: &Reference,
    ) -> Result<Option<Cow<'static, str>>, EditError> {
        let (exists, named, name) = match reference {
            Reference::Plan(slug) => {
                (self.plan_id(references, tenant, slug).await?.is_some(), Named::Plan(tenant), slug.as_str())
            }
            Reference::Consumer(client_id) => {
                let exists = self.consumer_id(references, tenant, client_id).await?.is_some();
                (exists, Named::Consumer(tenant), client_id.as_str())
            }
            Reference::Service(slug) => {
                let exists = self.service_id(references, tenant, slug).await?.is_some();
                (exists, Named::Service(tenant), slug.as_str())
            }
        };
        Ok((!exists).then(|| references.missing(named, name)))
    }

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
