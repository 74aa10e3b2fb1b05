//! `/api/auth/token` and `/api/auth/validate`: tokens for API keys.

use std::fmt;
use std::net::IpAddr;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tollgate_core::credential::KeyHash;
use tollgate_core::snapshot::Snapshot;
use tollgate_core::token::{Grant, Issued};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::Peer;
use super::body::Json;
use super::refusal::{Failure, ProblemDetails, Refusal};
use super::responses::SentByAnybody;
use super::view::Secret;
use crate::clock;
use crate::clock::timestamp;
use crate::control_plane::ControlPlane;
use crate::throttle;

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new().routes(routes!(issue)).routes(routes!(validate))
}

/// For which key a token is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenDraft {
    api_key: String,
}

/// A token that stands for a key.
#[derive(Serialize, ToSchema)]
pub struct TokenView {
    /// Sent to the proxy as `Authorization: Bearer <token>`.
    token: String,
    token_type: &'static str,
    #[schema(format = DateTime)]
    expires_at: String,
    /// Seconds.
    expires_in: u64,
}

/// A token to look at.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ValidateDraft {
    token: String,
}

/// Whether a token is good now, and what it says.
#[derive(Debug, Serialize, ToSchema)]
pub struct ValidityView {
    valid: bool,
    /// Null unless the token is valid.
    #[schema(value_type = Option<Object>)]
    claims: Option<Map<String, Value>>,
}

impl fmt::Debug for TokenDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenDraft").finish_non_exhaustive()
    }
}

impl fmt::Debug for ValidateDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValidateDraft").finish_non_exhaustive()
    }
}

/// Exchange an API key for a token
///
/// The proxy does the same at `/-/token`. The token ends with the key that it was issued for.
#[utoipa::path(
    post, path = "/api/auth/token", tag = "auth", operation_id = "issue_token",
    security(()),
    request_body = TokenDraft,
    responses(
        (status = 200, description = "The token", body = TokenView,
         headers(("Cache-Control" = String, description = "`no-store`"))),
        (status = 403, description = "The key is unknown, revoked, expired, or not for this address", body = ProblemDetails,
         content_type = "application/problem+json"),
        SentByAnybody,
        (status = 429, description = "Too many failed attempts", body = ProblemDetails,
         content_type = "application/problem+json"),
    ),
)]
async fn issue(
    State(plane): State<ControlPlane>,
    Peer(peer): Peer,
    Json(draft): Json<TokenDraft>,
) -> Result<Secret<axum::Json<TokenView>>, Refusal> {
    let now_secs = clock::now_secs();
    let snapshot = plane.0.snapshot.load();
    let key_hash = KeyHash::of(draft.api_key.as_bytes());
    let Some(grant) = Grant::for_key(&snapshot, key_hash, Uuid::now_v7(), now_secs) else {
        // Only failures count: whoever has a good key is let through.
        plane
            .0
            .throttle
            .fail(throttle::API_KEYS, peer, clock::instant())
            .map_err(|too_many| Refusal::TooManyAttempts { retry_after_secs: too_many.retry_after_secs })?;
        return Err(Refusal::Forbidden("the API key is not valid"));
    };
    if !is_permitted_from(&snapshot, &key_hash, peer) {
        return Err(Refusal::Forbidden("the API key may not be used from this address"));
    }
    let issued = plane.0.issuing.issue(&snapshot, &grant, now_secs);
    let Some(Issued { token, expires_at_secs, expires_in_secs }) = issued else {
        // There is one from the first start on.
        return Err(Refusal::Failed(Failure::Inside("there is no signing key".into())));
    };
    Ok(Secret(axum::Json(TokenView {
        token,
        token_type: "Bearer",
        expires_at: timestamp(expires_at_secs),
        expires_in: expires_in_secs,
    })))
}

/// A key that is for certain networks opens nothing elsewhere, nor where the address is not known.
fn is_permitted_from(snapshot: &Snapshot, key_hash: &KeyHash, peer: Option<IpAddr>) -> bool {
    let particulars = snapshot.key(key_hash).and_then(|key| key.particulars());
    particulars.is_none_or(|particulars| peer.is_some_and(|peer| particulars.permits_client(peer)))
}

/// Look at a token
///
/// Whether the proxy would take it now: its signature, its times, and the key that it was issued for. Whoever
/// has the token may ask.
#[utoipa::path(
    post, path = "/api/auth/validate", tag = "auth", operation_id = "validate_token",
    security(()),
    request_body = ValidateDraft,
    responses(
        (status = 200, description = "Whether it is valid", body = ValidityView,
         headers(("Cache-Control" = String, description = "`no-store`"))),
        SentByAnybody,
    ),
)]
async fn validate(
    State(plane): State<ControlPlane>,
    Json(draft): Json<ValidateDraft>,
) -> Secret<axum::Json<ValidityView>> {
    let now_secs = clock::now_secs();
    let snapshot = plane.0.snapshot.load();
    let verified = plane.0.issuing.verify(&snapshot, draft.token.as_bytes(), now_secs);
    let claims = verified
        .and_then(|(token, claims)| {
            token.in_force(&plane.0.issuing, &snapshot, now_secs).map(|_| claims.into_map())
        })
        .ok();
    Secret(axum::Json(ValidityView { valid: claims.is_some(), claims }))
}
