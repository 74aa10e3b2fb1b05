//! What monitoring reads, without authentication: nothing in it is a tenant's.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::control_plane::ControlPlane;

/// Version 0.0.4 of Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// What this process measures of itself, for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "health", operation_id = "metrics", security(()),
    responses((status = 200, description = "In Prometheus' text format", body = String, content_type = "text/plain")),
)]
async fn metrics(State(plane): State<ControlPlane>) -> Response {
    let text = plane.0.metrics.as_ref().map_or_else(String::new, |source| source());
    ([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response()
}
