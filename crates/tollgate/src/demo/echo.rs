//! What was sent, as JSON.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, Request};
use axum::http::HeaderMap;
use futures_util::StreamExt;
use serde::Serialize;
use serde_json::{Value, json};

/// How much of a body is sent back; the rest is counted alone.
const ECHOED_BYTES: usize = 64 * 1024;

type Texts = BTreeMap<String, String>;

#[derive(Serialize)]
pub struct Echo {
    method: String,
    path: String,
    args: Texts,
    headers: Texts,
    body_bytes: u64,
    /// The body's first 64 KiB, as far as they are text.
    data: String,
    /// The body, where it is small enough and JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    json: Option<Value>,
    /// Why `body_bytes` is less than what was announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_error: Option<String>,
}

pub async fn request(request: Request) -> Json<Echo> {
    let (head, body) = request.into_parts();
    let args = Query::<Vec<(String, String)>>::try_from_uri(&head.uri).map(|Query(args)| args);
    let received = receive(body).await;
    Json(Echo {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        args: joined(args.unwrap_or_default()),
        headers: fields(&head.headers),
        body_bytes: received.bytes,
        data: String::from_utf8_lossy(&received.start).into_owned(),
        json: received.is_whole().then(|| serde_json::from_slice(&received.start).ok()).flatten(),
        body_error: received.error,
    })
}

pub async fn headers(headers: HeaderMap) -> Json<Value> {
    Json(json!({ "headers": fields(&headers) }))
}

#[derive(Default)]
struct Received {
    bytes: u64,
    start: Vec<u8>,
    error: Option<String>,
}

impl Received {
    fn is_whole(&self) -> bool {
        !self.start.is_empty() && self.bytes == self.start.len() as u64 && self.error.is_none()
    }
}

async fn receive(body: Body) -> Received {
    let mut received = Received::default();
    let mut stream = body.into_data_stream();
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => {
                received.bytes += piece.len() as u64;
                let room = ECHOED_BYTES - received.start.len();
                received.start.extend_from_slice(&piece[..piece.len().min(room)]);
            }
            Err(error) => {
                received.error = Some(error.to_string());
                break;
            }
        }
    }
    received
}

fn fields(headers: &HeaderMap) -> Texts {
    let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    joined(headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect())
}

/// Several values of one name stand behind one another, separated by a comma.
fn joined(pairs: Vec<(String, String)>) -> Texts {
    let mut texts = Texts::new();
    for (name, value) in pairs {
        texts
            .entry(name)
            .and_modify(|earlier| {
                earlier.push_str(", ");
                earlier.push_str(&value);
            })
            .or_insert(value);
    }
    texts
}
