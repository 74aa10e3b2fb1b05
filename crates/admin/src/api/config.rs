//! `/api/config`: declarative documents.

use axum::body::Body;
use axum::extract::{FromRequest, Query, Request, State};
use serde::Deserialize;
use tollgate_core::Problems;
use tollgate_core::resource::Role;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::authenticate::Caller;
use super::body::{self, MOST_BYTES};
use super::refusal::Refusal;
use super::responses::{Guarded, Guessed, Sent};
use crate::control_plane::ControlPlane;
use crate::document::{Applied, ApplyError, ApplyFailed, Document};
use crate::principal::Principal;

/// A platform administrator may bring a million keys at once.
const MOST_BYTES_OF_ADMINISTRATORS: usize = 512 << 20;

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new().routes(routes!(apply)).routes(routes!(validate))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ApplyQuery {
    /// `true`: say what would be done, and do nothing.
    #[serde(default)]
    dry_run: bool,
}

/// Apply a declarative document
///
/// Makes everything that it names as it says, or changes nothing. Resources that it does not name stay as they
/// are; one that it names becomes as it is written: fields left out get their defaults, but for `subscribed_at`,
/// which stays. Applying it again changes nothing. A platform administrator's document may have 512 MiB, a tenant
/// user's 1 MiB.
#[utoipa::path(
    post, path = "/api/config", tag = "config", operation_id = "apply_document",
    params(ApplyQuery),
    request_body = Document,
    responses((status = 200, description = "What was done", body = Applied), Sent, Guessed, Guarded),
)]
async fn apply(
    State(plane): State<ControlPlane>,
    request: DocumentRequest,
) -> Result<axum::Json<Applied>, Refusal> {
    let DocumentRequest { principal, dry_run, document } = request;
    let applied = if dry_run {
        plane.validate(&principal, &document).await?
    } else {
        plane.apply(&principal, &document).await?
    };
    Ok(axum::Json(applied))
}

/// Validate a declarative document
///
/// Says what applying it would do, or everything that is wrong with it.
#[utoipa::path(
    post, path = "/api/config/validate", tag = "config", operation_id = "validate_document",
    request_body = Document,
    responses((status = 200, description = "What would be done", body = Applied), Sent, Guessed, Guarded),
)]
async fn validate(
    State(plane): State<ControlPlane>,
    DocumentRequest { principal, document, .. }: DocumentRequest,
) -> Result<axum::Json<Applied>, Refusal> {
    Ok(axum::Json(plane.validate(&principal, &document).await?))
}

/// A document, its author known before its size is allowed.
struct DocumentRequest {
    principal: Principal,
    dry_run: bool,
    document: Document,
}

impl FromRequest<ControlPlane> for DocumentRequest {
    type Rejection = Refusal;

    async fn from_request(request: Request<Body>, plane: &ControlPlane) -> Result<Self, Refusal> {
        use axum::extract::FromRequestParts;
        let (mut parts, content) = request.into_parts();
        let Caller { principal, .. } = Caller::from_request_parts(&mut parts, plane).await?;
        let Query(ApplyQuery { dry_run }) =
            Query::try_from_uri(&parts.uri).map_err(|_| Problems::one("dry_run", "must be true or false"))?;
        body::require_json(&parts.headers)?;
        let most_bytes = match principal.role {
            Role::PlatformAdministrator => MOST_BYTES_OF_ADMINISTRATORS,
            Role::TenantUser(_) => MOST_BYTES,
        };
        let bytes = body::read(content, most_bytes).await?;
        // Parsing hundreds of megabytes would hold up everything else on this thread.
        let parsed = tokio::task::spawn_blocking(move || body::parse::<Document>(&bytes)).await;
        let document = match parsed {
            Ok(document) => document?,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        };
        Ok(Self { principal, dry_run, document })
    }
}

impl From<ApplyError> for Refusal {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Refused(problems) => Self::Invalid(problems),
            ApplyError::Failed(ApplyFailed(error)) => Self::from(error),
        }
    }
}
