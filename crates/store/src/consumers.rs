//! Consumers.

use sqlx::query;
use sqlx::sqlite::SqliteRow;
use tollgate_core::resource::{ClientId, Consumer, ConsumerId, DisplayName, PlanId, PlanSlug, TenantId};

use crate::error::{Dependent, StoreError, Unique, taken};
use crate::page::{Page, Paged};
use crate::row::{Fields, integer};
use crate::store::{Read, Write};
use crate::stored::Stored;

/// A consumer beside the slug of its plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerRecord {
    pub consumer: Consumer,
    pub plan: Option<PlanSlug>,
}

impl Read {
    pub async fn consumer(
        &mut self,
        tenant: TenantId,
        client_id: &ClientId,
    ) -> Result<Option<Stored<ConsumerRecord>>, StoreError> {
        let row = query(
            "SELECT c.*, p.slug AS plan FROM consumers c LEFT JOIN plans p ON p.id = c.plan_id
             WHERE c.tenant_id = ? AND c.client_id = ?",
        )
        .bind(tenant.0)
        .bind(client_id.as_str())
        .fetch_optional(self.connection())
        .await?;
        row.as_ref().map(record).transpose()
    }

    pub async fn consumers(
        &mut self,
        tenant: TenantId,
        page: Page,
    ) -> Result<Paged<Stored<ConsumerRecord>>, StoreError> {
        let rows = query(
            "SELECT c.*, p.slug AS plan FROM consumers c LEFT JOIN plans p ON p.id = c.plan_id
             WHERE c.tenant_id = ? AND c.id > ? ORDER BY c.id LIMIT ?",
        )
        .bind(tenant.0)
        .bind(page.after_or_first())
        .bind(page.rows())
        .fetch_all(self.connection())
        .await?;
        let consumers = rows.iter().map(record).collect::<Result<_, _>>()?;
        Ok(page.cut(consumers, |stored| stored.value.consumer.id.0))
    }

    /// At most `rows` consumers of all tenants, after the one given.
    pub(crate) async fn consumers_after(
        &mut self,
        after: ConsumerId,
        rows: u32,
    ) -> Result<Vec<Consumer>, StoreError> {
        let rows = query("SELECT * FROM consumers WHERE id > ? ORDER BY id LIMIT ?")
            .bind(after.0)
            .bind(rows)
            .fetch_all(self.connection())
            .await?;
        rows.iter().map(|row| consumer(&fields(row))).collect()
    }
}

impl Write {
    pub async fn insert_consumer(&mut self, consumer: &Consumer) -> Result<(), StoreError> {
        let now = integer(self.now_secs());
        query(
            "INSERT INTO consumers (id, tenant_id, client_id, name, plan_id, subscribed_at,
                                    version, created_at, updated_at)
             VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?)",
        )
        .bind(consumer.id.0)
        .bind(consumer.tenant.0)
        .bind(consumer.client_id.as_str())
        .bind(consumer.name.as_str())
        .bind(consumer.plan.map(|plan| plan.0))
        .bind(integer(consumer.subscribed_at_secs))
        .bind(now)
        .bind(now)
        .execute(self.connection())
        .await
        .map_err(taken(Unique::ClientId))?;
        Ok(())
    }

    pub async fn update_consumer(&mut self, consumer: &Consumer) -> Result<(), StoreError> {
        let now = integer(self.now_secs());
        query(
            "UPDATE consumers SET client_id = ?, name = ?, plan_id = ?, subscribed_at = ?,
                                  version = version + 1, updated_at = ?
             WHERE id = ?",
        )
        .bind(consumer.client_id.as_str())
        .bind(consumer.name.as_str())
        .bind(consumer.plan.map(|plan| plan.0))
        .bind(integer(consumer.subscribed_at_secs))
        .bind(now)
        .bind(consumer.id.0)
        .execute(self.connection())
        .await
        .map_err(taken(Unique::ClientId))?;
        Ok(())
    }

    /// Refused while a key speaks for it.
    pub async fn delete_consumer(&mut self, id: ConsumerId) -> Result<(), StoreError> {
        self.refuse_if_used(
            "SELECT EXISTS (SELECT 1 FROM keys WHERE consumer_id = ?)",
            id.0,
            Dependent::Keys,
        )
        .await?;
        query("DELETE FROM consumers WHERE id = ?").bind(id.0).execute(self.connection()).await?;
        Ok(())
    }
}

const fn fields(row: &SqliteRow) -> Fields<'_> {
    Fields { table: "consumers", row }
}

fn consumer(fields: &Fields<'_>) -> Result<Consumer, StoreError> {
    Ok(Consumer {
        id: fields.id("id", ConsumerId)?,
        tenant: fields.id("tenant_id", TenantId)?,
        client_id: fields.parsed("client_id", ClientId::parse)?,
        name: fields.parsed("name", DisplayName::parse)?,
        plan: fields.optional_id("plan_id", PlanId)?,
        subscribed_at_secs: fields.unsigned("subscribed_at")?,
    })
}

fn record(row: &SqliteRow) -> Result<Stored<ConsumerRecord>, StoreError> {
    let fields = fields(row);
    let consumer = consumer(&fields)?;
    fields.stored(ConsumerRecord { consumer, plan: fields.optional_parsed("plan", PlanSlug::parse)? })
}
