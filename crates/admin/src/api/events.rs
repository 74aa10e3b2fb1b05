//! `/api/events`

use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use tollgate_store::EventRecord;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::kind_query::{KindQuery, WantedKind};
use super::page::{Listing, PageQuery, Wanted};
use super::refusal::Refusal;
use super::responses::{Guarded, Listed};
use super::scope::{Scope, TenantQuery};
use crate::clock::timestamp;
use crate::control_plane::ControlPlane;
use crate::webhooks::whole;

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new().routes(routes!(list))
}

/// An event, as webhooks are sent it.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventView {
    #[schema(format = Uuid)]
    id: String,
    /// `limit.threshold` or `webhook.test`.
    #[serde(rename = "type")]
    kind: &'static str,
    #[schema(format = DateTime)]
    timestamp: String,
    /// What it is about, by its type.
    #[schema(value_type = Object)]
    data: Value,
}

impl From<&EventRecord> for EventView {
    fn from(event: &EventRecord) -> Self {
        Self {
            id: event.id.to_string(),
            kind: event.kind.name(),
            timestamp: timestamp(event.occurred_at_secs),
            data: whole(event)["data"].take(),
        }
    }
}

/// List what has happened
///
/// Oldest first; events are kept for 40 days.
#[utoipa::path(
    get, path = "/api/events", tag = "events", operation_id = "list_events",
    params(TenantQuery, KindQuery, PageQuery),
    responses((status = 200, description = "A page", body = Listing<EventView>), Listed, Guarded),
)]
async fn list(
    State(plane): State<ControlPlane>,
    scope: Scope,
    WantedKind(kind): WantedKind,
    Wanted(page): Wanted,
) -> Result<axum::Json<Listing<EventView>>, Refusal> {
    let events = plane.0.store.read().await?.events(scope.tenant, kind, page).await?;
    Ok(axum::Json(Listing::from(&events)))
}
