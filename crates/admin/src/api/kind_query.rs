//! The type of event that a list is about.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use tollgate_core::Problems;
use tollgate_core::event::EventKind;
use utoipa::IntoParams;

use super::refusal::Refusal;

/// Which events are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct KindQuery {
    /// The type of event; all where left out.
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// The one kind that a request asks for.
pub struct WantedKind(pub Option<EventKind>);

impl<S: Sync> FromRequestParts<S> for WantedKind {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let Query(KindQuery { kind }) =
            Query::try_from_uri(&parts.uri).map_err(|error| Problems::one("", error.body_text()))?;
        let kind = kind.map(|name| EventKind::parse(&name)).transpose();
        Ok(Self(kind.map_err(|error| Problems::one("type", error.to_string()))?))
    }
}
