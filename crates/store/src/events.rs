//! Events, each once, together with what is to be sent of them.

use sqlx::sqlite::SqliteRow;
use sqlx::{query, query_scalar};
use tollgate_core::event::EventKind;
use tollgate_core::resource::{TenantId, WebhookId};
use uuid::Uuid;

use crate::error::StoreError;
use crate::page::{Page, Paged};
use crate::row::{Fields, integer};
use crate::store::{Read, Write};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord {
    pub id: Uuid,
    pub tenant: TenantId,
    pub kind: EventKind,
    pub occurred_at_secs: u64,
    /// JSON, as it is told.
    pub data: String,
    /// What makes it one in its tenant.
    pub identity: String,
}

/// What became of an event that was to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// It is to be sent to these.
    New(Vec<WebhookId>),
    /// It was there already.
    Known,
}

impl Read {
    pub async fn event(&mut self, id: Uuid) -> Result<Option<EventRecord>, StoreError> {
        let row =
            query("SELECT * FROM events WHERE id = ?").bind(id).fetch_optional(self.connection()).await?;
        row.as_ref().map(record).transpose()
    }

    /// Of one kind, or of all.
    pub async fn events(
        &mut self,
        tenant: TenantId,
        kind: Option<EventKind>,
        page: Page,
    ) -> Result<Paged<EventRecord>, StoreError> {
        let rows = query(
            "SELECT * FROM events WHERE tenant_id = ?1 AND id > ?2 AND (?3 IS NULL OR type = ?3) ORDER BY id LIMIT ?4",
        )
        .bind(tenant.0)
        .bind(page.after_or_first())
        .bind(kind.map(EventKind::name))
        .bind(page.rows())
        .fetch_all(self.connection())
        .await?;
        let events = rows.iter().map(record).collect::<Result<_, _>>()?;
        Ok(page.cut(events, |event: &EventRecord| event.id))
    }

    /// How many of a kind were kept since then.
    pub async fn count_events(
        &mut self,
        tenant: TenantId,
        kind: EventKind,
        since_secs: u64,
    ) -> Result<u64, StoreError> {
        // Ids are of version 7: they begin with the milliseconds.
        let first = Uuid::from_u128(u128::from(since_secs.saturating_mul(1_000)) << 80);
        let count: i64 =
            query_scalar("SELECT count(*) FROM events WHERE tenant_id = ? AND id >= ? AND type = ?")
                .bind(tenant.0)
                .bind(first)
                .bind(kind.name())
                .fetch_one(self.connection())
                .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

impl Write {
    /// Keeps an event, and what is to be sent of it, due at once. Its tenant must be there.
    pub async fn keep_event(&mut self, event: &EventRecord) -> Result<Kept, StoreError> {
        if !self.insert_event(event).await? {
            return Ok(Kept::Known);
        }
        let webhooks = self.webhooks_for(event.tenant, event.kind).await?;
        for &webhook in &webhooks {
            self.insert_delivery(Uuid::now_v7(), webhook, event.id).await?;
        }
        Ok(Kept::New(webhooks))
    }

    /// Without anything to be sent; false where there is such an event.
    pub async fn insert_event(&mut self, event: &EventRecord) -> Result<bool, StoreError> {
        let inserted = query(
            "INSERT INTO events (id, tenant_id, type, occurred_at, data, identity) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (tenant_id, identity) DO NOTHING",
        )
        .bind(event.id)
        .bind(event.tenant.0)
        .bind(event.kind.name())
        .bind(integer(event.occurred_at_secs))
        .bind(&*event.data)
        .bind(&*event.identity)
        .execute(self.connection())
        .await?;
        Ok(inserted.rows_affected() > 0)
    }

    /// Forgets what happened before then, and what became of it.
    pub async fn delete_events_before(&mut self, secs: u64) -> Result<(), StoreError> {
        query("DELETE FROM events WHERE occurred_at < ?")
            .bind(integer(secs))
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

fn record(row: &SqliteRow) -> Result<EventRecord, StoreError> {
    let fields = Fields { table: "events", row };
    Ok(EventRecord {
        id: fields.value("id")?,
        tenant: fields.id("tenant_id", TenantId)?,
        kind: fields.parsed("type", EventKind::parse)?,
        occurred_at_secs: fields.unsigned("occurred_at")?,
        data: fields.value("data")?,
        identity: fields.value("identity")?,
    })
}
