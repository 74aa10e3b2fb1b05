//! `/api/services`

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tollgate_core::balance::Duty;
use tollgate_core::resource::{
    AnonymousDraft, BalancerDraft, BreakerDraft, ChannelDraft, HealthCheckDraft, HedgingDraft,
    JwtIssuerDraft, LimitDraft, OutlierDraft, RetriesDraft, RuleDraft, Service, ServiceDraft, ServiceId,
    ServiceLimits, ServiceLimitsDraft, ServiceSlug, Target, TimeoutsDraft, Traffic, TrafficDraft,
};
use tollgate_store::{Read, Stored};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::body::{Json, Replacement};
use super::page::{Listing, PageQuery, Wanted};
use super::path::Named;
use super::refusal::Refusal;
use super::responses::{Addressed, Conditional, Deleted, Guarded, Listed, Sent};
use super::scope::{Scope, TenantQuery};
use super::version::Preconditions;
use super::view::{Created, Shown};
use crate::clock::timestamp;
use crate::control_plane::ControlPlane;
use crate::edit::{References, WrittenService};
use crate::key_sets;

const NOT_FOUND: Refusal = Refusal::NotFound("service");

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, replace, delete))
}

/// A service.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServiceView {
    #[schema(format = Uuid)]
    id: String,
    slug: String,
    name: String,
    auth_header: String,
    targets: Vec<TargetView>,
    timeouts: TimeoutsDraft,
    /// Largest request body, in bytes; the proxy's own limit where null.
    max_body_bytes: Option<u64>,
    /// Issuers whose tokens open the service beside keys.
    jwt: Vec<JwtIssuerDraft>,
    #[serde(flatten)]
    limits: ServiceLimitsView,
    #[serde(flatten)]
    traffic: TrafficView,
    version: u64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// One upstream of a service.
#[derive(Debug, Serialize, ToSchema)]
pub struct TargetView {
    /// Stays the same as long as the URL does.
    #[schema(format = Uuid)]
    id: String,
    url: String,
    weight: u32,
    /// Whether it takes no new requests.
    drain: bool,
}

/// How requests are spread over the targets, and what becomes of those that fail; null where it is as usual.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrafficView {
    balancer: Option<BalancerDraft>,
    failure_on: Option<Vec<String>>,
    breaker: Option<BreakerDraft>,
    outlier: Option<OutlierDraft>,
    retries: Option<RetriesDraft>,
    health_check: Option<HealthCheckDraft>,
    channel: Option<ChannelDraft>,
    hedging: Option<HedgingDraft>,
}

impl From<&Traffic> for TrafficView {
    fn from(traffic: &Traffic) -> Self {
        let TrafficDraft { balancer, failure_on, breaker, outlier, retries, health_check, channel, hedging } =
            TrafficDraft::from(traffic);
        Self { balancer, failure_on, breaker, outlier, retries, health_check, channel, hedging }
    }
}

/// What a service limits by itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServiceLimitsView {
    /// Over all callers together.
    limits: Vec<LimitDraft>,
    /// Of each client address.
    ip_limits: Vec<LimitDraft>,
    rules: Vec<RuleDraft>,
    /// Whether requests without a credential are let through, and their limits.
    anonymous: Option<AnonymousDraft>,
    cost_header: Option<String>,
    refund_on_failure: bool,
}

impl From<&ServiceLimits> for ServiceLimitsView {
    fn from(limits: &ServiceLimits) -> Self {
        let ServiceLimitsDraft { limits, ip_limits, rules, anonymous, cost_header, refund_on_failure } =
            ServiceLimitsDraft::from(limits);
        let refund_on_failure = refund_on_failure.unwrap_or_default();
        Self { limits, ip_limits, rules, anonymous, cost_header, refund_on_failure }
    }
}

impl From<&Stored<Service>> for ServiceView {
    fn from(stored: &Stored<Service>) -> Self {
        let service = &stored.value;
        Self {
            id: service.id.to_string(),
            slug: service.slug.to_string(),
            name: service.name.to_string(),
            auth_header: service.auth_header.to_string(),
            targets: service.targets.iter().map(TargetView::from).collect(),
            timeouts: TimeoutsDraft::from(service.timeouts),
            max_body_bytes: service.max_body_bytes,
            jwt: service.jwt.iter().map(|issuer| JwtIssuerDraft::from(&issuer.spec)).collect(),
            limits: ServiceLimitsView::from(&service.limits),
            traffic: TrafficView::from(&*service.traffic),
            version: stored.version,
            created_at: timestamp(stored.created_at_secs),
            updated_at: timestamp(stored.updated_at_secs),
        }
    }
}

impl From<&Target> for TargetView {
    fn from(target: &Target) -> Self {
        Self {
            id: target.id.to_string(),
            url: target.url.to_string(),
            weight: target.weight,
            drain: target.duty == Duty::Draining,
        }
    }
}

