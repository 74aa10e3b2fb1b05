//! `/api/users`

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tollgate_core::resource::{Role, UserDraft, UserSpec, Username};
use tollgate_store::{Read, Stored, UserRecord};
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

const NOT_FOUND: Refusal = Refusal::NotFound("user");

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, replace, delete))
}

/// A user of the control plane.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserView {
    #[schema(format = Uuid)]
    id: String,
    username: String,
    /// Slug of the one tenant that the user may see; null for a platform administrator.
    tenant: Option<String>,
    version: u64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

impl From<&Stored<UserRecord>> for UserView {
    fn from(stored: &Stored<UserRecord>) -> Self {
        let user = &stored.value;
        Self {
            id: user.id.to_string(),
            username: user.username.to_string(),
            tenant: user.tenant.as_ref().map(ToString::to_string),
            version: stored.version,
            created_at: timestamp(stored.created_at_secs),
            updated_at: timestamp(stored.updated_at_secs),
        }
    }
}

/// Add a user
#[utoipa::path(
    post, path = "/api/users", tag = "users", operation_id = "create_user",
    request_body = UserDraft,
    responses((status = 201, description = "The user", body = UserView), Sent, Guarded),
)]
async fn create(
    State(plane): State<ControlPlane>,
    Administrator(author): Administrator,
    Json(draft): Json<UserDraft>,
) -> Result<Created<UserView>, Refusal> {
    let spec = draft.parse()?;
    let username = spec.username.clone();
    let password_hash = plane.0.passwords.hash(None, draft.password).await?;
    let mut edit = Edit::begin_as(&plane, &author).await?;
    edit.create_user(spec, password_hash).await?;
    let stored = edit.read().user(&username).await?.ok_or(NOT_FOUND)?;
    edit.commit().await?;
    Ok(Created { location: format!("/api/users/{username}"), shown: Shown::from(&stored) })
}

/// List the users
///
/// A tenant's user sees its tenant's alone.
#[utoipa::path(
    get, path = "/api/users", tag = "users", operation_id = "list_users",
    params(PageQuery),
    responses((status = 200, description = "A page", body = Listing<UserView>), Listed, Guarded),
)]
async fn list(
    State(plane): State<ControlPlane>,
    caller: Caller,
    Wanted(page): Wanted,
) -> Result<axum::Json<Listing<UserView>>, Refusal> {
    let users = plane.0.store.read().await?.users(caller.principal.tenant(), page).await?;
    Ok(axum::Json(Listing::from(&users)))
}

/// Show a user
#[utoipa::path(
    get, path = "/api/users/{username}", tag = "users", operation_id = "show_user",
    params(("username" = String, Path)),
    responses((status = 200, description = "The user", body = UserView), Addressed, Guarded),
)]
async fn show(
    State(plane): State<ControlPlane>,
    caller: Caller,
    Named(username): Named,
) -> Result<Shown<UserView>, Refusal> {
    let mut read = plane.0.store.read().await?;
    Ok(Shown::from(&find(&mut read, &caller.principal, &username).await?))
}

/// Replace a user
///
/// The user's sessions end. A tenant's user may replace itself, to change its password.
#[utoipa::path(
    put, path = "/api/users/{username}", tag = "users", operation_id = "replace_user",
    params(("username" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = UserDraft,
    responses(
        (status = 200, description = "The user", body = UserView),
        Sent, Addressed, Conditional, Guarded,
    ),
)]
async fn replace(
    State(plane): State<ControlPlane>,
    caller: Caller,
    Named(username): Named,
    preconditions: Preconditions,
    Replacement(draft): Replacement<UserDraft>,
) -> Result<Shown<UserView>, Refusal> {
    let known = find(&mut plane.0.store.read().await?, &caller.principal, &username).await?;
    let spec = permitted(&caller.principal, &known.value, draft.parse()?)?;
    let username = spec.username.clone();
    // Before anything is hashed; and once more by then.
    preconditions.require(&known)?;
    // Hashed before the edit: nobody else's should wait for it.
    let password_hash = plane.0.passwords.hash(caller.principal.tenant(), draft.password).await?;
    let mut edit = Edit::begin_as(&plane, &caller.principal).await?;
    let before = find(edit.read(), &caller.principal, known.value.username.as_str()).await?;
    preconditions.require(&before)?;
    edit.replace_user(&before.value, spec, password_hash).await?;
    let stored = edit.read().user(&username).await?.ok_or(NOT_FOUND)?;
    edit.commit().await?;
    Ok(Shown::from(&stored))
}

/// Delete a user
///
/// The user's sessions end.
#[utoipa::path(
    delete, path = "/api/users/{username}", tag = "users", operation_id = "delete_user",
    params(("username" = String, Path), ("If-Match" = Option<String>, Header)),
    responses(Deleted, Addressed, Conditional, Administered, Guarded),
)]
async fn delete(
    State(plane): State<ControlPlane>,
    Administrator(principal): Administrator,
    Named(username): Named,
    preconditions: Preconditions,
) -> Result<StatusCode, Refusal> {
    let mut edit = Edit::begin_as(&plane, &principal).await?;
    let before = find(edit.read(), &principal, &username).await?;
    preconditions.require(&before)?;
    edit.write().delete_user(before.value.id).await?;
    edit.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The user as the caller may make it: a tenant's user changes nothing but its own password.
fn permitted(caller: &Principal, before: &UserRecord, spec: UserSpec) -> Result<UserSpec, Refusal> {
    match caller.role {
        Role::PlatformAdministrator => Ok(spec),
        Role::TenantUser(_) => {
            let is_self = caller.username.as_ref() == Some(&before.username);
            let keeps_tenant = spec.tenant.is_none() || spec.tenant == before.tenant;
            if is_self && keeps_tenant && spec.username == before.username {
                Ok(UserSpec { tenant: before.tenant.clone(), ..spec })
            } else {
                Err(Refusal::Forbidden("a tenant's user may change its own password alone"))
            }
        }
    }
}

async fn find(read: &mut Read, caller: &Principal, username: &str) -> Result<Stored<UserRecord>, Refusal> {
    let username = Username::parse(username).map_err(|_| NOT_FOUND)?;
    let found = read.user(&username).await?.ok_or(NOT_FOUND)?;
    match caller.tenant() {
        Some(own) if found.value.role != Role::TenantUser(own) => Err(NOT_FOUND),
        Some(_) | None => Ok(found),
    }
}
