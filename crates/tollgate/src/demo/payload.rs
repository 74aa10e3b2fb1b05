//! Bodies to order: many chunks, or many bytes, made as they are sent.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::json;

const MOST_LINES: u64 = 10_000;
const MOST_BYTES: u64 = 100 * 1024 * 1024;
const PIECE: &[u8] = &[b'.'; 64 * 1024];

pub async fn stream(Path(lines): Path<u64>) -> Response {
    if lines > MOST_LINES {
        return (StatusCode::BAD_REQUEST, "At most 10,000 lines.\n").into_response();
    }
    let line = |id| Ok::<_, Infallible>(Bytes::from(format!("{}\n", json!({ "id": id }))));
    let body = Body::from_stream(stream::iter(0..lines).map(line));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

pub async fn bytes(Path(count): Path<u64>) -> Response {
    if count > MOST_BYTES {
        return (StatusCode::BAD_REQUEST, "At most 104,857,600 bytes.\n").into_response();
    }
    let pieces = stream::unfold(count, |left| async move {
        let piece = usize::try_from(left).map_or(PIECE.len(), |left| left.min(PIECE.len()));
        (piece > 0).then(|| (Ok::<_, Infallible>(Bytes::from_static(&PIECE[..piece])), left - piece as u64))
    });
    let head = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, count.to_string()),
    ];
    (head, Body::from_stream(pieces)).into_response()
}
