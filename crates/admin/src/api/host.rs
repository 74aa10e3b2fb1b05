//! `Host`, which every request of HTTP/1.1 has once (RFC 9112 section 3.2).

use axum::extract::Request;
use axum::http::Version;
use axum::http::header::HOST;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::refusal::Refusal;

pub async fn require(request: Request, next: Next) -> Response {
    let hosts = request.headers().get_all(HOST).iter().count();
    let may_lack_one = request.version() < Version::HTTP_11;
    if hosts == 1 || (hosts == 0 && may_lack_one) {
        next.run(request).await
    } else {
        Refusal::BadHost.into_response()
    }
}
