//! The outbox of webhooks: what is to be sent, and what became of it.

use sqlx::sqlite::SqliteRow;
use sqlx::{query, query_scalar};
use tollgate_core::event::EventKind;
use tollgate_core::resource::WebhookId;
use uuid::Uuid;

use crate::error::StoreError;
use crate::page::{Page, Paged};
use crate::row::{Fields, integer};
use crate::store::{Read, Write};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRecord {
    pub id: Uuid,
    pub webhook: WebhookId,
    pub event: Uuid,
    /// Of the event.
    pub kind: EventKind,
    pub state: DeliveryState,
    pub attempts: u32,
    /// `None` before the first.
    pub last: Option<Attempt>,
    pub created_at_secs: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    Pending {
        next_attempt_secs: u64,
    },
    Delivered,
    /// It is not tried again.
    Failed,
}

/// What one attempt has led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub at_secs: u64,
    /// Where the receiver has answered.
    pub status: Option<u16>,
    /// Why it was no success.
    pub error: Option<String>,
}

const DELIVERY: &str = "SELECT webhook_deliveries.*, events.type AS type FROM webhook_deliveries
    JOIN events ON events.id = webhook_deliveries.event_id";

/// One look-up a webhook, however much waits.
pub(crate) const WEBHOOKS_PENDING: &str = "SELECT id FROM webhooks WHERE EXISTS (
    SELECT 1 FROM webhook_deliveries WHERE webhook_id = webhooks.id AND state = 'pending')";

impl Read {
    pub async fn deliveries(
        &mut self,
        webhook: WebhookId,
        page: Page,
    ) -> Result<Paged<DeliveryRecord>, StoreError> {
        let rows = query(sqlx::AssertSqlSafe(format!(
            "{DELIVERY} WHERE webhook_id = ? AND webhook_deliveries.id > ? ORDER BY webhook_deliveries.id LIMIT ?"
        )))
        .bind(webhook.0)
        .bind(page.after_or_first())
        .bind(page.rows())
        .fetch_all(self.connection())
        .await?;
        let deliveries = rows.iter().map(record).collect::<Result<_, _>>()?;
        Ok(page.cut(deliveries, |delivery: &DeliveryRecord| delivery.id))
    }

    /// The webhooks that something is still to be sent to.
    pub async fn webhooks_pending(&mut self) -> Result<Vec<WebhookId>, StoreError> {
        let ids: Vec<Uuid> = query_scalar(WEBHOOKS_PENDING).fetch_all(self.connection()).await?;
        Ok(ids.into_iter().map(WebhookId).collect())
    }

    /// What is to be sent to the webhook next, whenever that is.
    pub async fn next_delivery(&mut self, webhook: WebhookId) -> Result<Option<DeliveryRecord>, StoreError> {
        let row = query(sqlx::AssertSqlSafe(format!(
            "{DELIVERY} WHERE webhook_id = ? AND state = 'pending'
             ORDER BY next_attempt_at, webhook_deliveries.id LIMIT 1"
        )))
        .bind(webhook.0)
        .fetch_optional(self.connection())
        .await?;
        row.as_ref().map(record).transpose()
    }
}

impl Write {
    /// Due at once.
    pub async fn insert_delivery(
        &mut self,
        id: Uuid,
        webhook: WebhookId,
        event: Uuid,
    ) -> Result<(), StoreError> {
        let now = integer(self.now_secs());
        query(
            "INSERT INTO webhook_deliveries (id, webhook_id, event_id, state, attempts, next_attempt_at, created_at)
             VALUES (?, ?, ?, 'pending', 0, ?, ?)",
        )
        .bind(id)
        .bind(webhook.0)
        .bind(event)
        .bind(now)
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Notes an attempt, and what is to become of the delivery. One that is gone meanwhile stays gone.
    pub async fn note_attempt(
        &mut self,
        delivery: Uuid,
        attempt: &Attempt,
        state: DeliveryState,
    ) -> Result<(), StoreError> {
        let next_attempt_secs = match state {
            DeliveryState::Pending { next_attempt_secs } => next_attempt_secs,
            DeliveryState::Delivered | DeliveryState::Failed => attempt.at_secs,
        };
        query(
            "UPDATE webhook_deliveries
             SET attempts = attempts + 1, state = ?, next_attempt_at = ?, attempted_at = ?, status = ?, error = ?
             WHERE id = ?",
        )
        .bind(state.name())
        .bind(integer(next_attempt_secs))
        .bind(integer(attempt.at_secs))
        .bind(attempt.status)
        .bind(attempt.error.as_deref())
        .bind(delivery)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// What waits for its next attempt is due now.
    pub async fn make_deliveries_due(&mut self, webhook: WebhookId) -> Result<(), StoreError> {
        let now = integer(self.now_secs());
        query("UPDATE webhook_deliveries SET next_attempt_at = ? WHERE webhook_id = ? AND state = 'pending'")
            .bind(now)
            .bind(webhook.0)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

impl DeliveryState {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

fn record(row: &SqliteRow) -> Result<DeliveryRecord, StoreError> {
    let fields = Fields { table: "webhook_deliveries", row };
    let next_attempt_secs = fields.unsigned("next_attempt_at")?;
    let state = match fields.value("state")? {
        "pending" => DeliveryState::Pending { next_attempt_secs },
        "delivered" => DeliveryState::Delivered,
        "failed" => DeliveryState::Failed,
        other => return Err(fields.corrupt(&format!("state is {other}"))),
    };
    let last = match fields.optional_unsigned("attempted_at")? {
        Some(at_secs) => {
            Some(Attempt { at_secs, status: fields.value("status")?, error: fields.value("error")? })
        }
        None => None,
    };
    Ok(DeliveryRecord {
        id: fields.value("id")?,
        webhook: fields.id("webhook_id", WebhookId)?,
        event: fields.value("event_id")?,
        kind: fields.parsed("type", EventKind::parse)?,
        state,
        attempts: fields.value("attempts")?,
        last,
        created_at_secs: fields.unsigned("created_at")?,
    })
}
