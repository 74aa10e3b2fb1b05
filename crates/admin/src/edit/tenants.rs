//! Tenants.

use tollgate_core::resource::{Tenant, TenantId, TenantSpec};
use tollgate_core::snapshot::Change;
use uuid::Uuid;

use super::{Edit, EditError, Replaced};

impl Edit {
    pub async fn create_tenant(&mut self, spec: TenantSpec) -> Result<TenantId, EditError> {
        let tenant = tenant(TenantId(Uuid::now_v7()), spec);
        let id = tenant.id;
        self.write.insert_tenant(&tenant).await?;
        self.put(&[Change::PutTenant(tenant)])?;
        Ok(id)
    }

    pub async fn replace_tenant(&mut self, before: &Tenant, spec: TenantSpec) -> Result<Replaced, EditError> {
        let tenant = tenant(before.id, spec);
        if tenant == *before {
            return Ok(Replaced::Unchanged);
        }
        self.write.update_tenant(&tenant).await?;
        self.put(&[Change::PutTenant(tenant)])?;
        Ok(Replaced::Changed)
    }

    /// With everything that it has.
    pub async fn delete_tenant(&mut self, id: TenantId) -> Result<(), EditError> {
        self.write.delete_tenant(id).await?;
        self.put(&[Change::DeleteTenant(id)])
    }
}

fn tenant(id: TenantId, spec: TenantSpec) -> Tenant {
    Tenant { id, slug: spec.slug, name: spec.name, time_zone: spec.time_zone, limits: spec.limits }
}
