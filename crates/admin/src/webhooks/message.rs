//! What is told of an event.

use serde_json::{Value, json};
use tollgate_core::event::{EventKind, LimitCrossed};
use tollgate_core::resource::{RuleName, Webhook};
use tollgate_core::snapshot::Snapshot;
use tollgate_store::EventRecord;
use uuid::Uuid;

use crate::clock::timestamp;

/// Names are as they are now. `None` where the tenant is gone.
pub fn limit_threshold(crossed: &LimitCrossed, snapshot: &Snapshot, now_secs: u64) -> Option<EventRecord> {
    let tenant = snapshot.tenant_by_id(crossed.tenant)?;
    let consumer = crossed.consumer.and_then(|id| tenant.consumer(id));
    let plan = crossed.plan.and_then(|id| tenant.plan(id));
    let service = crossed.service.and_then(|id| tenant.service_by_id(id));
    let data = json!({
        "tenant": tenant.slug.as_str(),
        "level": crossed.level.name(),
        "consumer": consumer.map(|consumer| consumer.client_id.as_str()),
        "key_id": crossed.key.map(|key| key.to_string()),
        "plan": plan.map(|plan| plan.slug.as_str()),
        "service": service.map(|service| service.slug.as_str()),
        "rule": crossed.rule.as_ref().map(RuleName::as_str),
        "limit": { "requests": crossed.requests, "per": crossed.window.to_string() },
        "threshold": crossed.percent,
        "used": crossed.used,
        "period_end": timestamp(crossed.period_end_secs),
    });
    Some(EventRecord {
        id: Uuid::now_v7(),
        tenant: crossed.tenant,
        kind: EventKind::LimitThreshold,
        // A node's clock may be ahead of this one.
        occurred_at_secs: crossed.at_secs.min(now_secs),
        data: data.to_string(),
        identity: crossed.identity().to_string(),
    })
}

/// What a webhook is sent to try it. It names the webhook, and no two are the same.
pub fn webhook_test(webhook: &Webhook, tenant: &str, now_secs: u64) -> EventRecord {
    let id = Uuid::now_v7();
    EventRecord {
        id,
        tenant: webhook.tenant,
        kind: EventKind::WebhookTest,
        occurred_at_secs: now_secs,
        data: json!({ "tenant": tenant, "webhook_id": webhook.id.to_string() }).to_string(),
        identity: id.to_string(),
    }
}

/// The event as webhooks and lists show it.
pub fn whole(event: &EventRecord) -> Value {
    // What was kept is what was written above; were it damaged, its reader would rather see it as it is.
    let data = serde_json::from_str(&event.data).unwrap_or_else(|_| Value::String(event.data.clone()));
    json!({
        "id": event.id.to_string(),
        "type": event.kind.name(),
        "timestamp": timestamp(event.occurred_at_secs),
        "data": data,
    })
}
