//! Plans.

use tollgate_core::resource::{Plan, PlanId, PlanSpec, TenantId};
use tollgate_core::snapshot::Change;
use uuid::Uuid;

use super::{Edit, EditError, Replaced};

impl Edit {
    pub async fn create_plan(&mut self, tenant: TenantId, spec: PlanSpec) -> Result<(), EditError> {
        let plan = plan(PlanId(Uuid::now_v7()), tenant, spec);
        self.write.insert_plan(&plan).await?;
        self.put(&[Change::PutPlan(plan)])
    }

    /// What the plan's limits have counted stays: counters belong to subject and period.
    pub async fn replace_plan(&mut self, before: &Plan, spec: PlanSpec) -> Result<Replaced, EditError> {
        let plan = plan(before.id, before.tenant, spec);
        if plan == *before {
            return Ok(Replaced::Unchanged);
        }
        self.write.update_plan(&plan).await?;
        self.put(&[Change::PutPlan(plan)])?;
        Ok(Replaced::Changed)
    }

    pub async fn delete_plan(&mut self, plan: &Plan) -> Result<(), EditError> {
        self.write.delete_plan(plan.id).await?;
        self.put(&[Change::DeletePlan(plan.tenant, plan.id)])
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
