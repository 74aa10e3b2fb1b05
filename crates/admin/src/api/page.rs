//! Lists, a page at a time.

use axum::extract::{FromRequestParts, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use tollgate_core::Problems;
use tollgate_store::{Page, Paged};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::refusal::Refusal;

const USUAL: u32 = 50;
const MOST: u32 = 500;

/// Which part of a list is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many items at most: 1 to 500, 50 where left out.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The page that a request asks for.
pub struct Wanted(pub Page);

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Listing<T> {
    pub items: Vec<T>,
    /// `cursor` of the next page; null on the last.
    pub next_cursor: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for Wanted {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let (limit, after) = wanted(&parts.uri, |cursor| Uuid::try_parse(cursor).ok())?;
        Ok(Self(Page { after, limit }))
    }
}

/// How many items a request asks for, and after which: `parse` reads a cursor that the list gave.
pub fn wanted<C>(uri: &Uri, parse: impl FnOnce(&str) -> Option<C>) -> Result<(u32, Option<C>), Problems> {
    let Query(query) =
        Query::<PageQuery>::try_from_uri(uri).map_err(|error| Problems::one("", error.body_text()))?;
    let mut problems = Problems::default();
    let limit = query.limit.map_or(Ok(USUAL), |text| parse_limit(&text));
    let limit = problems.check("limit", limit);
    let after = query
        .cursor
        .and_then(|cursor| problems.check("cursor", parse(&cursor).ok_or("is not one that this list gave")));
    problems.finish(limit.map(|limit| (limit, after)))
}

fn parse_limit(text: &str) -> Result<u32, String> {
    let limit = text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
    limit.ok_or_else(|| format!("must be 1 to {MOST}"))
}

impl<R, V: for<'r> From<&'r R>> From<&Paged<R>> for Listing<V> {
    fn from(page: &Paged<R>) -> Self {
        Self {
            items: page.items.iter().map(V::from).collect(),
            next_cursor: page.next.map(|id| id.simple().to_string()),
        }
    }
}
