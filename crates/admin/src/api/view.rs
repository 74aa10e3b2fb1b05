//! How stored things are shown.

use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tollgate_store::Stored;

use super::version::Version;

/// A resource, with an entity tag.
pub struct Shown<V> {
    pub view: V,
    pub version: Version,
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
        Self { view: V::from(stored), version: Version::of(stored) }
    }
}

impl<V: Serialize> IntoResponse for Shown<V> {
    fn into_response(self) -> Response {
        // A view always serialises.
        let body = serde_json::to_vec(&self.view).unwrap_or_default();
        let headers = [(ETAG, self.version.entity_tag(&body)), (CONTENT_TYPE, "application/json".to_owned())];
        (headers, body).into_response()
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

/// Rounded up.
pub fn whole_secs(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
