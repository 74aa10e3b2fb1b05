//! Users. The proxy knows nothing of them, so the snapshot stays as it is.

use tollgate_core::Problems;
use tollgate_core::resource::{Role, TenantSlug, UserId, UserSpec};
use tollgate_store::UserRecord;
use uuid::Uuid;

use super::{Edit, EditError};

impl Edit {
    pub async fn create_user(&mut self, spec: UserSpec, password_hash: String) -> Result<(), EditError> {
        let user = self.user(UserId(Uuid::now_v7()), spec, password_hash)?;
        Ok(self.write.insert_user(&user).await?)
    }

    /// Ends the user's sessions.
    pub async fn replace_user(
        &mut self,
        before: &UserRecord,
        spec: UserSpec,
        password_hash: String,
    ) -> Result<(), EditError> {
        let user = self.user(before.id, spec, password_hash)?;
        Ok(self.write.update_user(&user).await?)
    }

    fn user(&self, id: UserId, spec: UserSpec, password_hash: String) -> Result<UserRecord, Problems> {
        let role = self.role(spec.tenant.as_ref())?;
        Ok(UserRecord { id, username: spec.username, role, tenant: spec.tenant, password_hash })
    }

    /// What a user of this tenant may do; without one, everything.
    pub fn role(&self, tenant: Option<&TenantSlug>) -> Result<Role, Problems> {
        match tenant {
            None => Ok(Role::PlatformAdministrator),
            Some(slug) => match self.snapshot().tenant(slug.as_str()) {
                Some(tenant) => Ok(Role::TenantUser(tenant.id)),
                None => Err(Problems::one("tenant", "does not exist")),
            },
        }
    }
}
