//! Plans.

use tollgate_core::Problems;
use tollgate_core::resource::{Plan, PlanId, PlanSpec, TenantId};
use tollgate_core::snapshot::{Change, Service};
use tollgate_store::{Dependent, StoreError};
use uuid::Uuid;

use super::{Edit, EditError, Replaced};

impl Edit {
    pub async fn create_plan(&mut self, tenant: TenantId, spec: PlanSpec) -> Result<(), EditError> {
        let plan = plan(PlanId(Uuid::now_v7()), tenant, spec);
        self.write.insert_plan(&plan).await?;
        self.put(&[Change::PutPlan(plan)])
    }

    /// What the plan's limits have counted stays: counters belong to subject and period. Others name it by its id, but for a
    /// service's `plan_map`, which is written by whom the service is: the slug stays while one leads to it.
    pub async fn replace_plan(&mut self, before: &Plan, spec: PlanSpec) -> Result<Replaced, EditError> {
        let plan = plan(before.id, before.tenant, spec);
        if plan == *before {
            return Ok(Replaced::Unchanged);
        }
        if plan.slug != before.slug
            && let Some(service) = self.service_mapping_to(before)
        {
            let problem = format!("must stay: the `plan_map` of service `{}` names it", service.slug);
            return Err(Problems::one("slug", problem).into());
        }
        self.write.update_plan(&plan).await?;
        self.put(&[Change::PutPlan(plan)])?;
        Ok(Replaced::Changed)
    }

    pub async fn delete_plan(&mut self, plan: &Plan) -> Result<(), EditError> {
        if self.service_mapping_to(plan).is_some() {
            return Err(StoreError::InUse(Dependent::Services).into());
        }
        self.write.delete_plan(plan.id).await?;
        self.put(&[Change::DeletePlan(plan.tenant, plan.id)])
    }

    fn service_mapping_to(&self, plan: &Plan) -> Option<&Service> {
        let mut services = self.snapshot().tenant_by_id(plan.tenant)?.services();
        services.find(|service| service.issuers().is_some_and(|issuers| issuers.map_to(&plan.slug)))
    }
}

fn plan(id: PlanId, tenant: TenantId, spec: PlanSpec) -> Plan {
    Plan {
        id,
        tenant,
        slug: spec.slug,
        name: spec.name,
        limits: spec.limits,
        concurrency: spec.concurrency,
        counting: spec.counting,
        on_unavailable: spec.on_unavailable,
    }
}
