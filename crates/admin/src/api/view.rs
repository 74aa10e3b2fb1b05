//! How stored things are shown.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, ETAG, LOCATION};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tollgate_core::time::rfc3339;
use tollgate_store::Stored;

use super::version::entity_tag;

/// A resource, with its version as the entity tag.
pub struct Shown<V> {
    pub view: V,
    pub version: u64,
}

/// A resource that was made just now.
pub struct Created<V> {
    pub location: String,
    pub shown: Shown<V>,
}

/// An answer that carries a credential: nobody may keep it.
pub struct Secret<R>(pub R);

impl<'s, T, V: From<&'s Stored<T>>> From<&'s Stored<T>> for Shown<V> {
    fn from(stored: &'s Stored<T>) -> Self {
        Self { view: V::from(stored), version: stored.version }
    }
}

impl<V: Serialize> IntoResponse for Shown<V> {
    fn into_response(self) -> Response {
        ([(ETAG, entity_tag(self.version))], Json(self.view)).into_response()
    }
}

impl<V: Serialize> IntoResponse for Created<V> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, [(LOCATION, self.location)], self.shown).into_response()
    }
}

impl<R: IntoResponse> IntoResponse for Secret<R> {
    fn into_response(self) -> Response {
        ([(CACHE_CONTROL, "no-store")], self.0).into_response()
    }
}

/// RFC 3339, in UTC.
pub fn timestamp(secs: u64) -> String {
    rfc3339(secs).into_iter().map(char::from).collect()
}
