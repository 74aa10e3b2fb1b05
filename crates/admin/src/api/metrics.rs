//! What monitoring reads, without authentication: nothing in it is a tenant's.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::control_plane::ControlPlane;
use crate::monitoring::{MetricKind, TEXT_FORMAT, push_metric};

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// What this process measures of itself, for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "health", operation_id = "metrics", security(()),
    responses((status = 200, description = "In Prometheus' text format", body = String, content_type = "text/plain")),
)]
async fn metrics(State(plane): State<ControlPlane>) -> Response {
    let mut text = plane.0.metrics.as_ref().map_or_else(String::new, |source| source());
    let mut gauge = |name: &str, help: &str, value: u64| {
        push_metric(&mut text, name, MetricKind::Gauge, help, value);
    };
    gauge("tollgate_revision", "Of the configuration that is in force.", plane.0.snapshot.load().revision());
    gauge("tollgate_nodes_connected", "Proxy nodes that are fed.", plane.0.nodes.connected());
    ([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response()
}