/// Add a service
///
/// Loopback and private addresses are refused to a tenant's own users, unless the operator allows them.
#[utoipa::path(
    post, path = "/api/services", tag = "services", operation_id = "create_service",
    params(TenantQuery),
    request_body = ServiceDraft,
    responses((status = 201, description = "The service", body = ServiceView), Sent, Addressed, Guarded),
)]
async fn create(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Json(draft): Json<ServiceDraft>,
) -> Result<Created<ServiceView>, Refusal> {
    let written = WrittenService::parse(&draft, &scope.principal)?;
    key_sets::check(&plane, Some(scope.tenant), written.new_key_sets(&plane, None)).await?;
    let mut edit = scope.edit(&plane).await?;
    let id = edit.create_service(&mut References::default(), scope.tenant, written).await?;
    let stored = edit.read().service(scope.tenant, id).await?.ok_or(NOT_FOUND)?;
    edit.commit().await?;
    Ok(Created { location: scope.location(&format!("/api/services/{id}")), shown: Shown::from(&stored) })
}

/// List the services
#[utoipa::path(
    get, path = "/api/services", tag = "services", operation_id = "list_services",
    params(TenantQuery, PageQuery),
    responses((status = 200, description = "A page", body = Listing<ServiceView>), Listed, Guarded),
)]
async fn list(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Wanted(page): Wanted,
) -> Result<axum::Json<Listing<ServiceView>>, Refusal> {
    let services = plane.0.store.read().await?.services(scope.tenant, page).await?;
    Ok(axum::Json(Listing::from(&services)))
}

/// Show a service
#[utoipa::path(
    get, path = "/api/services/{id}", tag = "services", operation_id = "show_service",
    params(("id" = String, Path, description = "Id or slug"), TenantQuery),
    responses((status = 200, description = "The service", body = ServiceView), Listed, Guarded),
)]
async fn show(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(name): Named,
) -> Result<Shown<ServiceView>, Refusal> {
    let mut read = plane.0.store.read().await?;
    Ok(Shown::from(&find(&mut read, &scope, &name).await?))
}

/// Replace a service
///
/// A target whose URL stays keeps its id, and what the proxy knows of it.
#[utoipa::path(
    put, path = "/api/services/{id}", tag = "services", operation_id = "replace_service",
    params(
        ("id" = String, Path, description = "Id or slug"), TenantQuery,
        ("If-Match" = Option<String>, Header),
    ),
    request_body = ServiceDraft,
    responses(
        (status = 200, description = "The service", body = ServiceView),
        Sent, Addressed, Conditional, Guarded,
    ),
)]
async fn replace(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(name): Named,
    preconditions: Preconditions,
    Replacement(draft): Replacement<ServiceDraft>,
) -> Result<Shown<ServiceView>, Refusal> {
    // Its keys are fetched before the edit begins: nobody else's should wait for that.
    let before = find(&mut plane.0.store.read().await?, &scope, &name).await?;
    preconditions.require(&before)?;
    let written = WrittenService::parse(&draft, &scope.principal)?;
    let new = written.new_key_sets(&plane, Some(&before.value));
    key_sets::check(&plane, Some(scope.tenant), new).await?;
    let mut edit = scope.edit(&plane).await?;
    let before = find(edit.read(), &scope, &name).await?;
    preconditions.require(&before)?;
    edit.replace_service(&mut References::default(), &before.value, written).await?;
    let stored = edit.read().service(scope.tenant, before.value.id).await?.ok_or(NOT_FOUND)?;
    edit.commit().await?;
    Ok(Shown::from(&stored))
}

/// Delete a service
///
/// Refused while a key or a route names it.
#[utoipa::path(
    delete, path = "/api/services/{id}", tag = "services", operation_id = "delete_service",
    params(
        ("id" = String, Path, description = "Id or slug"), TenantQuery,
        ("If-Match" = Option<String>, Header),
    ),
    responses(Deleted, Listed, Conditional, Guarded),
)]
async fn delete(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(name): Named,
    preconditions: Preconditions,
) -> Result<StatusCode, Refusal> {
    let mut edit = scope.edit(&plane).await?;
    let before = find(edit.read(), &scope, &name).await?;
    preconditions.require(&before)?;
    edit.delete_service(&before.value).await?;
    edit.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// By id, else by slug: a slug may look like an id.
pub(super) async fn find(read: &mut Read, scope: &Scope, name: &str) -> Result<Stored<Service>, Refusal> {
    if let Ok(id) = Uuid::try_parse(name)
        && let Some(found) = read.service(scope.tenant, ServiceId(id)).await?
    {
        return Ok(found);
    }
    let slug = ServiceSlug::parse(name).map_err(|_| NOT_FOUND)?;
    read.service_by_slug(scope.tenant, &slug).await?.ok_or(NOT_FOUND)
}
