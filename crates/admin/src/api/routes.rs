//! `/api/routes`

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tollgate_core::resource::{
    DisplayName, DurationText, RouteDraft, RouteId, RouteState, ShareDraft, TextOrBool,
};
use tollgate_store::{Read, RouteRecord, Stored};
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
use crate::edit::{Parsed, References};

const NOT_FOUND: Refusal = Refusal::NotFound("route");

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, replace, delete))
}

/// A route.
#[derive(Debug, Serialize, ToSchema)]
pub struct RouteView {
    #[schema(format = Uuid)]
    id: String,
    name: String,
    /// The one service; null where several share the requests.
    service: Option<String>,
    /// Several services that share the requests; null where there is one.
    services: Option<Vec<ShareDraft>>,
    sticky: Option<String>,
    hosts: Vec<String>,
    paths: Vec<String>,
    methods: Vec<String>,
    headers: BTreeMap<String, TextOrBool>,
    query: BTreeMap<String, TextOrBool>,
    priority: i32,
    strip_prefix: Option<TextOrBool>,
    rewrite_path: Option<String>,
    rewrite_host: Option<String>,
    preserve_host: bool,
    #[schema(value_type = Option<String>)]
    timeout: Option<DurationText>,
    retries: Option<u8>,
    max_body_bytes: Option<u64>,
    enabled: bool,
    version: u64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

impl From<&Stored<RouteRecord>> for RouteView {
    fn from(stored: &Stored<RouteRecord>) -> Self {
        let RouteRecord { route, services } = &stored.value;
        let shares = services.iter().zip(&route.split.shares);
        let shares: Vec<ShareDraft> = shares
            .map(|(slug, (_, weight))| ShareDraft { service: slug.to_string(), weight: Some(*weight) })
            .collect();
        let (service, services) = match &shares[..] {
            [only] if only.weight == Some(1) && route.split.sticky.is_none() => {
                (Some(only.service.clone()), None)
            }
            _ => (None, Some(shares)),
        };
        let draft = RouteDraft::from(&route.rules);
        Self {
            id: route.id.to_string(),
            name: route.name.to_string(),
            service,
            services,
            sticky: route.split.sticky.as_ref().map(ToString::to_string),
            hosts: draft.hosts,
            paths: draft.paths,
            methods: draft.methods,
            headers: draft.headers,
            query: draft.query,
            priority: route.rules.priority,
            strip_prefix: draft.strip_prefix,
            rewrite_path: draft.rewrite_path,
            rewrite_host: draft.rewrite_host,
            preserve_host: draft.preserve_host.unwrap_or_default(),
            timeout: draft.timeout,
            retries: draft.retries,
            max_body_bytes: draft.max_body_bytes,
            enabled: route.rules.state == RouteState::Enabled,
            version: stored.version,
            created_at: timestamp(stored.created_at_secs),
            updated_at: timestamp(stored.updated_at_secs),
        }
    }
}

/// Add a route
///
/// A host belongs to the tenant whose route names it first, and so does every host that its wildcard is for. A route that
/// ties with another, so that nothing says which of them is meant for a request, is refused.
#[utoipa::path(
    post, path = "/api/routes", tag = "routes", operation_id = "create_route",
    params(TenantQuery),
    request_body = RouteDraft,
    responses((status = 201, description = "The route", body = RouteView), Sent, Addressed, Guarded),
)]
async fn create(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Json(draft): Json<RouteDraft>,
) -> Result<Created<RouteView>, Refusal> {
    let parsed = Parsed::of(&draft);
    let mut edit = scope.edit(&plane).await?;
    let references = &mut References::default();
    let spec = edit.spec(references, scope.tenant, parsed).await?;
    let id = edit.create_route(references, scope.tenant, spec).await?;
    let stored = edit.read().route(scope.tenant, id).await?.ok_or(NOT_FOUND)?;
    edit.commit().await?;
    Ok(Created { location: scope.location(&format!("/api/routes/{id}")), shown: Shown::from(&stored) })
}

/// List the routes
#[utoipa::path(
    get, path = "/api/routes", tag = "routes", operation_id = "list_routes",
    params(TenantQuery, PageQuery),
    responses((status = 200, description = "A page", body = Listing<RouteView>), Listed, Guarded),
)]
async fn list(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Wanted(page): Wanted,
) -> Result<axum::Json<Listing<RouteView>>, Refusal> {
    let routes = plane.0.store.read().await?.routes(scope.tenant, page).await?;
    Ok(axum::Json(Listing::from(&routes)))
}

/// Show a route
#[utoipa::path(
    get, path = "/api/routes/{id}", tag = "routes", operation_id = "show_route",
    params(("id" = String, Path, description = "Id or name"), TenantQuery),
    responses((status = 200, description = "The route", body = RouteView), Listed, Guarded),
)]
async fn show(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(name): Named,
) -> Result<Shown<RouteView>, Refusal> {
    let mut read = plane.0.store.read().await?;
    Ok(Shown::from(&find(&mut read, &scope, &name).await?))
}

/// Replace a route
#[utoipa::path(
    put, path = "/api/routes/{id}", tag = "routes", operation_id = "replace_route",
    params(
        ("id" = String, Path, description = "Id or name"), TenantQuery,
        ("If-Match" = Option<String>, Header),
    ),
    request_body = RouteDraft,
    responses(
        (status = 200, description = "The route", body = RouteView),
        Sent, Addressed, Conditional, Guarded,
    ),
)]
async fn replace(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(name): Named,
    preconditions: Preconditions,
    Replacement(draft): Replacement<RouteDraft>,
) -> Result<Shown<RouteView>, Refusal> {
    let parsed = Parsed::of(&draft);
    let mut edit = scope.edit(&plane).await?;
    let before = find(edit.read(), &scope, &name).await?;
    preconditions.require(&before)?;
    let before = before.value.route;
    let references = &mut References::default();
    let spec = edit.spec(references, scope.tenant, parsed).await?;
    edit.replace_route(references, &before, spec).await?;
    let stored = edit.read().route(scope.tenant, before.id).await?.ok_or(NOT_FOUND)?;
    edit.commit().await?;
    Ok(Shown::from(&stored))
}

/// Delete a route
///
/// With the last route that names it, a host is free again.
#[utoipa::path(
    delete, path = "/api/routes/{id}", tag = "routes", operation_id = "delete_route",
    params(
        ("id" = String, Path, description = "Id or name"), TenantQuery,
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
    edit.delete_route(&before.value.route).await?;
    edit.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// By id, else by name: a name may look like an id.
async fn find(read: &mut Read, scope: &Scope, name: &str) -> Result<Stored<RouteRecord>, Refusal> {
    if let Ok(id) = Uuid::try_parse(name)
        && let Some(found) = read.route(scope.tenant, RouteId(id)).await?
    {
        return Ok(found);
    }
    let name = DisplayName::parse(name).map_err(|_| NOT_FOUND)?;
    read.route_by_name(scope.tenant, &name).await?.ok_or(NOT_FOUND)
}
