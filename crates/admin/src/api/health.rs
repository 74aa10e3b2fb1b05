//! Health checks of the control plane, without authentication.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::control_plane::ControlPlane;

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(live)).routes(routes!(ready))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct HealthView {
    status: Health,
    /// Revision of the resources in force.
    revision: u64,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    Ok,
    /// The database does not answer; the proxy goes on with what it has.
    DatabaseUnavailable,
    /// The process was told to end: what is under way goes on for as long as the grace lasts.
    Draining,
}

/// Whether all is well
#[utoipa::path(
    get, path = "/health", tag = "health", operation_id = "health", security(()),
    responses(
        (status = 200, description = "All is well", body = HealthView),
        (status = 503, description = "The database does not answer, or the process is about to end", body = HealthView),
    ),
)]
async fn health(State(plane): State<ControlPlane>) -> (StatusCode, axum::Json<HealthView>) {
    checked(&plane).await
}

/// Whether the process answers
#[utoipa::path(
    get, path = "/health/live", tag = "health", operation_id = "live", security(()),
    responses((status = 200, description = "It does", body = HealthView)),
)]
async fn live(State(plane): State<ControlPlane>) -> axum::Json<HealthView> {
    axum::Json(view(&plane, Health::Ok))
}

/// Whether the control plane can do its work
#[utoipa::path(
    get, path = "/health/ready", tag = "health", operation_id = "ready", security(()),
    responses(
        (status = 200, description = "It can", body = HealthView),
        (status = 503, description = "The database does not answer, or the process is about to end", body = HealthView),
    ),
)]
async fn ready(State(plane): State<ControlPlane>) -> (StatusCode, axum::Json<HealthView>) {
    checked(&plane).await
}

async fn checked(plane: &ControlPlane) -> (StatusCode, axum::Json<HealthView>) {
    if plane.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, axum::Json(view(plane, Health::Draining)));
    }
    let answer = match plane.0.store.read().await {
        Ok(mut read) => read.revision().await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(_) => (StatusCode::OK, axum::Json(view(plane, Health::Ok))),
        Err(error) => {
            tracing::error!(%error, "the database does not answer");
            (StatusCode::SERVICE_UNAVAILABLE, axum::Json(view(plane, Health::DatabaseUnavailable)))
        }
    }
}

fn view(plane: &ControlPlane, status: Health) -> HealthView {
    HealthView { status, revision: plane.0.snapshot.load().revision() }
}
