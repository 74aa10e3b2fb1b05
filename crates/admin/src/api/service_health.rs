//! `/api/health/services`, and checks on demand.

use axum::extract::State;
use futures_util::stream::{self, StreamExt};
use serde::Serialize;
use tollgate_core::channel::Reading;
use tollgate_core::health::{CheckOutcome, CheckResult, TargetHealth, Verdict};
use tollgate_core::resource::{Service, Target};
use tollgate_store::Page;
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
use crate::clock::timestamp;
use crate::control_plane::ControlPlane;

/// Services whose targets are asked at the same time.
const CHECKED_AT_ONCE: usize = 16;

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(check)).routes(routes!(check_all))
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    Healthy,
    /// Some targets are not well.
    Degraded,
    /// No target is well.
    Unhealthy,
    /// Nobody has asked, or no proxy runs in this process.
    Unknown,
}

/// How one target is.
#[derive(Debug, Serialize, ToSchema)]
pub struct TargetHealthView {
    #[schema(format = Uuid)]
    id: String,
    url: String,
    status: HealthStatus,
    /// How long it is still left out for having failed.
    ejected_seconds: Option<u64>,
    /// Requests under way; counted where the service has several targets.
    in_flight: u32,
    last_check: Option<CheckView>,
    /// The newest last.
    history: Vec<CheckView>,
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
    fn of(plane: &ControlPlane, service: &Service) -> Self {
        let known = plane.0.traffic.as_ref().and_then(|traffic| traffic.health(service.tenant, service.id));
        let known = known.unwrap_or_default();
        let targets: Vec<_> = service
            .targets
            .iter()
            .map(|target| TargetHealthView::new(target, known.iter().find(|known| known.target == target.id)))
            .collect();
        let status = HealthStatus::of_all(&targets);
        let channel =
            plane.0.traffic.as_ref().and_then(|traffic| traffic.channel(service.tenant, service.id));
        let channel = channel.map(|Reading { limit, in_flight, queued, refused }| ChannelView {
            limit,
            in_flight,
            queued,
            refused,
        });
        Self { id: service.id.to_string(), service: service.slug.to_string(), status, channel, targets }
    }
}

impl HealthStatus {
    fn of_all(targets: &[TargetHealthView]) -> Self {
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
    fn new(target: &Target, known: Option<&TargetHealth>) -> Self {
        let ejected_for = known.and_then(|known| known.ejected_for);
        let status = match (ejected_for, known.map(|known| known.verdict)) {
            (Some(_), _) | (None, Some(Verdict::Unhealthy)) => HealthStatus::Unhealthy,
            (None, Some(Verdict::Healthy)) => HealthStatus::Healthy,
            (None, Some(Verdict::Unknown) | None) => HealthStatus::Unknown,
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
/// As the proxy of this process knows it: each node has its own.
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
    let health = |service: &Service| ServiceHealthView::of(&plane, service);
    Ok(axum::Json(Listing {
        items: services.items.iter().map(|stored| health(&stored.value)).collect(),
        next_cursor: services.next.map(|id| id.simple().to_string()),
    }))
}

/// Check a service's targets
///
/// Asks all of them now, as the service's `health_check` says, or with a GET of `/`. Where the service has no
/// `health_check`, the result decides nothing.
#[utoipa::path(
    post, path = "/api/services/{id}/health-check", tag = "traffic", operation_id = "check_service",
    params(("id" = String, Path, description = "Id or slug"), TenantQuery),
    responses((status = 200, description = "How they are", body = ServiceHealthView), Addressed, Guarded),
)]
async fn check(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(name): Named,
) -> Result<axum::Json<ServiceHealthView>, Refusal> {
    let service = services::find(&mut plane.0.store.read().await?, &scope, &name).await?.value;
    Ok(axum::Json(checked(&plane, &service).await))
}

/// Check the targets of all services
///
/// Of the tenant's services, the first 500.
#[utoipa::path(
    post, path = "/api/health/check-all", tag = "traffic", operation_id = "check_all_services",
    params(TenantQuery),
    responses((status = 200, description = "How they are", body = Listing<ServiceHealthView>), Listed, Guarded),
)]
async fn check_all(
    State(plane): State<ControlPlane>,
    scope: Scope,
) -> Result<axum::Json<Listing<ServiceHealthView>>, Refusal> {
    let all = Page { after: None, limit: 500 };
    let services = plane.0.store.read().await?.services(scope.tenant, all).await?;
    let next_cursor = services.next.map(|id| id.simple().to_string());
    let checks = services.items.into_iter().map(|stored| {
        let plane = plane.clone();
        async move { checked(&plane, &stored.value).await }
    });
    let items = stream::iter(checks).buffered(CHECKED_AT_ONCE).collect().await;
    Ok(axum::Json(Listing { items, next_cursor }))
}

async fn checked(plane: &ControlPlane, service: &Service) -> ServiceHealthView {
    if let Some(traffic) = &plane.0.traffic {
        traffic.check(service.tenant, service.id).await;
    }
    ServiceHealthView::of(plane, service)
}
