//! Tenants.

use sqlx::query;
use sqlx::sqlite::SqliteRow;
use tollgate_core::resource::{DisplayName, Tenant, TenantId, TenantSlug, TimeZone};

use crate::error::{StoreError, Unique, taken};
use crate::limits::{limits_json, parse_limits};
use crate::page::{Page, Paged};
use crate::row::{Fields, integer};
use crate::store::{Read, Write};
use crate::stored::Stored;

impl Read {
    pub async fn tenant(&mut self, slug: &TenantSlug) -> Result<Option<Stored<Tenant>>, StoreError> {
        let row = query("SELECT * FROM tenants WHERE slug = ?")
            .bind(slug.as_str())
            .fetch_optional(self.connection())
            .await?;
        row.as_ref().map(tenant).transpose()
    }

    pub async fn tenant_by_id(&mut self, id: TenantId) -> Result<Option<Stored<Tenant>>, StoreError> {
        let row =
            query("SELECT * FROM tenants WHERE id = ?").bind(id.0).fetch_optional(self.connection()).await?;
        row.as_ref().map(tenant).transpose()
    }

    pub async fn tenants(&mut self, page: Page) -> Result<Paged<Stored<Tenant>>, StoreError> {
        let rows = query("SELECT * FROM tenants WHERE id > ? ORDER BY id LIMIT ?")
            .bind(page.after_or_first())
            .bind(page.rows())
            .fetch_all(self.connection())
            .await?;
        let tenants = rows.iter().map(tenant).collect::<Result<_, _>>()?;
        Ok(page.cut(tenants, |tenant| tenant.value.id.0))
    }
}

impl Write {
    pub async fn insert_tenant(&mut self, tenant: &Tenant) -> Result<(), StoreError> {
        let now = integer(self.now_secs());
        query(
            "INSERT INTO tenants (id, slug, name, time_zone, limits, version, created_at, updated_at)
             VALUES (?, ?, ?, ?, ?, 1, ?, ?)",
        )
        .bind(tenant.id.0)
        .bind(tenant.slug.as_str())
        .bind(tenant.name.as_str())
        .bind(tenant.time_zone.name())
        .bind(limits_json("tenants", &tenant.limits)?)
        .bind(now)
        .bind(now)
        .execute(self.connection())
        .await
        .map_err(taken(Unique::TenantSlug))?;
        Ok(())
    }

    pub async fn update_tenant(&mut self, tenant: &Tenant) -> Result<(), StoreError> {
        let now = integer(self.now_secs());
        query(
            "UPDATE tenants SET slug = ?, name = ?, time_zone = ?, limits = ?, version = version + 1,
                                updated_at = ?
             WHERE id = ?",
        )
        .bind(tenant.slug.as_str())
        .bind(tenant.name.as_str())
        .bind(tenant.time_zone.name())
        .bind(limits_json("tenants", &tenant.limits)?)
        .bind(now)
        .bind(tenant.id.0)
        .execute(self.connection())
        .await
        .map_err(taken(Unique::TenantSlug))?;
        Ok(())
    }

    /// Takes along everything that the tenant has.
    pub async fn delete_tenant(&mut self, id: TenantId) -> Result<(), StoreError> {
        // The references between these are checked at once, so what refers goes first.
        for statement in [
            "DELETE FROM key_services WHERE key_id IN (SELECT id FROM keys WHERE tenant_id = ?)",
            "DELETE FROM keys WHERE tenant_id = ?",
            "DELETE FROM consumers WHERE tenant_id = ?",
            "DELETE FROM tenants WHERE id = ?",
        ] {
            query(statement).bind(id.0).execute(self.connection()).await?;
        }
        Ok(())
    }
}

fn tenant(row: &SqliteRow) -> Result<Stored<Tenant>, StoreError> {
    let fields = Fields { table: "tenants", row };
    fields.stored(Tenant {
        id: fields.id("id", TenantId)?,
        slug: fields.parsed("slug", TenantSlug::parse)?,
        name: fields.parsed("name", DisplayName::parse)?,
        time_zone: fields.parsed("time_zone", TimeZone::parse)?,
        limits: fields.parsed("limits", parse_limits)?,
    })
}
