//! `/api/consumers`

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tollgate_core::resource::{ClientId, ConsumerDraft};
use tollgate_store::{ConsumerRecord, Read, Stored};
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
use crate::edit::{Parsed, References};

const NOT_FOUND: Refusal = Refusal::NotFound("consumer");

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, replace, delete))
}

/// A consumer.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConsumerView {
    #[schema(format = Uuid)]
    id: String,
    client_id: String,
    name: String,
    /// Slug of the plan; null where the key's own counts.
    plan: Option<String>,
    /// From when on anchored limits of that plan count their days and months.
    #[schema(format = DateTime)]
    subscribed_at: String,
    version: u64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

impl From<&Stored<ConsumerRecord>> for ConsumerView {
    fn from(stored: &Stored<ConsumerRecord>) -> Self {
        let ConsumerRecord { consumer, plan } = &stored.value;
        Self {
            id: consumer.id.to_string(),
            client_id: consumer.client_id.to_string(),
            name: consumer.name.to_string(),
            plan: plan.as_ref().map(ToString::to_string),
            subscribed_at: timestamp(consumer.subscribed_at_secs),
            version: stored.version,
            created_at: timestamp(stored.created_at_secs),
            updated_at: timestamp(stored.updated_at_secs),
        }
    }
}

/// Add a consumer
#[utoipa::path(
    post, path = "/api/consumers", tag = "consumers", operation_id = "create_consumer",
    params(TenantQuery),
    request_body = ConsumerDraft,
    responses((status = 201, description = "The consumer", body = ConsumerView), Sent, Addressed, Guarded),
)]
async fn create(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Json(draft): Json<ConsumerDraft>,
) -> Result<Created<ConsumerView>, Refusal> {
    let parsed = Parsed::of(&draft);
    let mut edit = scope.edit(&plane).await?;
    let references = &mut References::default();
    let spec = edit.spec(references, scope.tenant, parsed).await?;
    let client_id = spec.client_id.clone();
    edit.create_consumer(references, scope.tenant, spec).await?;
    let stored = edit.read().consumer(scope.tenant, &client_id).await?.ok_or(NOT_FOUND)?;
    edit.commit().await?;
    Ok(Created {
        location: scope.location(&format!("/api/consumers/{client_id}")),
        shown: Shown::from(&stored),
    })
}

/// List the consumers
#[utoipa::path(
    get, path = "/api/consumers", tag = "consumers", operation_id = "list_consumers",
    params(TenantQuery, PageQuery),
    responses((status = 200, description = "A page", body = Listing<ConsumerView>), Listed, Guarded),
)]
async fn list(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Wanted(page): Wanted,
) -> Result<axum::Json<Listing<ConsumerView>>, Refusal> {
    let consumers = plane.0.store.read().await?.consumers(scope.tenant, page).await?;
    Ok(axum::Json(Listing::from(&consumers)))
}

/// Show a consumer
#[utoipa::path(
    get, path = "/api/consumers/{client_id}", tag = "consumers", operation_id = "show_consumer",
    params(("client_id" = String, Path), TenantQuery),
    responses((status = 200, description = "The consumer", body = ConsumerView), Listed, Guarded),
)]
async fn show(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(client_id): Named,
) -> Result<Shown<ConsumerView>, Refusal> {
    let mut read = plane.0.store.read().await?;
    Ok(Shown::from(&find(&mut read, &scope, &client_id).await?))
}

/// Replace a consumer
#[utoipa::path(
    put, path = "/api/consumers/{client_id}", tag = "consumers", operation_id = "replace_consumer",
    params(("client_id" = String, Path), TenantQuery, ("If-Match" = Option<String>, Header)),
    request_body = ConsumerDraft,
    responses(
        (status = 200, description = "The consumer", body = ConsumerView),
        Sent, Addressed, Conditional, Guarded,
    ),
)]
async fn replace(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(client_id): Named,
    preconditions: Preconditions,
    Replacement(draft): Replacement<ConsumerDraft>,
) -> Result<Shown<ConsumerView>, Refusal> {
    let parsed = Parsed::of(&draft);
    let mut edit = scope.edit(&plane).await?;
    let before = find(edit.read(), &scope, &client_id).await?;
    preconditions.require(&before)?;
    let references = &mut References::default();
    let spec = edit.spec(references, scope.tenant, parsed).await?;
    let client_id = spec.client_id.clone();
    edit.replace_consumer(references, &before.value.consumer, spec).await?;
    let stored = edit.read().consumer(scope.tenant, &client_id).await?.ok_or(NOT_FOUND)?;
    edit.commit().await?;
    Ok(Shown::from(&stored))
}

/// Delete a consumer
///
/// Refused while a key speaks for it.
#[utoipa::path(
    delete, path = "/api/consumers/{client_id}", tag = "consumers", operation_id = "delete_consumer",
    params(("client_id" = String, Path), TenantQuery, ("If-Match" = Option<String>, Header)),
    responses(Deleted, Listed, Conditional, Guarded),
)]
async fn delete(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(client_id): Named,
    preconditions: Preconditions,
) -> Result<StatusCode, Refusal> {
    let mut edit = scope.edit(&plane).await?;
    let before = find(edit.read(), &scope, &client_id).await?;
    preconditions.require(&before)?;
    edit.delete_consumer(&before.value.consumer).await?;
    edit.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn find(read: &mut Read, scope: &Scope, client_id: &str) -> Result<Stored<ConsumerRecord>, Refusal> {
    let client_id = ClientId::parse(client_id).map_err(|_| NOT_FOUND)?;
    read.consumer(scope.tenant, &client_id).await?.ok_or(NOT_FOUND)
}
