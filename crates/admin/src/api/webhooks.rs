//! `/api/webhooks`

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tollgate_core::resource::{WebhookDraft, WebhookId};
use tollgate_store::{Read, Stored, WebhookRecord};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::body::{Json, Replacement};
use super::deliveries::DeliveryView;
use super::page::{Listing, PageQuery, Wanted};
use super::path::Named;
use super::refusal::{ProblemDetails, Refusal};
use super::responses::{Addressed, Conditional, Guarded, Listed, Revoked, Sent};
use super::scope::{Scope, TenantQuery};
use super::version::{Preconditions, Version};
use super::view::{Created, Secret, Shown};
use crate::clock::timestamp;
use crate::control_plane::ControlPlane;

pub const NOT_FOUND: Refusal = Refusal::NotFound("webhook");

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, replace, delete))
        .routes(routes!(test))
}

/// A webhook, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookView {
    #[schema(format = Uuid)]
    id: String,
    url: String,
    /// Types of events that it is sent; all where null.
    events: Option<Vec<&'static str>>,
    version: u64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// A webhook with its secret, which is shown this once.
#[derive(Serialize, ToSchema)]
pub struct NewWebhookView {
    /// What its deliveries are signed with (Standard Webhooks).
    secret: String,
    #[serde(flatten)]
    view: WebhookView,
}

impl From<&Stored<WebhookRecord>> for WebhookView {
    fn from(stored: &Stored<WebhookRecord>) -> Self {
        let webhook = &stored.value.webhook;
        let names = || webhook.events.iter().map(|kind| kind.name()).collect();
        Self {
            id: webhook.id.to_string(),
            url: webhook.url.to_string(),
            events: (!webhook.events.is_empty()).then(names),
            version: stored.version,
            created_at: timestamp(stored.created_at_secs),
            updated_at: timestamp(stored.updated_at_secs),
        }
    }
}

/// Add a webhook
///
/// Events of the tenant are sent to it from then on. The answer shows its secret; nothing will show it again.
#[utoipa::path(
    post, path = "/api/webhooks", tag = "webhooks", operation_id = "create_webhook",
    params(TenantQuery),
    request_body = WebhookDraft,
    responses(
        (status = 201, description = "The webhook", body = NewWebhookView,
         headers(("Cache-Control" = String, description = "`no-store`"))),
        Sent, Addressed, Guarded,
    ),
)]
async fn create(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Json(draft): Json<WebhookDraft>,
) -> Result<Secret<Created<NewWebhookView>>, Refusal> {
    let spec = draft.parse()?;
    let mut edit = scope.edit(&plane).await?;
    let (id, secret) = edit.create_webhook(scope.tenant, spec, &scope.principal).await?;
    let stored = edit.read().webhook(id).await?.ok_or(NOT_FOUND)?;
    edit.commit().await?;
    let view = NewWebhookView { secret: secret.reveal(), view: WebhookView::from(&stored) };
    let location = scope.location(&format!("/api/webhooks/{id}"));
    Ok(Secret(Created { location, shown: Shown { view, version: Version::of(&stored) } }))
}

/// List the webhooks
#[utoipa::path(
    get, path = "/api/webhooks", tag = "webhooks", operation_id = "list_webhooks",
    params(TenantQuery, PageQuery),
    responses((status = 200, description = "A page", body = Listing<WebhookView>), Listed, Guarded),
)]
async fn list(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Wanted(page): Wanted,
) -> Result<axum::Json<Listing<WebhookView>>, Refusal> {
    let webhooks = plane.0.store.read().await?.webhooks(scope.tenant, page).await?;
    Ok(axum::Json(Listing::from(&webhooks)))
}

/// Show a webhook
#[utoipa::path(
    get, path = "/api/webhooks/{id}", tag = "webhooks", operation_id = "show_webhook",
    params(("id" = String, Path), TenantQuery),
    responses((status = 200, description = "The webhook", body = WebhookView), Listed, Guarded),
)]
async fn show(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(id): Named,
) -> Result<Shown<WebhookView>, Refusal> {
    let mut read = plane.0.store.read().await?;
    Ok(Shown::from(&find(&mut read, &scope, &id).await?))
}

/// Replace a webhook
///
/// Its secret stays where none is given. What waits to be tried again is tried at once.
#[utoipa::path(
    put, path = "/api/webhooks/{id}", tag = "webhooks", operation_id = "replace_webhook",
    params(("id" = String, Path), TenantQuery, ("If-Match" = Option<String>, Header)),
    request_body = WebhookDraft,
    responses(
        (status = 200, description = "The webhook", body = WebhookView),
        Sent, Addressed, Conditional, Guarded,
    ),
)]
async fn replace(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(id): Named,
    preconditions: Preconditions,
    Replacement(draft): Replacement<WebhookDraft>,
) -> Result<Shown<WebhookView>, Refusal> {
    let parsed = draft.parse();
    let mut edit = scope.edit(&plane).await?;
    let before = find(edit.read(), &scope, &id).await?;
    preconditions.require(&before)?;
    edit.replace_webhook(&before.value, parsed?, &scope.principal).await?;
    let stored = edit.read().webhook(before.value.webhook.id).await?.ok_or(NOT_FOUND)?;
    edit.commit().await?;
    plane.0.outbox.changed();
    Ok(Shown::from(&stored))
}

/// Delete a webhook
///
/// What was still to be sent to it is not sent.
#[utoipa::path(
    delete, path = "/api/webhooks/{id}", tag = "webhooks", operation_id = "delete_webhook",
    params(("id" = String, Path), TenantQuery, ("If-Match" = Option<String>, Header)),
    responses(Revoked, Listed, Conditional, Guarded),
)]
async fn delete(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(id): Named,
    preconditions: Preconditions,
) -> Result<StatusCode, Refusal> {
    let mut edit = scope.edit(&plane).await?;
    let before = find(edit.read(), &scope, &id).await?;
    preconditions.require(&before)?;
    edit.write().delete_webhook(before.value.webhook.id).await?;
    edit.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Try a webhook
///
/// Sends it a `webhook.test` event, once, whatever events it wants; answers with what came of it. 503 where too much is
/// under way that was asked for like this.
#[utoipa::path(
    post, path = "/api/webhooks/{id}/test", tag = "webhooks", operation_id = "test_webhook",
    params(("id" = String, Path), TenantQuery),
    responses(
        (status = 200, description = "What came of it", body = DeliveryView),
        (status = 507, description = "The disk is full: it was tried, and what came of it is not kept",
         body = ProblemDetails, content_type = "application/problem+json"),
        Listed, Guarded,
    ),
)]
async fn test(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(id): Named,
) -> Result<axum::Json<DeliveryView>, Refusal> {
    let record = find(&mut plane.0.store.read().await?, &scope, &id).await?.value;
    let demand = plane.0.on_demand.begin(scope.tenant)?;
    let testing = async move { plane.test_webhook(&record, scope.slug.as_str()).await };
    let delivery = demand.carry(testing).await?;
    Ok(axum::Json(DeliveryView::from(&delivery)))
}

/// The webhook, where it is the tenant's.
pub async fn find(read: &mut Read, scope: &Scope, id: &str) -> Result<Stored<WebhookRecord>, Refusal> {
    let id = WebhookId(Uuid::try_parse(id).map_err(|_| NOT_FOUND)?);
    let found = read.webhook(id).await?.filter(|stored| stored.value.webhook.tenant == scope.tenant);
    found.ok_or(NOT_FOUND)
}
