//! Webhooks: their secrets are sealed.

use sqlx::sqlite::SqliteRow;
use sqlx::{query, query_scalar};
use tollgate_core::event::EventKind;
use tollgate_core::resource::{TenantId, Webhook, WebhookId, WebhookUrl};
use uuid::Uuid;

use crate::error::StoreError;
use crate::page::{Page, Paged};
use crate::row::{Fields, integer};
use crate::services::{parse_reach, reach_text};
use crate::store::{Read, Write};
use crate::stored::Stored;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookRecord {
    pub webhook: Webhook,
    pub sealed_secret: Vec<u8>,
}

impl Read {
    pub async fn webhook(&mut self, id: WebhookId) -> Result<Option<Stored<WebhookRecord>>, StoreError> {
        let row =
            query("SELECT * FROM webhooks WHERE id = ?").bind(id.0).fetch_optional(self.connection()).await?;
        row.as_ref().map(record).transpose()
    }

    pub async fn webhooks(
        &mut self,
        tenant: TenantId,
        page: Page,
    ) -> Result<Paged<Stored<WebhookRecord>>, StoreError> {
        let rows = query("SELECT * FROM webhooks WHERE tenant_id = ? AND id > ? ORDER BY id LIMIT ?")
            .bind(tenant.0)
            .bind(page.after_or_first())
            .bind(page.rows())
            .fetch_all(self.connection())
            .await?;
        let webhooks = rows.iter().map(record).collect::<Result<_, _>>()?;
        Ok(page.cut(webhooks, |stored: &Stored<WebhookRecord>| stored.value.webhook.id.0))
    }

    pub async fn count_webhooks(&mut self, tenant: TenantId) -> Result<u64, StoreError> {
        let count: i64 = query_scalar("SELECT count(*) FROM webhooks WHERE tenant_id = ?")
            .bind(tenant.0)
            .fetch_one(self.connection())
            .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Those of the tenant that are sent events of this kind.
    pub(crate) async fn webhooks_for(
        &mut self,
        tenant: TenantId,
        kind: EventKind,
    ) -> Result<Vec<WebhookId>, StoreError> {
        let rows = query("SELECT * FROM webhooks WHERE tenant_id = ? ORDER BY id")
            .bind(tenant.0)
            .fetch_all(self.connection())
            .await?;
        let mut wanting = Vec::new();
        for row in &rows {
            let webhook = record(row)?.value.webhook;
            if webhook.events.is_empty() || webhook.events.contains(&kind) {
                wanting.push(webhook.id);
            }
        }
        Ok(wanting)
    }
}

impl Write {
    pub async fn insert_webhook(&mut self, record: &WebhookRecord) -> Result<(), StoreError> {
        let now = integer(self.now_secs());
        let WebhookRecord { webhook, sealed_secret } = record;
        query(
            "INSERT INTO webhooks (id, tenant_id, url, reach, events, sealed_secret, version, created_at, updated_at)
             VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?)",
        )
        .bind(webhook.id.0)
        .bind(webhook.tenant.0)
        .bind(webhook.url.to_string())
        .bind(reach_text(webhook.reach))
        .bind(events_json(&webhook.events)?)
        .bind(sealed_secret.as_slice())
        .bind(now)
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    pub async fn update_webhook(&mut self, record: &WebhookRecord) -> Result<(), StoreError> {
        let now = integer(self.now_secs());
        let WebhookRecord { webhook, sealed_secret } = record;
        query(
            "UPDATE webhooks SET url = ?, reach = ?, events = ?, sealed_secret = ?, version = version + 1, updated_at = ?
             WHERE id = ?",
        )
        .bind(webhook.url.to_string())
        .bind(reach_text(webhook.reach))
        .bind(events_json(&webhook.events)?)
        .bind(sealed_secret.as_slice())
        .bind(now)
        .bind(webhook.id.0)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// With what was still to be sent.
    pub async fn delete_webhook(&mut self, id: WebhookId) -> Result<(), StoreError> {
        query("DELETE FROM webhooks WHERE id = ?").bind(id.0).execute(self.connection()).await?;
        Ok(())
    }
}

fn events_json(events: &[EventKind]) -> Result<String, StoreError> {
    let names: Vec<&str> = events.iter().map(|kind| kind.name()).collect();
    serde_json::to_string(&names)
        .map_err(|error| StoreError::Corrupt { table: "webhooks", problem: error.to_string() })
}

fn parse_events(json: &str) -> Result<Vec<EventKind>, String> {
    let names: Vec<String> = serde_json::from_str(json).map_err(|error| error.to_string())?;
    names.iter().map(|name| EventKind::parse(name).map_err(|error| error.to_string())).collect()
}

fn record(row: &SqliteRow) -> Result<Stored<WebhookRecord>, StoreError> {
    let fields = Fields { table: "webhooks", row };
    let webhook = Webhook {
        id: WebhookId(fields.value::<Uuid>("id")?),
        tenant: fields.id("tenant_id", TenantId)?,
        url: fields.parsed("url", WebhookUrl::parse)?,
        reach: fields.parsed("reach", parse_reach)?,
        events: fields.parsed("events", parse_events)?,
    };
    fields.stored(WebhookRecord { webhook, sealed_secret: fields.value("sealed_secret")? })
}
