//! From the names that drafts use to the ids that resources hold.

use std::borrow::Cow;
use std::collections::HashMap;

use tollgate_core::Problems;
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

/// A draft that was taken apart. That is done before an edit begins, as all others wait while one is under way.
pub struct Parsed<'d, D: Referring> {
    draft: &'d D,
    outcome: Result<D::Spec, Problems>,
}

impl<'d, D: Referring> Parsed<'d, D> {
    pub fn of(draft: &'d D) -> Self {
        Self { draft, outcome: draft.parse() }
    }
}

/// What is wrong with a name that nothing has.
pub type Missing = Cow<'static, str>;

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

    pub fn missing(&self, named: Named, name: &str) -> Missing {
        match self.refused.get(&(named, name.to_owned())) {
            Some(entry) => format!("is not valid: see {entry}").into(),
            None => "does not exist".into(),
        }
    }
}

impl Edit {
    /// What a draft says. Where something is wrong with it, what it names is looked up all the same: its author is told
    /// everything at once.
    pub async fn spec<D: Referring>(
        &mut self,
        references: &mut References,
        tenant: TenantId,
        parsed: Parsed<'_, D>,
    ) -> Result<D::Spec, EditError> {
        let Parsed { draft, outcome } = parsed;
        let mut problems = match outcome {
            Ok(spec) => return Ok(spec),
            Err(problems) => problems,
        };
        for (field, reference) in draft.references() {
            let missing = match reference {
                Reference::Plan(slug) => self.plan_id(references, tenant, &slug).await?.err(),
                Reference::Consumer(client_id) => {
                    self.consumer_id(references, tenant, &client_id).await?.err()
                }
                Reference::Service(slug) => self.service_id(references, tenant, &slug).await?.err(),
            };
            if let Some(problem) = missing {
                problems.add(field, problem);
            }
        }
        Err(problems.into())
    }

    pub async fn plan_id(
        &mut self,
        references: &mut References,
        tenant: TenantId,
        slug: &PlanSlug,
    ) -> Result<Result<PlanId, Missing>, EditError> {
        let name = (tenant, slug.clone());
        let found = if let Some(known) = references.plans.get(&name) {
            *known
        } else {
            let found = self.read().plan(tenant, slug).await?.map(|stored| stored.value.id);
            references.plans.insert(name, found);
            found
        };
        Ok(found.ok_or_else(|| references.missing(Named::Plan(tenant), slug.as_str())))
    }

    pub async fn consumer_id(
        &mut self,
        references: &mut References,
        tenant: TenantId,
        client_id: &ClientId,
    ) -> Result<Result<ConsumerId, Missing>, EditError> {
        let name = (tenant, client_id.clone());
        let found = if let Some(known) = references.consumers.get(&name) {
            *known
        } else {
            let found = self.read().consumer(tenant, client_id).await?.map(|stored| stored.value.consumer.id);
            references.consumers.insert(name, found);
            found
        };
        Ok(found.ok_or_else(|| references.missing(Named::Consumer(tenant), client_id.as_str())))
    }

    pub async fn service_id(
        &mut self,
        references: &mut References,
        tenant: TenantId,
        slug: &ServiceSlug,
    ) -> Result<Result<ServiceId, Missing>, EditError> {
        let name = (tenant, slug.clone());
        let found = if let Some(known) = references.services.get(&name) {
            *known
        } else {
            let found = self.read().service_by_slug(tenant, slug).await?.map(|stored| stored.value.id);
            references.services.insert(name, found);
            found
        };
        Ok(found.ok_or_else(|| references.missing(Named::Service(tenant), slug.as_str())))
    }
}
