//! `/api/keys`

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tollgate_core::Problems;
use tollgate_core::credential::{ApiKey, Environment};
use tollgate_core::resource::{DurationText, KeyDraft, KeyId, KeyRouteDraft, KeyScopeDraft, LimitDraft};
use tollgate_store::{KeyRecord, Read, Stored};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::body::{Json, OptionalJson, Replacement};
use super::page::{Listing, PageQuery, Wanted};
use super::path::Named;
use super::refusal::Refusal;
use super::responses::{Addressed, Conditional, Guarded, Listed, Revoked, Sent};
use super::scope::{Scope, TenantQuery};
use super::version::{Preconditions, Version};
use super::view::{Created, Secret, Shown};
use crate::clock::timestamp;
use crate::control_plane::ControlPlane;
use crate::edit::{Edit, KeyValue, Parsed, References};
use crate::token::random_bits;

const NOT_FOUND: Refusal = Refusal::NotFound("key");
const USUAL_GRACE: Duration = Duration::from_hours(24);
const LONGEST_GRACE: Duration = Duration::from_hours(30 * 24);

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, replace, revoke))
        .routes(routes!(rotate))
}

/// An API key, without its value.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyView {
    /// Stays the same when the key is rotated.
    #[schema(format = Uuid)]
    id: String,
    name: String,
    /// The first characters of the value.
    prefix: String,
    /// Slug of the plan.
    plan: Option<String>,
    /// Client id of the one consumer that the key speaks for.
    consumer: Option<String>,
    /// Slugs of the only services that the key opens; all where null.
    services: Option<Vec<String>>,
    /// The only paths and methods that the key may be used for; all where null.
    routes: Option<Vec<KeyRouteDraft>>,
    /// The networks from which alone the key may be used; anywhere where null.
    allow_ips: Option<Vec<String>>,
    /// `live` or `test`, as the key begins; null for one that says neither.
    environment: Option<&'static str>,
    /// Of this key alone, besides its plan's.
    limits: Vec<LimitDraft>,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// From when on anchored limits of the key's plan count their days and months.
    #[schema(format = DateTime)]
    subscribed_at: String,
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    /// Requests that the key identified, right to the minute; those that a crash cut off are missing.
    requests: u64,
    /// How many of them were refused for what the key may do, or for a limit.
    rejections: u64,
    version: u64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// An API key with its value, which is shown this once.
#[derive(Serialize, ToSchema)]
pub struct NewKeyView {
    /// What clients send.
    key: String,
    #[serde(flatten)]
    view: KeyView,
}

/// How a key is rotated.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(examples(json!({ "grace": "24h" })))]
#[serde(deny_unknown_fields)]
pub struct RotateDraft {
    /// How long the former value goes on working: `"0s"` to `"30d"`; `"24h"` where left out.
    #[serde(default)]
    #[schema(inline)]
    grace: Option<DurationText>,
}

impl From<&Stored<KeyRecord>> for KeyView {
    fn from(stored: &Stored<KeyRecord>) -> Self {
        let KeyRecord { key, plan, consumer, services, usage } = &stored.value;
        let slugs = |services: &Vec<_>| services.iter().map(ToString::to_string).collect();
        let KeyScopeDraft { routes, allow_ips } =
            key.scope.as_deref().map(KeyScopeDraft::from).unwrap_or_default();
        Self {
            id: key.id.to_string(),
            name: key.name.to_string(),
            prefix: key.prefix.to_string(),
            plan: plan.as_ref().map(ToString::to_string),
            consumer: consumer.as_ref().map(ToString::to_string),
            services: services.as_ref().map(slugs),
            routes,
            allow_ips,
            environment: Environment::of(&key.prefix).map(Environment::as_str),
            limits: key.limits.iter().map(LimitDraft::from).collect(),
            expires_at: key.expires_at_secs.map(timestamp),
            subscribed_at: timestamp(key.subscribed_at_secs),
            last_used_at: usage.map(|usage| timestamp(usage.last_used_secs)),
            requests: usage.unwrap_or_default().requests,
            rejections: usage.unwrap_or_default().rejections,
            version: stored.version,
            created_at: timestamp(stored.created_at_secs),
            updated_at: timestamp(stored.updated_at_secs),
        }
    }
}

/// Make an API key
///
/// The answer shows the key; nothing will show it again.
#[utoipa::path(
    post, path = "/api/keys", tag = "keys", operation_id = "create_key",
    params(TenantQuery),
    request_body = KeyDraft,
    responses(
        (status = 201, description = "The key", body = NewKeyView,
         headers(("Cache-Control" = String, description = "`no-store`"))),
        Sent, Addressed, Guarded,
    ),
)]
async fn create(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Json(draft): Json<KeyDraft>,
) -> Result<Secret<Created<NewKeyView>>, Refusal> {
    let parsed = Parsed::of(&draft);
    let mut edit = scope.edit(&plane).await?;
    let references = &mut References::default();
    let spec = edit.spec(references, scope.tenant, parsed).await?;
    let value = ApiKey::from_random(random_bits()?, spec.environment);
    let key = edit.new_key(references, scope.tenant, spec, KeyValue::from(&value)).await?;
    let id = key.id;
    edit.insert_keys(vec![key]).await?;
    let shown = finish(edit, &scope, id, &value).await?;
    Ok(Secret(Created { location: scope.location(&format!("/api/keys/{id}")), shown }))
}

