//! The demo upstream: an httpbin-like server to try the gateway on. It says what it was sent, and misbehaves
//! on request.

mod echo;
mod payload;
mod stock;
mod websocket;

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use tokio::net::TcpListener;

const LONGEST_DELAY_SECS: f64 = 30.0;

const INDEX: &str = "\
Tollgate's demo upstream. It answers to:

  GET  /get                     what was sent, as JSON
  POST /post                    the same, with the body
  any  /anything[/...]          the same, any method and path
  GET  /headers                 the request's header fields
  any  /status/{n}              status n (200 to 599)
  any  /delay/{s}               what was sent, after s seconds (at most 30; 0.5 is half a second)
  GET  /stream/{n}              n lines of JSON, one chunk each (at most 10,000)
  GET  /bytes/{n}               n bytes (at most 104,857,600)
  GET  /ws                      a WebSocket that sends back what it gets
  GET  /api/v1/stock-price?ticker=ACME    an invented price
";

/// Serves on `listener` until `stop` is done and the requests of that moment are answered.
pub async fn serve(listener: TcpListener, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    axum::serve(listener, router()).with_graceful_shutdown(stop).await
}

fn router() -> Router {
    Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/get", get(echo::request))
        .route("/post", post(echo::request))
        .route("/anything", any(echo::request))
        .route("/anything/{*path}", any(echo::request))
        .route("/headers", get(echo::headers))
        .route("/status/{status}", any(status))
        .route("/delay/{seconds}", any(delay))
        .route("/stream/{lines}", get(payload::stream))
        .route("/bytes/{count}", get(payload::bytes))
        .route("/ws", any(websocket::echo))
        .route("/api/v1/stock-price", get(stock::price))
        .fallback(|| async { (StatusCode::NOT_FOUND, "Not here; / lists what is.\n") })
}

/// Interim statuses are no answers, so a request for one is refused.
async fn status(Path(status): Path<u16>) -> Response {
    match StatusCode::from_u16(status) {
        Ok(status) if (200..600).contains(&status.as_u16()) => status.into_response(),
        Ok(_) | Err(_) => (StatusCode::BAD_REQUEST, "The status must be 200 to 599.\n").into_response(),
    }
}

async fn delay(Path(seconds): Path<f64>, request: axum::extract::Request) -> Response {
    if !seconds.is_finite() || seconds < 0.0 {
        return (StatusCode::BAD_REQUEST, "The delay must be a number of seconds.\n").into_response();
    }
    tokio::time::sleep(Duration::from_secs_f64(seconds.min(LONGEST_DELAY_SECS))).await;
    echo::request(request).await.into_response()
}
