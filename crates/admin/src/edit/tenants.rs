//! Tenants.

use tollgate_core::resource::{Tenant, TenantId, TenantSpec};
use tollgate_core::snapshot::Change;
use uuid::Uuid;

use super::{Edit, EditError, Replaced};

impl Edit {
    pub async fn create_tenant(&mut self, spec: TenantSpec) -> Result<TenantId, EditError> {
        let tenant = Tenant { id: TenantId(Uuid::now_v7()), slug: spec.slug, name: spec.name };
        let id = tenant.id;
        self.write.insert_tenant(&tenant).await?;
        self.put(&[Change::PutTenant(tenant)])?;
        Ok(id)
    }

    pub async fn replace_tenant(&mut self, before: &Tenant, spec: TenantSpec) -> Result<Replaced, EditError> {
        let tenant = Tenant { id: before.id, slug: spec.slug, name: spec.name };
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
