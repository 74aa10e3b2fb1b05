//! Whether what answers at an issuer's `jwks_url` is a JSON Web Key Set: asked once, before it is written. An issuer that does
//! not answer may be down, and is taken at its word.

use std::collections::HashMap;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::ACCEPT;
use axum::http::{Request, StatusCode};
use futures_util::stream::{self, StreamExt};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tokio::time::timeout;
use tollgate_core::Problems;
use tollgate_core::address::Reach;
use tollgate_core::resource::{KeySetUrl, TenantId};
use tollgate_core::token::{BadKeySet, KeySet};

use crate::control_plane::{ControlPlane, Inner};
use crate::edit::EditError;
use crate::outbound::{Outbound, OutboundError};

/// From the name's resolution to the last byte.
const WITHIN: Duration = Duration::from_secs(3);
/// For all of a document's: what is not known by then is taken at its word.
const ALL_WITHIN: Duration = Duration::from_secs(10);
const ASKED_AT_ONCE: usize = 16;
/// As the proxy takes it.
const LONGEST_KEY_SET: usize = 256 << 10;

/// A URL that was not there before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKeySet {
    /// Such as `jwt[0].jwks_url`.
    pub field: String,
    pub url: KeySetUrl,
    pub reach: Reach,
}

#[derive(Debug, thiserror::Error)]
enum NotAKeySet {
    #[error("answers with status {0}, not with a JSON Web Key Set; redirects are not followed")]
    Status(u16),
    #[error("answers with more than {LONGEST_KEY_SET} bytes")]
    TooLarge,
    #[error("answers with something that is not HTTP")]
    NotHttp,
    #[error("does not answer with a JSON Web Key Set: {0}")]
    Other(BadKeySet),
}

/// Asks all of them, each URL once, as a demand of the tenant's where they are one's; the problem of each that is none.
pub async fn check(
    plane: &ControlPlane,
    tenant: Option<TenantId>,
    new: Vec<NewKeySet>,
) -> Result<(), EditError> {
    if new.is_empty() {
        return Ok(());
    }
    let asking = {
        let plane = Arc::clone(&plane.0);
        async move { ask_all(&plane, new).await }
    };
    match tenant {
        Some(tenant) => plane.0.on_demand.begin(tenant)?.carry(asking).await?,
        None => asking.await?,
    }
    Ok(())
}

async fn ask_all(plane: &Inner, new: Vec<NewKeySet>) -> Result<(), Problems> {
    let mut asked: HashMap<String, NewKeySet> = HashMap::new();
    for set in &new {
        asked.entry(set.url.to_string()).or_insert_with(|| set.clone());
    }
    let mut refused = HashMap::new();
    let asking = stream::iter(asked)
        .map(|(url, set)| async move { (url, ask(plane, &set).await) })
        .buffer_unordered(ASKED_AT_ONCE)
        .for_each(|(url, answer)| {
            refused.extend(answer.err().map(|error| (url, error)));
            ready(())
        });
    if timeout(ALL_WITHIN, asking).await.is_err() {
        tracing::warn!("not all new key sets answered in time: those are taken unseen");
    }
    let mut problems = Problems::default();
    for NewKeySet { field, url, .. } in new {
        if let Some(error) = refused.get(&url.to_string()) {
            problems.add(field, error.to_string());
        }
    }
    problems.finish(Some(()))
}

async fn ask(plane: &Inner, set: &NewKeySet) -> Result<(), NotAKeySet> {
    match timeout(WITHIN, fetch(plane, set)).await {
        Ok(answer) => answer,
        Err(_) => Ok(()),
    }
}

async fn fetch(plane: &Inner, set: &NewKeySet) -> Result<(), NotAKeySet> {
    let request = Request::get(set.url.target())
        .header(ACCEPT, "application/json, application/jwk-set+json")
        .body(Full::<Bytes>::default());
    let place = set.url.place();
    let outbound = Outbound { tls: &plane.key_set_tls, allowed: &plane.allow_list, place, reach: set.reach };
    let answer = match request {
        Ok(request) => outbound.send(request).await,
        Err(error) => Err(error.into()),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(OutboundError::Http(error)) if error.is_parse() => return Err(NotAKeySet::NotHttp),
        // Whoever has the key set may be down; and nodes may believe other authorities than this process.
        Err(error) => {
            tracing::info!(place = %place, %error, "a new key set is taken unseen");
            return Ok(());
        }
    };
    if answer.status != StatusCode::OK {
        return Err(NotAKeySet::Status(answer.status.as_u16()));
    }
    match Limited::new(answer.rest, LONGEST_KEY_SET).collect().await {
        // An issuer may have no keys yet.
        Ok(body) => KeySet::parse(&body.to_bytes()).map(drop).map_err(NotAKeySet::Other),
        Err(error) if error.is::<LengthLimitError>() => Err(NotAKeySet::TooLarge),
        Err(_) => Ok(()),
    }
}
