//! `/api/plans`

use std::num::NonZeroU32;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tollgate_core::resource::{LimitDraft, Plan, PlanDraft, PlanSlug};
use tollgate_store::{Read, Stored};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

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

const NOT_FOUND: Refusal = Refusal::NotFound("plan");

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, replace, delete))
}

/// A plan, its limits with what was left out filled in.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanView {
    #[schema(format = Uuid)]
    id: String,
    slug: String,
    name: String,
    limits: Vec<LimitDraft>,
    /// Most requests at once; any number where null.
    concurrency: Option<u32>,
    /// `leased`, `exact` or `local`.
    counting: &'static str,
    /// `local`, `allow` or `deny`.
    on_unavailable: &'static str,
    version: u64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

impl From<&Stored<Plan>> for PlanView {
    fn from(stored: &Stored<Plan>) -> Self {
        let plan = &stored.value;
        Self {
            id: plan.id.to_string(),
            slug: plan.slug.to_string(),
            name: plan.name.to_string(),
            limits: plan.limits.iter().map(LimitDraft::from).collect(),
            concurrency: plan.concurrency.map(NonZeroU32::get),
            counting: plan.counting.name(),
            on_unavailable: plan.on_unavailable.name(),
            version: stored.version,
            created_at: timestamp(stored.created_at_secs),
            updated_at: timestamp(stored.updated_at_secs),
        }
    }
}

/// Add a plan
#[utoipa::path(
    post, path = "/api/plans", tag = "plans", operation_id = "create_plan",
    params(TenantQuery),
    request_body = PlanDraft,
    responses((status = 201, description = "The plan", body = PlanView), Sent, Addressed, Guarded),
)]
async fn create(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Json(draft): Json<PlanDraft>,
) -> Result<Created<PlanView>, Refusal> {
    let spec = draft.parse()?;
    let slug = spec.slug.clone();
    let mut edit = scope.edit(&plane).await?;
    edit.create_plan(scope.tenant, spec).await?;
    let stored = edit.read().plan(scope.tenant, &slug).await?.ok_or(NOT_FOUND)?;
    edit.commit().await?;
    Ok(Created { location: scope.location(&format!("/api/plans/{slug}")), shown: Shown::from(&stored) })
}

/// List the plans
#[utoipa::path(
    get, path = "/api/plans", tag = "plans", operation_id = "list_plans",
    params(TenantQuery, PageQuery),
    responses((status = 200, description = "A page", body = Listing<PlanView>), Listed, Guarded),
)]
async fn list(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Wanted(page): Wanted,
) -> Result<axum::Json<Listing<PlanView>>, Refusal> {
    let plans = plane.0.store.read().await?.plans(scope.tenant, page).await?;
    Ok(axum::Json(Listing::from(&plans)))
}

/// Show a plan
#[utoipa::path(
    get, path = "/api/plans/{slug}", tag = "plans", operation_id = "show_plan",
    params(("slug" = String, Path), TenantQuery),
    responses((status = 200, description = "The plan", body = PlanView), Listed, Guarded),
)]
async fn show(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(slug): Named,
) -> Result<Shown<PlanView>, Refusal> {
    let mut read = plane.0.store.read().await?;
    Ok(Shown::from(&find(&mut read, &scope, &slug).await?))
}

/// Replace a plan
///
/// What its limits have counted stays counted. Its slug stays while a service's `plan_map` names it.
#[utoipa::path(
    put, path = "/api/plans/{slug}", tag = "plans", operation_id = "replace_plan",
    params(("slug" = String, Path), TenantQuery, ("If-Match" = Option<String>, Header)),
    request_body = PlanDraft,
    responses(
        (status = 200, description = "The plan", body = PlanView),
        Sent, Addressed, Conditional, Guarded,
    ),
)]
async fn replace(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(slug): Named,
    preconditions: Preconditions,
    Replacement(draft): Replacement<PlanDraft>,
) -> Result<Shown<PlanView>, Refusal> {
    let parsed = draft.parse();
    let mut edit = scope.edit(&plane).await?;
    let before = find(edit.read(), &scope, &slug).await?;
    preconditions.require(&before)?;
    let spec = parsed?;
    let slug = spec.slug.clone();
    edit.replace_plan(&before.value, spec).await?;
    let stored = edit.read().plan(scope.tenant, &slug).await?.ok_or(NOT_FOUND)?;
    edit.commit().await?;
    Ok(Shown::from(&stored))
}

/// Delete a plan
///
/// Refused while a key or a consumer is on it, or a service's `plan_map` names it.
#[utoipa::path(
    delete, path = "/api/plans/{slug}", tag = "plans", operation_id = "delete_plan",
    params(("slug" = String, Path), TenantQuery, ("If-Match" = Option<String>, Header)),
    responses(Deleted, Listed, Conditional, Guarded),
)]
async fn delete(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(slug): Named,
    preconditions: Preconditions,
) -> Result<StatusCode, Refusal> {
    let mut edit = scope.edit(&plane).await?;
    let before = find(edit.read(), &scope, &slug).await?;
    preconditions.require(&before)?;
    edit.delete_plan(&before.value).await?;
    edit.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn find(read: &mut Read, scope: &Scope, slug: &str) -> Result<Stored<Plan>, Refusal> {
    let slug = PlanSlug::parse(slug).map_err(|_| NOT_FOUND)?;
    read.plan(scope.tenant, &slug).await?.ok_or(NOT_FOUND)
}
