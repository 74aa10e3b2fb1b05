//! `/api/health/services`

use axum::extract::State;
use serde::Serialize;
use tollgate_core::channel::Reading;
use tollgate_core::health::{CheckOutcome, CheckResult, TargetHealth, Verdict};
use tollgate_core::resource::{Service, Setting, Target};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::node_health::NodeHealthView;
use super::page::{Listing, PageQuery, Wanted};
use super::refusal::Refusal;
use super::responses::{Guarded, Listed};
use super::scope::{Scope, TenantQuery};
use super::view::whole_secs;
use crate::clock::{self, timestamp};
use crate::control_plane::ControlPlane;
use crate::sighted::SightedNode;

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new().routes(routes!(list))
}

/// How a service's targets are.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServiceHealthView {
    #[schema(format = Uuid)]
    id: String,
    /// Its slug.
    service: String,
    status: HealthStatus,
    /// Null where the service has as many requests as come.
    channel: Option<ChannelView>,
    targets: Vec<TargetHealthView>,
    /// The worst of this process and of all nodes that are not stale.
    fleet_status: HealthStatus,
    /// As the nodes know it that this control plane feeds, each for itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    nodes: Vec<NodeHealthView>,
}

/// How many requests a service has.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChannelView {
    /// Most at once, as it is now.
    limit: u32,
    in_flight: u32,
    /// Those that wait for a place.
    queued: u32,
    /// Refused since the process has started.
    refused: u64,
}

/// From where nothing is known to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// Nobody has asked, or no proxy runs in this process.
    Unknown,
    Healthy,
    /// Some targets are not well.
    Degraded,
    /// No target is well.
    Unhealthy,
}

/// How one target is.
#[derive(Debug, Serialize, ToSchema)]
pub struct TargetHealthView {
    #[schema(format = Uuid)]
    pub id: String,
    pub url: String,
    pub status: HealthStatus,
    /// How long it is still left out for having failed.
    pub ejected_seconds: Option<u64>,
    /// Requests under way; counted where the service has several targets.
    pub in_flight: u32,
    pub last_check: Option<CheckView>,
    /// The newest last.
    pub history: Vec<CheckView>,
}

/// The result of one check.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CheckView {
    #[schema(format = DateTime)]
    at: String,
    latency_ms: f64,
    passed: bool,
    /// Where it passed.
    status: Option<u16>,
    /// Why it failed.
    error: Option<String>,
}

impl ServiceHealthView {
    pub fn of(plane: &ControlPlane, service: &Service, nodes: &[SightedNode]) -> Self {
        let known = plane.0.traffic.as_ref().and_then(|traffic| traffic.health(service.tenant, service.id));
        let targets = TargetHealthView::all(service, &known.unwrap_or_default());
        let status = HealthStatus::of_all(&targets);
        let channel =
            plane.0.traffic.as_ref().and_then(|traffic| traffic.channel(service.tenant, service.id));
        let channel = channel.map(|Reading { limit, in_flight, queued, refused }| ChannelView {
            limit,
            in_flight,
            queued,
            refused,
        });
        let now = clock::instant();
        let nodes: Vec<_> = nodes.iter().map(|node| NodeHealthView::new(node, service, now)).collect();
        Self {
            id: service.id.to_string(),
            service: service.slug.to_string(),
            status,
            channel,
            targets,
            fleet_status: nodes.iter().map(|node| node.status).fold(status, Ord::max),
            nodes,
        }
    }
}

impl HealthStatus {
    pub fn of_all(targets: &[TargetHealthView]) -> Self {
        let count = |status| targets.iter().filter(|target| target.status == status).count();
        match (count(Self::Unhealthy), count(Self::Unknown)) {
            (0, unknown) if unknown == targets.len() => Self::Unknown,
            (0, _) => Self::Healthy,
            (unhealthy, _) if unhealthy < targets.len() => Self::Degraded,
            (_, _) => Self::Unhealthy,
        }
    }
}

impl TargetHealthView {
    /// In the service's order.
    pub fn all(service: &Service, known: &[TargetHealth]) -> Vec<Self> {
        let of = |target: &Target| known.iter().find(|known| known.target == target.id);
        service.targets.iter().map(|target| Self::new(service, target, of(target))).collect()
    }

    /// As the service is now: what was found under rules that were switched off keeps nobody out.
    fn new(service: &Service, target: &Target, known: Option<&TargetHealth>) -> Self {
        let ejected_for =
            known.and_then(|known| known.ejected_for).filter(|_| service.outlier_rules().is_some());
        let verdict = known.map_or(Verdict::Unknown, |known| match service.traffic.health_check {
            Setting::On(_) => known.verdict,
            // Checks on demand decide nothing: the last of them says how it was.
            Setting::Usual | Setting::Off => known.history.last().map_or(Verdict::Unknown, Verdict::of),
        });
        let status = match (ejected_for, verdict) {
            (Some(_), _) | (None, Verdict::Unhealthy) => HealthStatus::Unhealthy,
            (None, Verdict::Healthy) => HealthStatus::Healthy,
            (None, Verdict::Unknown) => HealthStatus::Unknown,
        };
        let history: Vec<_> = known.iter().flat_map(|known| &known.history).map(CheckView::from).collect();
        Self {
            id: target.id.to_string(),
            url: target.url.to_string(),
            status,
            ejected_seconds: ejected_for.map(whole_secs),
            in_flight: known.map_or(0, |known| known.in_flight),
            last_check: history.last().cloned(),
            history,
        }
    }
}

impl From<&CheckResult> for CheckView {
    fn from(result: &CheckResult) -> Self {
        let (status, error) = match &result.outcome {
            CheckOutcome::Passed(status) => (Some(*status), None),
            CheckOutcome::Failed(why) => (None, Some(why.to_string())),
        };
        Self {
            at: timestamp(result.at.secs()),
            latency_ms: result.latency.as_secs_f64() * 1e3,
            passed: result.outcome.is_passed(),
            status,
            error,
        }
    }
}

/// List the services' health
///
/// As the proxy of this process knows it, and as each node does (`nodes`).
#[utoipa::path(
    get, path = "/api/health/services", tag = "traffic", operation_id = "list_service_health",
    params(TenantQuery, PageQuery),
    responses((status = 200, description = "A page", body = Listing<ServiceHealthView>), Listed, Guarded),
)]
async fn list(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Wanted(page): Wanted,
) -> Result<axum::Json<Listing<ServiceHealthView>>, Refusal> {
    let services = plane.0.store.read().await?.services(scope.tenant, page).await?;
    let nodes = plane.0.nodes.sighted();
    let health = |service: &Service| ServiceHealthView::of(&plane, service, &nodes);
    Ok(axum::Json(Listing {
        items: services.items.iter().map(|stored| health(&stored.value)).collect(),
        next_cursor: services.next.map(|id| id.simple().to_string()),
    }))
}
