//! Plans.

use std::num::NonZeroU32;

use sqlx::query;
use sqlx::sqlite::SqliteRow;
use tollgate_core::resource::{Counting, DisplayName, OnUnavailable, Plan, PlanId, PlanSlug, TenantId};

use crate::error::{Dependent, StoreError, Unique, taken};
use crate::limits::{limits_json, parse_limits};
use crate::page::{Page, Paged};
use crate::row::{Fields, integer};
use crate::store::{Read, Write};
use crate::stored::Stored;

impl Read {
    pub async fn plan(
        &mut self,
        tenant: TenantId,
        slug: &PlanSlug,
    ) -> Result<Option<Stored<Plan>>, StoreError> {
        let row = query("SELECT * FROM plans WHERE tenant_id = ? AND slug = ?")
            .bind(tenant.0)
            .bind(slug.as_str())
            .fetch_optional(self.connection())
            .await?;
        row.as_ref().map(plan).transpose()
    }

    pub async fn plans(&mut self, tenant: TenantId, page: Page) -> Result<Paged<Stored<Plan>>, StoreError> {
        let rows = query("SELECT * FROM plans WHERE tenant_id = ? AND id > ? ORDER BY id LIMIT ?")
            .bind(tenant.0)
            .bind(page.after_or_first())
            .bind(page.rows())
            .fetch_all(self.connection())
            .await?;
        let plans = rows.iter().map(plan).collect::<Result<_, _>>()?;
        Ok(page.cut(plans, |plan| plan.value.id.0))
    }

    pub(crate) async fn all_plans(&mut self) -> Result<Vec<Plan>, StoreError> {
        let rows = query("SELECT * FROM plans ORDER BY id").fetch_all(self.connection()).await?;
        rows.iter().map(|row| plan(row).map(|stored| stored.value)).collect()
    }
}

impl Write {
    pub async fn insert_plan(&mut self, plan: &Plan) -> Result<(), StoreError> {
        let now = integer(self.now_secs());
        query(
            "INSERT INTO plans (id, tenant_id, slug, name, limits, concurrency, counting, on_unavailable,
                                version, created_at, updated_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)",
        )
        .bind(plan.id.0)
        .bind(plan.tenant.0)
        .bind(plan.slug.as_str())
        .bind(plan.name.as_str())
        .bind(limits_json("plans", &plan.limits)?)
        .bind(plan.concurrency.map(NonZeroU32::get))
        .bind(plan.counting.name())
        .bind(plan.on_unavailable.name())
        .bind(now)
        .bind(now)
        .execute(self.connection())
        .await
        .map_err(taken(Unique::PlanSlug))?;
        Ok(())
    }

    pub async fn update_plan(&mut self, plan: &Plan) -> Result<(), StoreError> {
        let now = integer(self.now_secs());
        query(
            "UPDATE plans SET slug = ?, name = ?, limits = ?, concurrency = ?, counting = ?, on_unavailable = ?,
                              version = version + 1, updated_at = ?
             WHERE id = ?",
        )
        .bind(plan.slug.as_str())
        .bind(plan.name.as_str())
        .bind(limits_json("plans", &plan.limits)?)
        .bind(plan.concurrency.map(NonZeroU32::get))
        .bind(plan.counting.name())
        .bind(plan.on_unavailable.name())
        .bind(now)
        .bind(plan.id.0)
        .execute(self.connection())
        .await
        .map_err(taken(Unique::PlanSlug))?;
        Ok(())
    }

    /// Refused while a consumer or a key is on it.
    pub async fn delete_plan(&mut self, id: PlanId) -> Result<(), StoreError> {
        self.refuse_if_used(
            "SELECT EXISTS (SELECT 1 FROM consumers WHERE plan_id = ?)",
            id.0,
            Dependent::Consumers,
        )
        .await?;
        self.refuse_if_used("SELECT EXISTS (SELECT 1 FROM keys WHERE plan_id = ?)", id.0, Dependent::Keys)
            .await?;
        query("DELETE FROM plans WHERE id = ?").bind(id.0).execute(self.connection()).await?;
        Ok(())
    }

    /// `exists` asks whether any dependent names `id`.
    pub(crate) async fn refuse_if_used(
        &mut self,
        exists: &'static str,
        id: uuid::Uuid,
        by: Dependent,
    ) -> Result<(), StoreError> {
        let used: bool = sqlx::query_scalar(exists).bind(id).fetch_one(self.connection()).await?;
        if used { Err(StoreError::InUse(by)) } else { Ok(()) }
    }
}

fn plan(row: &SqliteRow) -> Result<Stored<Plan>, StoreError> {
    let fields = Fields { table: "plans", row };
    fields.stored(Plan {
        id: fields.id("id", PlanId)?,
        tenant: fields.id("tenant_id", TenantId)?,
        slug: fields.parsed("slug", PlanSlug::parse)?,
        name: fields.parsed("name", DisplayName::parse)?,
        limits: fields.parsed("limits", parse_limits)?,
        concurrency: fields.value::<Option<u32>>("concurrency")?.and_then(NonZeroU32::new),
        counting: fields.parsed("counting", Counting::parse)?,
        on_unavailable: fields.parsed("on_unavailable", OnUnavailable::parse)?,
    })
}