/// List the API keys
#[utoipa::path(
    get, path = "/api/keys", tag = "keys", operation_id = "list_keys",
    params(TenantQuery, PageQuery),
    responses((status = 200, description = "A page", body = Listing<KeyView>), Listed, Guarded),
)]
async fn list(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Wanted(page): Wanted,
) -> Result<axum::Json<Listing<KeyView>>, Refusal> {
    let keys = plane.0.store.read().await?.keys(scope.tenant, page).await?;
    Ok(axum::Json(Listing::from(&keys)))
}

/// Show an API key
#[utoipa::path(
    get, path = "/api/keys/{id}", tag = "keys", operation_id = "show_key",
    params(("id" = String, Path), TenantQuery),
    responses((status = 200, description = "The key", body = KeyView), Listed, Guarded),
)]
async fn show(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(id): Named,
) -> Result<Shown<KeyView>, Refusal> {
    let mut read = plane.0.store.read().await?;
    Ok(Shown::from(&find(&mut read, &scope, &id).await?))
}

/// Replace what is known of an API key
///
/// Its value stays; see `rotate`.
#[utoipa::path(
    put, path = "/api/keys/{id}", tag = "keys", operation_id = "replace_key",
    params(("id" = String, Path), TenantQuery, ("If-Match" = Option<String>, Header)),
    request_body = KeyDraft,
    responses(
        (status = 200, description = "The key", body = KeyView),
        Sent, Addressed, Conditional, Guarded,
    ),
)]
async fn replace(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(id): Named,
    preconditions: Preconditions,
    Replacement(draft): Replacement<KeyDraft>,
) -> Result<Shown<KeyView>, Refusal> {
    let parsed = Parsed::of(&draft);
    let mut edit = scope.edit(&plane).await?;
    let before = find(edit.read(), &scope, &id).await?;
    preconditions.require(&before)?;
    let key = before.value.key;
    let (id, value) = (key.id, KeyValue { hash: key.hash, prefix: key.prefix.clone() });
    let references = &mut References::default();
    let spec = edit.spec(references, scope.tenant, parsed).await?;
    edit.replace_key(references, key, spec, value).await?;
    let stored = edit.read().key(scope.tenant, id).await?.ok_or(NOT_FOUND)?;
    edit.commit().await?;
    Ok(Shown::from(&stored))
}

/// Revoke an API key
///
/// It and all its former values stop working at once.
#[utoipa::path(
    delete, path = "/api/keys/{id}", tag = "keys", operation_id = "revoke_key",
    params(("id" = String, Path), TenantQuery, ("If-Match" = Option<String>, Header)),
    responses(Revoked, Listed, Conditional, Guarded),
)]
async fn revoke(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(id): Named,
    preconditions: Preconditions,
) -> Result<StatusCode, Refusal> {
    let mut edit = scope.edit(&plane).await?;
    let before = find(edit.read(), &scope, &id).await?;
    preconditions.require(&before)?;
    edit.delete_key(before.value.key).await?;
    edit.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give an API key a new value
///
/// The former one goes on working for the time of grace. The answer shows the new one; nothing will show it
/// again.
#[utoipa::path(
    post, path = "/api/keys/{id}/rotate", tag = "keys", operation_id = "rotate_key",
    params(("id" = String, Path), TenantQuery, ("If-Match" = Option<String>, Header)),
    request_body = Option<RotateDraft>,
    responses(
        (status = 200, description = "The key with its new value", body = NewKeyView,
         headers(("Cache-Control" = String, description = "`no-store`"))),
        Sent, Addressed, Conditional, Guarded,
    ),
)]
async fn rotate(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(id): Named,
    preconditions: Preconditions,
    OptionalJson(draft): OptionalJson<RotateDraft>,
) -> Result<Secret<Shown<NewKeyView>>, Refusal> {
    let grace = draft.grace.map_or(USUAL_GRACE, |DurationText(grace)| grace);
    if grace > LONGEST_GRACE {
        return Err(Problems::one("grace", "must be at most 30d").into());
    }
    let mut edit = scope.edit(&plane).await?;
    let before = find(edit.read(), &scope, &id).await?;
    preconditions.require(&before)?;
    let value = ApiKey::from_random(random_bits()?, Environment::of(&before.value.key.prefix));
    let id = before.value.key.id;
    edit.rotate_key(before.value.key, KeyValue::from(&value), grace).await?;
    Ok(Secret(finish(edit, &scope, id, &value).await?))
}

/// Commits, and shows the key with its value.
async fn finish(
    mut edit: Edit,
    scope: &Scope,
    id: KeyId,
    value: &ApiKey,
) -> Result<Shown<NewKeyView>, Refusal> {
    let stored = edit.read().key(scope.tenant, id).await?.ok_or(NOT_FOUND)?;
    edit.commit().await?;
    let view = NewKeyView { key: value.reveal().to_owned(), view: KeyView::from(&stored) };
    Ok(Shown { view, version: Version::of(&stored) })
}

async fn find(read: &mut Read, scope: &Scope, id: &str) -> Result<Stored<KeyRecord>, Refusal> {
    let id = Uuid::try_parse(id).map_err(|_| NOT_FOUND)?;
    read.key(scope.tenant, KeyId(id)).await?.ok_or(NOT_FOUND)
}
