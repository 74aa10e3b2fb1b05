//! Users of the control plane.

use std::fmt;

use sqlx::query;
use sqlx::sqlite::SqliteRow;
use tollgate_core::resource::{Role, TenantId, TenantSlug, UserId, Username};

use crate::error::{StoreError, Unique, taken};
use crate::page::{Page, Paged};
use crate::row::{Fields, integer};
use crate::store::{Read, Write};
use crate::stored::Stored;

#[derive(Clone, PartialEq, Eq)]
pub struct UserRecord {
    pub id: UserId,
    pub username: Username,
    pub role: Role,
    /// Slug of the tenant where the role names one.
    pub tenant: Option<TenantSlug>,
    /// Argon2id, in PHC string format.
    pub password_hash: String,
}

impl fmt::Debug for UserRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserRecord")
            .field("id", &self.id)
            .field("username", &self.username)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl Read {
    pub async fn user(&mut self, username: &Username) -> Result<Option<Stored<UserRecord>>, StoreError> {
        let row = query(
            "SELECT u.*, t.slug AS tenant FROM users u LEFT JOIN tenants t ON t.id = u.tenant_id
             WHERE u.username = ?",
        )
        .bind(username.as_str())
        .fetch_optional(self.connection())
        .await?;
        row.as_ref().map(user).transpose()
    }

    /// The users of one tenant, or of the whole platform where `tenant` is `None`.
    pub async fn users(
        &mut self,
        tenant: Option<TenantId>,
        page: Page,
    ) -> Result<Paged<Stored<UserRecord>>, StoreError> {
        let rows = query(
            "SELECT u.*, t.slug AS tenant FROM users u LEFT JOIN tenants t ON t.id = u.tenant_id
             WHERE (?1 IS NULL OR u.tenant_id = ?1) AND u.id > ?2 ORDER BY u.id LIMIT ?3",
        )
        .bind(tenant.map(|tenant| tenant.0))
        .bind(page.after_or_first())
        .bind(page.rows())
        .fetch_all(self.connection())
        .await?;
        let users = rows.iter().map(user).collect::<Result<_, _>>()?;
        Ok(page.cut(users, |stored| stored.value.id.0))
    }
}

impl Write {
    pub async fn insert_user(&mut self, user: &UserRecord) -> Result<(), StoreError> {
        let now = integer(self.now_secs());
        query(
            "INSERT INTO users (id, username, tenant_id, password_hash, version, created_at, updated_at)
             VALUES (?, ?, ?, ?, 1, ?, ?)",
        )
        .bind(user.id.0)
        .bind(user.username.as_str())
        .bind(tenant_of(user.role))
        .bind(&user.password_hash)
        .bind(now)
        .bind(now)
        .execute(self.connection())
        .await
        .map_err(taken(Unique::Username))?;
        Ok(())
    }

    /// Ends the user's sessions: who knew the old password, or had the old role, signs in again.
    pub async fn update_user(&mut self, user: &UserRecord) -> Result<(), StoreError> {
        let now = integer(self.now_secs());
        query(
            "UPDATE users SET username = ?, tenant_id = ?, password_hash = ?, version = version + 1,
                              updated_at = ?
             WHERE id = ?",
        )
        .bind(user.username.as_str())
        .bind(tenant_of(user.role))
        .bind(&user.password_hash)
        .bind(now)
        .bind(user.id.0)
        .execute(self.connection())
        .await
        .map_err(taken(Unique::Username))?;
        query("DELETE FROM sessions WHERE user_id = ?").bind(user.id.0).execute(self.connection()).await?;
        Ok(())
    }

    /// Takes the user's sessions along.
    pub async fn delete_user(&mut self, id: UserId) -> Result<(), StoreError> {
        query("DELETE FROM users WHERE id = ?").bind(id.0).execute(self.connection()).await?;
        Ok(())
    }
}

const fn tenant_of(role: Role) -> Option<uuid::Uuid> {
    match role {
        Role::PlatformAdministrator => None,
        Role::TenantUser(tenant) => Some(tenant.0),
    }
}

pub(crate) fn user(row: &SqliteRow) -> Result<Stored<UserRecord>, StoreError> {
    let fields = Fields { table: "users", row };
    let role = match fields.optional_id("tenant_id", TenantId)? {
        Some(tenant) => Role::TenantUser(tenant),
        None => Role::PlatformAdministrator,
    };
    fields.stored(UserRecord {
        id: fields.id("id", UserId)?,
        username: fields.parsed("username", Username::parse)?,
        role,
        tenant: fields.optional_parsed("tenant", TenantSlug::parse)?,
        password_hash: fields.value("password_hash")?,
    })
}
