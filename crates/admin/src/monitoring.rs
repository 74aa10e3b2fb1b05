//! What monitoring reads where there is no admin API: on a proxy node.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::Listener;

use crate::connection::Connection;
use crate::control_plane::MetricsSource;
use crate::serving::{self, ConnectionLimits};

/// Version 0.0.4 of Prometheus' text format.
pub const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves `/metrics` alone, until `shutdown`.
pub async fn serve_metrics<L>(
    source: MetricsSource,
    listener: L,
    limits: ConnectionLimits,
    shutdown: impl Future<Output = ()> + Send,
) where
    L: Listener,
    L::Addr: Into<Connection>,
{
    let source = Arc::new(source);
    let metrics = move || {
        let text = source();
        async { ([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response() }
    };
    serving::serve(Router::new().route("/metrics", get(metrics)), listener, limits, shutdown).await;
}
