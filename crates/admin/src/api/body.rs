//! Bodies: JSON of a known shape, of bounded size; what is wrong with one is said with the path of the field.

use std::error::Error;
use std::future::poll_fn;
use std::iter::successors;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::LengthLimitError;
use serde_json::error::Category;
use tokio::time::timeout;

use super::refusal::Refusal;
use crate::control_plane::ControlPlane;
use crate::serving::TooSlow;
use crate::shape::{Draft, Marks, Misread, Shaped, all_problems, without_position};

pub const MOST_BYTES: usize = 1 << 20;
/// Bodies up to this size are read before anything is decided about the request.
const SMALL_BYTES: u64 = 64 << 10;
/// What is read and thrown away of a body that is too large.
const DISCARDED_BYTES: usize = 16 << 20;
const DISCARDING_AT_MOST: Duration = Duration::from_secs(5);

/// A body that must be there.
pub struct Json<T>(pub T);

/// A body that replaces what there is. It may be what was answered before, edited: what only answers say is passed over.
pub struct Replacement<T>(pub T);

/// A body that may be left out.
pub struct OptionalJson<T>(pub T);

impl<T: Draft> FromRequest<ControlPlane> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &ControlPlane) -> Result<Self, Refusal> {
        parse(&read_json(request).await?).map(Self)
    }
}

impl<T: Draft> FromRequest<ControlPlane> for Replacement<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &ControlPlane) -> Result<Self, Refusal> {
        parse_passing_over(&read_json(request).await?, T::ANSWERED).map(Self)
    }
}

async fn read_json(request: Request) -> Result<Bytes, Refusal> {
    let (parts, body) = request.into_parts();
    require_json(&parts.headers)?;
    read(body, MOST_BYTES).await
}

impl<T: Draft + Default> FromRequest<ControlPlane> for OptionalJson<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &ControlPlane) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let bytes = read(body, MOST_BYTES).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        require_json(&parts.headers)?;
        parse(&bytes).map(Self)
    }
}

/// `application/json`, or a media type that builds on it (RFC 6839 section 3.1).
pub fn require_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json =
        essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    if is_json { Ok(()) } else { Err(Refusal::UnsupportedMediaType) }
}

/// Reads a small body at once. Were it refused unread, for want of a token say, the connection would be closed
/// under a client that is still sending, and the client might see that instead of the answer.
pub async fn read_small_first(request: Request, next: Next) -> Response {
    let is_small = request.body().size_hint().exact().is_some_and(|bytes| bytes <= SMALL_BYTES);
    if !is_small {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    match read(body, MOST_BYTES).await {
        Ok(bytes) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Err(refusal) => refusal.into_response(),
    }
}

pub async fn read(body: Body, most_bytes: usize) -> Result<Bytes, Refusal> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > most_bytes {
        // Most clients read the answer only after they have sent everything.
        discard(body).await;
        return Err(Refusal::BodyTooLarge { most_bytes });
    }
    axum::body::to_bytes(body, most_bytes).await.map_err(|error| {
        if is_caused_by::<LengthLimitError>(&error) {
            Refusal::BodyTooLarge { most_bytes }
        } else if is_caused_by::<TooSlow>(&error) {
            Refusal::BodyTooSlow
        } else {
            Refusal::IncompleteBody
        }
    })
}

async fn discard(mut body: Body) {
    let some = async {
        let mut discarded = 0;
        while discarded < DISCARDED_BYTES
            && let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
        {
            discarded += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    // Whoever sends slowly is not waited for.
    let _ = timeout(DISCARDING_AT_MOST, some).await;
}

/// Syntax is 400; a field of the wrong type, an unknown one, or one that is missing is 422, with all else that is wrong.
pub fn parse<T: Draft>(bytes: &[u8]) -> Result<T, Refusal> {
    parse_passing_over(bytes, &[])
}

fn parse_passing_over<T: Draft>(bytes: &[u8], passed_over: &'static [&'static str]) -> Result<T, Refusal> {
    let read = |marks: &Marks| {
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let value = T::deserialize(Shaped::new(&mut deserializer, marks))?;
        deserializer.end()?;
        Ok(value)
    };
    let mut malformed = None;
    let attempt = |marks: &Marks| {
        read(marks).map_err(|error: serde_json::Error| match error.classify() {
            Category::Data => Misread::Shape(without_position(&error.to_string()).to_owned()),
            Category::Io | Category::Syntax | Category::Eof => {
                malformed = Some(error.to_string());
                Misread::Syntax
            }
        })
    };
    if let Ok(value) = read(&Marks::passing_over(passed_over)) {
        return Ok(value);
    }
    match all_problems(bytes.len(), Marks::passing_over(passed_over), attempt) {
        Some(problems) => Err(Refusal::Invalid(problems)),
        None => Err(Refusal::MalformedBody(malformed.unwrap_or_default())),
    }
}

fn is_caused_by<E: Error + 'static>(error: &axum::Error) -> bool {
    successors(error.source(), |&cause| cause.source()).any(<dyn Error>::is::<E>)
}
