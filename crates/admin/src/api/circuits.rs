//! `/api/circuit-breakers`

use axum::extract::State;
use serde::Serialize;
use tollgate_core::breaker::{self, Reading};
use tollgate_core::resource::{Service, Setting};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::page::{Listing, PageQuery, Wanted};
use super::path::Named;
use super::refusal::Refusal;
use super::responses::{Addressed, Guarded, Listed};
use super::scope::{Scope, TenantQuery};
use super::services;
use crate::control_plane::ControlPlane;

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(reset))
}

/// The circuit breaker of a service.
#[derive(Debug, Serialize, ToSchema)]
pub struct CircuitView {
    /// The service's.
    #[schema(format = Uuid)]
    id: String,
    /// The service's slug.
    service: String,
    /// Null where no proxy runs in this process.
    state: Option<CircuitState>,
    /// In a row, while it is closed.
    failures: u32,
    /// How often it has opened since the start.
    opened: u64,
    /// Until it lets the first request through, while it is open.
    retry_after_seconds: Option<u64>,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CircuitState {
    Closed,
    Open,
    HalfOpen,
    /// The service has no breaker.
    Off,
}

impl CircuitView {
    fn new(service: &Service, reading: Option<Reading>) -> Self {
        let is_off = service.traffic.breaker == Setting::Off;
        let state = reading.map(|reading| match reading.state {
            _ if is_off => CircuitState::Off,
            breaker::State::Closed => CircuitState::Closed,
            breaker::State::Open => CircuitState::Open,
            breaker::State::HalfOpen => CircuitState::HalfOpen,
        });
        let open_for = reading.and_then(|reading| reading.open_for);
        Self {
            id: service.id.to_string(),
            service: service.slug.to_string(),
            state,
            failures: reading.map_or(0, |reading| reading.failures_in_a_row),
            opened: reading.map_or(0, |reading| reading.opened),
            retry_after_seconds: open_for.map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
        }
    }
}

/// List the circuit breakers
///
/// One for each service, as the proxy of this process has them: each node has its own.
#[utoipa::path(
    get, path = "/api/circuit-breakers", tag = "traffic", operation_id = "list_circuit_breakers",
    params(TenantQuery, PageQuery),
    responses((status = 200, description = "A page", body = Listing<CircuitView>), Listed, Guarded),
)]
async fn list(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Wanted(page): Wanted,
) -> Result<axum::Json<Listing<CircuitView>>, Refusal> {
    let services = plane.0.store.read().await?.services(scope.tenant, page).await?;
    let circuit = |service: &Service| CircuitView::new(service, read(&plane, service));
    Ok(axum::Json(Listing {
        items: services.items.iter().map(|stored| circuit(&stored.value)).collect(),
        next_cursor: services.next.map(|id| id.simple().to_string()),
    }))
}

/// Close a circuit breaker
///
/// Whatever has happened: requests go to the service again at once.
#[utoipa::path(
    post, path = "/api/circuit-breakers/{id}/reset", tag = "traffic", operation_id = "reset_circuit_breaker",
    params(("id" = String, Path, description = "Id or slug of the service"), TenantQuery),
    responses((status = 200, description = "The breaker", body = CircuitView), Addressed, Guarded),
)]
async fn reset(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(name): Named,
) -> Result<axum::Json<CircuitView>, Refusal> {
    let service = services::find(&mut plane.0.store.read().await?, &scope, &name).await?.value;
    if let Some(traffic) = &plane.0.traffic {
        traffic.reset_circuit(service.id);
    }
    Ok(axum::Json(CircuitView::new(&service, read(&plane, &service))))
}

fn read(plane: &ControlPlane, service: &Service) -> Option<Reading> {
    plane.0.traffic.as_ref()?.circuit(service.id)
}
