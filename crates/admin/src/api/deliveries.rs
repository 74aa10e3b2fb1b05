//! `/api/webhooks/{id}/deliveries`

use axum::extract::State;
use serde::Serialize;
use tollgate_store::{DeliveryRecord, DeliveryState};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::page::{Listing, PageQuery, Wanted};
use super::path::Named;
use super::refusal::Refusal;
use super::responses::{Guarded, Listed};
use super::scope::{Scope, TenantQuery};
use super::webhooks::find;
use crate::clock::timestamp;
use crate::control_plane::ControlPlane;

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new().routes(routes!(list))
}

/// An event on its way to a webhook, or what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryView {
    #[schema(format = Uuid)]
    id: String,
    /// The event's id, which receivers see as `webhook-id`.
    #[schema(format = Uuid)]
    event_id: String,
    /// The event's type.
    #[serde(rename = "type")]
    kind: &'static str,
    /// `pending`, `delivered`, or `failed`: it is not tried again.
    state: &'static str,
    attempts: u32,
    /// While it is pending.
    #[schema(format = DateTime)]
    next_attempt_at: Option<String>,
    #[schema(format = DateTime)]
    last_attempt_at: Option<String>,
    /// Of the receiver's last answer.
    status: Option<u16>,
    /// Why the last attempt was no success.
    error: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<&DeliveryRecord> for DeliveryView {
    fn from(delivery: &DeliveryRecord) -> Self {
        let last = delivery.last.as_ref();
        Self {
            id: delivery.id.to_string(),
            event_id: delivery.event.to_string(),
            kind: delivery.kind.name(),
            state: delivery.state.name(),
            attempts: delivery.attempts,
            next_attempt_at: match delivery.state {
                DeliveryState::Pending { next_attempt_secs } => Some(timestamp(next_attempt_secs)),
                DeliveryState::Delivered | DeliveryState::Failed => None,
            },
            last_attempt_at: last.map(|attempt| timestamp(attempt.at_secs)),
            status: last.and_then(|attempt| attempt.status),
            error: last.and_then(|attempt| attempt.error.clone()),
            created_at: timestamp(delivery.created_at_secs),
        }
    }
}

/// List what was sent to a webhook, and what is to be sent
///
/// Oldest first; each as long as its event is kept, 40 days.
#[utoipa::path(
    get, path = "/api/webhooks/{id}/deliveries", tag = "webhooks", operation_id = "list_deliveries",
    params(("id" = String, Path), TenantQuery, PageQuery),
    responses((status = 200, description = "A page", body = Listing<DeliveryView>), Listed, Guarded),
)]
async fn list(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(id): Named,
    Wanted(page): Wanted,
) -> Result<axum::Json<Listing<DeliveryView>>, Refusal> {
    let mut read = plane.0.store.read().await?;
    let webhook = find(&mut read, &scope, &id).await?.value.webhook.id;
    let deliveries = read.deliveries(webhook, page).await?;
    Ok(axum::Json(Listing::from(&deliveries)))
}
