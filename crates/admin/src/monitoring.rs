//! What monitoring reads: its format, and where it is served when there is no admin API, on a proxy node.

use std::fmt::Write as _;
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

/// What a metric's values do from one reading to the next.
#[derive(Debug, Clone, Copy)]
pub enum MetricKind {
    /// They only grow, but for a new start.
    Counter,
    /// They go up and down.
    Gauge,
}

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

/// A metric with one value.
pub fn push_metric(text: &mut String, name: &str, kind: MetricKind, help: &str, value: u64) {
    begin_metric(text, name, kind, help);
    let _infallible = writeln!(text, "{name} {value}");
}

/// What stands before the values of a metric.
pub fn begin_metric(text: &mut String, name: &str, kind: MetricKind, help: &str) {
    let kind = match kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
    };
    let _infallible = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}
