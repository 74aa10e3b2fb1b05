//! `/api/circuit-breakers`

use std::time::Instant;

use axum::extract::State;
use serde::Serialize;
use tollgate_core::breaker::{self, BreakerRules, Per, Reading};
use tollgate_core::feed::Ordered;
use tollgate_core::resource::{Service, Setting, TargetId};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::orders::NodeToldView;
use super::page::{Listing, PageQuery, Wanted};
use super::path::Named;
use super::refusal::Refusal;
use super::responses::{Addressed, Guarded, Listed};
use super::said_by::SaidBy;
use super::scope::{Scope, TenantQuery};
use super::services;
use super::view::whole_secs;
use crate::clock;
use crate::control_plane::ControlPlane;
use crate::sighted::{SightedNode, Standing};

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
    #[serde(flatten)]
    own: CircuitsView,
    /// The worst of this process and of all nodes that are not stale: from `off` and `closed` to `open`. Null where nothing
    /// is known.
    fleet_state: Option<CircuitState>,
    /// As the nodes have it that this control plane feeds, each for itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    nodes: Vec<NodeCircuitView>,
}

/// The circuit breaker of a service on one node, or those of its targets there.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeCircuitView {
    #[serde(flatten)]
    said_by: SaidBy,
    /// What it said last.
    last_state: Option<CircuitState>,
    #[serde(flatten)]
    circuits: CircuitsView,
}

/// What there is to say of a service's circuits, in this process or on a node.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct CircuitsView {
    /// What requests to the service meet: where each target has a breaker, open only if all of them are. Null where no
    /// proxy runs in this process, and while the node is stale.
    state: Option<CircuitState>,
    /// In a row, while it is closed; 0 where each target has a breaker.
    failures: u32,
    /// How often it has opened since the start, or they have.
    opened: u64,
    /// Until it, or the first of them, lets the first request through, while the state is open.
    retry_after_seconds: Option<u64>,
    /// Where each target has a breaker, in the service's order; none while the node is stale.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    targets: Vec<TargetCircuitView>,
}

/// A breaker that was closed, and by whom.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResetView {
    #[serde(flatten)]
    breaker: CircuitView,
    /// What became of it on the nodes. It is told once: who is away does not hear of it later.
    told: Vec<NodeToldView>,
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

impl CircuitsView {
    fn new(
        service: &Service,
        of_service: Option<Reading>,
        of_target: impl Fn(TargetId) -> Option<Reading>,
    ) -> Self {
        match &service.traffic.breaker {
            Setting::Off => Self { state: of_service.map(|_| CircuitState::Off), ..Self::default() },
            Setting::On(BreakerRules { per: Per::Target, .. }) => {
                let targets = service.targets.iter();
                let read = targets.filter_map(|target| {
                    let url = target.url.to_string();
                    of_target(target.id).map(|reading| TargetCircuitView::new(target.id, url, &reading))
                });
                Self::over(read.collect())
            }
            Setting::Usual | Setting::On(BreakerRules { per: Per::Service, .. }) => match of_service {
                None => Self::default(),
                Some(reading) => Self {
                    state: Some(reading.state.into()),
                    failures: reading.failures_in_a_row,
                    opened: reading.opened,
                    retry_after_seconds: reading.open_for.map(whole_secs),
                    targets: Vec::new(),
                },
            },
        }
    }

    fn over(targets: Vec<TargetCircuitView>) -> Self {
        let state = targets.iter().map(|target| target.state).min();
        let retry_after_seconds = match state {
            Some(CircuitState::Open) => targets.iter().filter_map(|target| target.retry_after_seconds).min(),
            Some(CircuitState::Off | CircuitState::Closed | CircuitState::HalfOpen) | None => None,
        };
        let opened = targets.iter().map(|target| target.opened).sum();
        Self { state, failures: 0, opened, retry_after_seconds, targets }
    }
}

impl CircuitView {
    /// As the proxy of this process has it, and the nodes.
    fn new(plane: &ControlPlane, service: &Service, nodes: &[SightedNode]) -> Self {
        let traffic = plane.0.traffic.as_deref();
        let of_service = traffic.and_then(|traffic| traffic.circuit(service.id));
        let of_target = |target| traffic.and_then(|traffic| traffic.target_circuit(service.id, target));
        let own = CircuitsView::new(service, of_service, of_target);
        let now = clock::instant();
        let nodes: Vec<_> = nodes.iter().map(|node| NodeCircuitView::new(node, service, now)).collect();
        Self {
            id: service.id.to_string(),
            service: service.slug.to_string(),
            fleet_state: nodes.iter().filter_map(|node| node.circuits.state).chain(own.state).max(),
            own,
            nodes,
        }
    }
}

impl NodeCircuitView {
    fn new(node: &SightedNode, service: &Service, now: Instant) -> Self {
        let of_target = |target| node.target_circuit(service.id, target, now);
        let said = CircuitsView::new(service, node.circuit(service.id, now), of_target);
        let last_state = said.state;
        let (said_by, standing) = SaidBy::new(node, now);
        let circuits = match standing {
            Standing::Current => said,
            Standing::Stale => CircuitsView { state: None, targets: Vec::new(), ..said },
        };
        Self { said_by, last_state, circuits }
    }
}

impl TargetCircuitView {
    fn new(target: TargetId, url: String, reading: &Reading) -> Self {
        Self {
            id: target.0.to_string(),
            url,
            state: reading.state.into(),
            failures: reading.failures_in_a_row,
            opened: reading.opened,
            retry_after_seconds: reading.open_for.map(whole_secs),
        }
    }
}

/// List the circuit breakers
///
/// One for each service, with those of its targets where these have some, as the proxy of this process has them, and as each
/// node has its own (`nodes`).
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
    let nodes = plane.0.nodes.sighted();
    Ok(axum::Json(Listing {
        items: services.items.iter().map(|stored| CircuitView::new(&plane, &stored.value, &nodes)).collect(),
        next_cursor: services.next.map(|id| id.simple().to_string()),
    }))
}

/// Close a circuit breaker
///
/// Whatever has happened: requests go to the service, and to all of its targets, again at once, on every node that listens. 503 where
/// too much is under way that was asked for like this.
#[utoipa::path(
    post, path = "/api/circuit-breakers/{id}/reset", tag = "traffic", operation_id = "reset_circuit_breaker",
    params(("id" = String, Path, description = "Id or slug of the service"), TenantQuery),
    responses((status = 200, description = "The breaker", body = ResetView), Listed, Addressed, Guarded),
)]
async fn reset(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(name): Named,
) -> Result<axum::Json<ResetView>, Refusal> {
    let service = services::find(&mut plane.0.store.read().await?, &scope, &name).await?.value;
    let demand = plane.0.on_demand.begin(scope.tenant)?;
    let resetting = async move {
        if let Some(traffic) = &plane.0.traffic {
            traffic.reset_circuit(service.id);
        }
        let told = NodeToldView::give(&plane, Ordered::ResetCircuits(service.id)).await;
        let breaker = CircuitView::new(&plane, &service, &plane.0.nodes.sighted());
        ResetView { breaker, told }
    };
    Ok(axum::Json(demand.carry(resetting).await))
}
