//! `/api/tenants`

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tollgate_core::resource::{LimitDraft, Role, Tenant, TenantDraft, TenantSlug};
use tollgate_store::{Page, Paged, Read, Stored};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::authenticate::{Administrator, Caller};
use super::body::{Json, Replacement};
use super::page::{Listing, PageQuery, Wanted};
use super::path::Named;
use super::refusal::Refusal;
use super::responses::{Addressed, Administered, Conditional, Deleted, Guarded, Listed, Sent};
use super::version::Preconditions;
use super::view::{Created, Shown};
use crate::clock::timestamp;
use crate::control_plane::ControlPlane;
use crate::edit::Edit;
use crate::principal::Principal;

const NOT_FOUND: Refusal = Refusal::NotFound("tenant");

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, replace, delete))
}

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct TenantView {
    #[schema(format = Uuid)]
    id: String,
    slug: String,
    name: String,
    /// IANA name of the zone whose days and months limits count.
    time_zone: String,
    /// Limits over everything that the tenant has.
    limits: Vec<LimitDraft>,
    version: u64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

impl From<&Stored<Tenant>> for TenantView {
    fn from(stored: &Stored<Tenant>) -> Self {
        Self {
            id: stored.value.id.to_string(),
            slug: stored.value.slug.to_string(),
            name: stored.value.name.to_string(),
            time_zone: stored.value.time_zone.name().to_owned(),
            limits: stored.value.limits.iter().map(LimitDraft::from).collect(),
            version: stored.version,
            created_at: timestamp(stored.created_at_secs),
            updated_at: timestamp(stored.updated_at_secs),
        }
    }
}

/// Add a tenant
#[utoipa::path(
    post, path = "/api/tenants", tag = "tenants", operation_id = "create_tenant",
    request_body = TenantDraft,
    responses((status = 201, description = "The tenant", body = TenantView), Sent, Guarded),
)]
async fn create(
    State(plane): State<ControlPlane>,
    Administrator(author): Administrator,
    Json(draft): Json<TenantDraft>,
) -> Result<Created<TenantView>, Refusal> {
    let spec = draft.parse()?;
    let mut edit = Edit::begin_as(&plane, &author).await?;
    let id = edit.create_tenant(spec).await?;
    let stored = edit.read().tenant_by_id(id).await?.ok_or(NOT_FOUND)?;
    edit.commit().await?;
    Ok(Created { location: format!("/api/tenants/{}", stored.value.slug), shown: Shown::from(&stored) })
}

/// List the tenants
///
/// A tenant's user sees its own alone.
#[utoipa::path(
    get, path = "/api/tenants", tag = "tenants", operation_id = "list_tenants",
    params(PageQuery),
    responses((status = 200, description = "A page", body = Listing<TenantView>), Listed, Guarded),
)]
async fn list(
    State(plane): State<ControlPlane>,
    caller: Caller,
    Wanted(page): Wanted,
) -> Result<axum::Json<Listing<TenantView>>, Refusal> {
    let mut read = plane.0.store.read().await?;
    let tenants = visible(&mut read, &caller.principal, page).await?;
    Ok(axum::Json(Listing::from(&tenants)))
}

/// Show a tenant
#[utoipa::path(
    get, path = "/api/tenants/{slug}", tag = "tenants", operation_id = "show_tenant",
    params(("slug" = String, Path)),
    responses((status = 200, description = "The tenant", body = TenantView), Addressed, Guarded),
)]
async fn show(
    State(plane): State<ControlPlane>,
    caller: Caller,
    Named(slug): Named,
) -> Result<Shown<TenantView>, Refusal> {
    let mut read = plane.0.store.read().await?;
    let stored = find(&mut read, &slug).await?;
    match caller.principal.tenant() {
        Some(own) if own != stored.value.id => Err(NOT_FOUND),
        Some(_) | None => Ok(Shown::from(&stored)),
    }
}

/// Replace a tenant
///
/// A changed slug changes the path of everything that the tenant has.
#[utoipa::path(
    put, path = "/api/tenants/{slug}", tag = "tenants", operation_id = "replace_tenant",
    params(("slug" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = TenantDraft,
    responses(
        (status = 200, description = "The tenant", body = TenantView),
        Sent, Addressed, Conditional, Guarded,
    ),
)]
async fn replace(
    State(plane): State<ControlPlane>,
    Administrator(author): Administrator,
    Named(slug): Named,
    preconditions: Preconditions,
    Replacement(draft): Replacement<TenantDraft>,
) -> Result<Shown<TenantView>, Refusal> {
    let parsed = draft.parse();
    let mut edit = Edit::begin_as(&plane, &author).await?;
    let before = find(edit.read(), &slug).await?;
    preconditions.require(&before)?;
    edit.replace_tenant(&before.value, parsed?).await?;
    let stored = edit.read().tenant_by_id(before.value.id).await?.ok_or(NOT_FOUND)?;
    edit.commit().await?;
    Ok(Shown::from(&stored))
}

/// Delete a tenant with everything that it has
#[utoipa::path(
    delete, path = "/api/tenants/{slug}", tag = "tenants", operation_id = "delete_tenant",
    params(("slug" = String, Path), ("If-Match" = Option<String>, Header)),
    responses(Deleted, Addressed, Conditional, Administered, Guarded),
)]
async fn delete(
    State(plane): State<ControlPlane>,
    Administrator(author): Administrator,
    Named(slug): Named,
    preconditions: Preconditions,
) -> Result<StatusCode, Refusal> {
    let mut edit = Edit::begin_as(&plane, &author).await?;
    let before = find(edit.read(), &slug).await?;
    preconditions.require(&before)?;
    edit.delete_tenant(before.value.id).await?;
    edit.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn visible(
    read: &mut Read,
    principal: &Principal,
    page: Page,
) -> Result<Paged<Stored<Tenant>>, Refusal> {
    match principal.role {
        Role::PlatformAdministrator => Ok(read.tenants(page).await?),
        Role::TenantUser(own) => {
            let own = read.tenant_by_id(own).await?;
            let items = own.filter(|own| page.after.is_none_or(|after| own.value.id.0 > after));
            Ok(Paged { items: items.into_iter().collect(), next: None })
        }
    }
}

async fn find(read: &mut Read, slug: &str) -> Result<Stored<Tenant>, Refusal> {
    let slug = TenantSlug::parse(slug).map_err(|_| NOT_FOUND)?;
    read.tenant(&slug).await?.ok_or(NOT_FOUND)
}
