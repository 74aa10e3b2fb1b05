//! The part of a path that names a thing.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::refusal::Refusal;

/// What stands in the path's one variable segment.
pub struct Named(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        // What does not decode names nothing that there is.
        let Path(name) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Refusal::NoSuchPath(parts.uri.path().to_owned()))?;
        Ok(Self(name))
    }
}
