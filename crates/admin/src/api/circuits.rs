//! `/api/circuit-breakers`

use axum::extract::State;
use serde::Serialize;
use tollgate_core::breaker::{self, BreakerRules, Per};
use tollgate_core::resource::{Service, Setting, Target};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::page::{Listing, PageQuery, Wanted};
use super::path::Named;
use super::refusal::Refusal;
use super::responses::{Addressed, Guarded, Listed};
use super::scope::{Scope, TenantQuery};
use super::services;
use super::view::whole_secs;
use crate::control_plane::ControlPlane;
use crate::traffic::LiveTraffic;

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(reset))
}

/// The circuit breaker of a service, or those of its targets.
#[derive(Debug, Serialize, ToSchema)]
pub struct CircuitView {
    /// The service's.
    #[schema(format = Uuid)]
    id: String,
    /// The service's slug.
    service: String,
    /// What requests to the service meet: where each target has a breaker, open only if all of them are. Null where no
    /// proxy runs in this process.
    state: Option<CircuitState>,
    /// In a row, while it is closed; 0 where each target has a breaker.
    failures: u32,
    /// How often it has opened since the start, or they have.
    opened: u64,
    /// Until it, or the first of them, lets the first request through, while the state is open.
    retry_after_seconds: Option<u64>,
    /// Where each target has a breaker, in the service's order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    targets: Vec<TargetCircuitView>,
}

/// The circuit breaker of a target.
#[derive(Debug, Serialize, ToSchema)]
pub struct TargetCircuitView {
    #[schema(format = Uuid)]
    id: String,
    url: String,
    state: CircuitState,
    /// In a row, while it is closed.
    failures: u32,
    /// How often it has opened since the start.
    opened: u64,
    /// Until it lets the first request through, while it is open.
    retry_after_seconds: Option<u64>,
}

/// From where requests get through to where they do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CircuitState {
    /// There is no breaker.
    Off,
    Closed,
    HalfOpen,
    Open,
}

impl From<breaker::State> for CircuitState {
    fn from(state: breaker::State) -> Self {
        match state {
            breaker::State::Closed => Self::Closed,
            breaker::State::Open => Self::Open,
            breaker::State::HalfOpen => Self::HalfOpen,
        }
    }
}

impl CircuitView {
    /// As the proxy of this process has it.
    fn read(plane: &ControlPlane, service: &Service) -> Self {
        let view = Self {
            id: service.id.to_string(),
            service: service.slug.to_string(),
            state: None,
            failures: 0,
            opened: 0,
            retry_after_seconds: None,
            targets: Vec::new(),
        };
        let Some(traffic) = plane.0.traffic.as_deref() else { return view };
        let of_service = traffic.circuit(service.id);
        match &service.traffic.breaker {
            Setting::Off => Self { state: of_service.map(|_| CircuitState::Off), ..view },
            Setting::On(BreakerRules { per: Per::Target, .. }) => {
                let read = |target| TargetCircuitView::read(traffic, service, target);
                view.over(service.targets.iter().filter_map(read).collect())
            }
            Setting::Usual | Setting::On(BreakerRules { per: Per::Service, .. }) => match of_service {
                None => view,
                Some(reading) => Self {
                    state: Some(reading.state.into()),
                    failures: reading.failures_in_a_row,
                    opened: reading.opened,
                    retry_after_seconds: reading.open_for.map(whole_secs),
                    ..view
                },
            },
        }
    }

    fn over(self, targets: Vec<TargetCircuitView>) -> Self {
        let state = targets.iter().map(|target| target.state).min();
        let retry_after = match state {
            Some(CircuitState::Open) => targets.iter().filter_map(|target| target.retry_after_seconds).min(),
            Some(CircuitState::Off | CircuitState::Closed | CircuitState::HalfOpen) | None => None,
        };
        Self {
            state,
            opened: targets.iter().map(|target| target.opened).sum(),
            retry_after_seconds: retry_after,
            targets,
            ..self
        }
    }
}

impl TargetCircuitView {
    fn read(traffic: &dyn LiveTraffic, service: &Service, target: &Target) -> Option<Self> {
        let reading = traffic.target_circuit(service.id, target.id)?;
        Some(Self {
            id: target.id.0.to_string(),
            url: target.url.to_string(),
            state: reading.state.into(),
            failures: reading.failures_in_a_row,
            opened: reading.opened,
            retry_after_seconds: reading.open_for.map(whole_secs),
        })
    }
}

/// List the circuit breakers
///
/// One for each service, with those of its targets where these have some, as the proxy of this process has them: each node
/// has its own.
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
    Ok(axum::Json(Listing {
        items: services.items.iter().map(|stored| CircuitView::read(&plane, &stored.value)).collect(),
        next_cursor: services.next.map(|id| id.simple().to_string()),
    }))
}

/// Close a circuit breaker
///
/// Whatever has happened: requests go to the service, and to all of its targets, again at once.
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
    Ok(axum::Json(CircuitView::read(&plane, &service)))
}
