//! `/api/node`: what a node asks and tells. Nothing here is for people.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode, Uri};
use axum::response::IntoResponse;
use futures_util::stream;
use serde::Deserialize;
use tollgate_core::Problems;
use tollgate_core::credential::KeyHash;
use tollgate_core::event::LimitCrossed;
use tollgate_core::feed::{Epoch, NodeName, Position};
use tollgate_core::resource::KeyId;
use tollgate_core::sighting::SightingReport;
use tollgate_core::usage::KeyUsage;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::Peer;
use super::authenticate::bearer_token;
use super::body::Json;
use super::feed_query::{Asked, FeedQuery, LONGEST_VERSION};
use super::refusal::Refusal;
use super::responses::{Guarded, Guessed, Sent};
use crate::clock;
use crate::connection::{ClientCertificate, Connection};
use crate::control_plane::ControlPlane;
use crate::feed;
use crate::nodes::{BadNodeToken, Lease, NodeReport};
use crate::reports::{self, Kept, KeyUses};
use crate::shape::Draft;

/// Of a key in one report.
const MOST_REQUESTS: u64 = 1 << 40;
const CERTIFICATE_MISSING: &str =
    "nodes have to show a client certificate here: control.cert and control.key name the node's";
/// Has nginx and its like pass on every piece as it comes: a feed has no end to wait for.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");
const FEED_TYPE: &str = "application/vnd.tollgate.feed";

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new().routes(routes!(feed)).routes(routes!(status))
}

/// Whoever presents a good node token, and a certificate where nodes are asked for one.
pub struct Node(Lease);

impl FromRequestParts<ControlPlane> for Node {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, plane: &ControlPlane) -> Result<Self, Refusal> {
        match parts.extensions.get::<ConnectInfo<Connection>>() {
            Some(ConnectInfo(Connection { certificate: ClientCertificate::Missing, .. })) => {
                return Err(Refusal::Forbidden(CERTIFICATE_MISSING));
            }
            Some(ConnectInfo(Connection {
                certificate: ClientCertificate::NotAskedFor | ClientCertificate::Verified,
                ..
            }))
            | None => {}
        }
        let token = KeyHash::of(bearer_token(parts)?.as_bytes());
        let Ok(Peer(peer)) = Peer::from_request_parts(parts, plane).await;
        match plane.0.nodes.authenticate(&token, peer) {
            Ok(lease) => Ok(Self(lease)),
            Err(BadNodeToken::Unknown) => Err(Refusal::BadToken),
            Err(BadNodeToken::TooMany(too_many)) => {
                Err(Refusal::TooManyAttempts { retry_after_secs: too_many.retry_after_secs })
            }
        }
    }
}

/// Feed a node
///
/// What the node has not got yet, then every change as it is committed, for as long as the connection lasts.
#[utoipa::path(
    get, path = "/api/node/feed", tag = "nodes", operation_id = "feed_node",
    params(FeedQuery),
    responses(
        (status = 200, description = "Frames without an end", content_type = FEED_TYPE, body = [u8],
         headers(
             ("Cache-Control" = String, description = "`no-store`"),
             ("X-Accel-Buffering" = String, description = "`no`: what proxies on the way get, they pass on"),
         )),
        Sent, Guessed, Guarded,
    ),
)]
async fn feed(
    State(plane): State<ControlPlane>,
    Node(lease): Node,
    uri: Uri,
) -> Result<impl IntoResponse, Refusal> {
    let Query(query) =
        Query::<FeedQuery>::try_from_uri(&uri).map_err(|error| Problems::one("", error.body_text()))?;
    let Asked { node, version, since } = query.parse()?;
    let revision = since.map_or(0, |position| plane.0.feed.revision_of(position));
    let (connected, orders) = plane.0.nodes.connect(lease, node, version, revision);
    let pieces = feed::open(Arc::clone(&plane.0), connected, orders, since);
    let body = Body::from_stream(stream::unfold(pieces, |mut pieces| async {
        pieces.next().await.map(|piece| (Ok::<_, Infallible>(piece), pieces))
    }));
    let headers = [(CONTENT_TYPE, FEED_TYPE), (CACHE_CONTROL, "no-store"), (UNBUFFERED, "no")];
    Ok((headers, body))
}

/// What a node reports. A newer node may say more than this control plane knows of.
#[derive(Debug, Deserialize, ToSchema)]
struct StatusDraft {
    /// What the node calls itself.
    node: String,
    /// The node's version of Tollgate.
    version: String,
    /// In force there.
    revision: u64,
    /// The epoch of that revision. Older nodes do not say it, and are taken to have this control plane's history.
    epoch: Option<Uuid>,
    /// How often it was sent everything since it started.
    full_syncs: u64,
    /// Changes that it was sent one by one since it started.
    changes: u64,
    /// Made up by the node when it starts; kept over a restart where something was left to say.
    session: Uuid,
    /// Of `key_uses`, ascending within a session: what was taken under a number is not taken again.
    number: u64,
    key_uses: Vec<KeyUseDraft>,
    /// Thresholds of limits that were reached. Each is kept once, however often it is told.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    limits_crossed: Vec<LimitCrossed>,
    /// What has changed with services, and which orders are done.
    #[schema(value_type = Option<Object>)]
    traffic: Option<SightingReport>,
}

impl Draft for StatusDraft {}

/// How a key was used on a node, since the number before.
#[derive(Debug, Deserialize, ToSchema)]
struct KeyUseDraft {
    #[schema(value_type = Uuid)]
    key: KeyId,
    /// Seconds since the epoch.
    last_used_secs: u64,
    /// Requests that the key identified, those that were refused among them.
    requests: u64,
    /// Requests that were refused for what the key may do, or for its limits.
    rejections: u64,
}

/// Report where a node stands
#[utoipa::path(
    post, path = "/api/node/status", tag = "nodes", operation_id = "report_node_status",
    request_body = StatusDraft,
    responses((status = 204, description = "It is noted"), Sent, Guessed, Guarded),
)]
async fn status(
    State(plane): State<ControlPlane>,
    Node(lease): Node,
    Json(draft): Json<StatusDraft>,
) -> Result<StatusCode, Refusal> {
    let StatusDraft {
        node,
        mut version,
        revision,
        epoch,
        full_syncs,
        changes,
        session,
        number,
        key_uses,
        limits_crossed,
        traffic,
    } = draft;
    let name = NodeName::parse(&node).map_err(|error| Problems::one("node", error.to_string()))?;
    if let Some(Err(error)) = traffic.as_ref().map(SightingReport::check) {
        return Err(Problems::one("traffic", error.to_string()).into());
    }
    version.truncate(version.floor_char_boundary(LONGEST_VERSION));
    let position = epoch.map(|epoch| Position { revision, epoch: Epoch(epoch) });
    let revision = position.map_or(revision, |position| plane.0.feed.revision_of(position));
    let report = NodeReport { version, revision, full_syncs, changes };
    let now_secs = clock::now_secs();
    let used: Vec<_> = key_uses.into_iter().map(|draft| draft.usage(now_secs)).collect();
    plane.0.nodes.report(&lease, &name, session, report);
    let done = traffic.as_ref().map(|traffic| traffic.done.clone()).unwrap_or_default();
    if let Some(traffic) = traffic {
        plane.0.nodes.sight(&lease, &name, traffic, &plane.0.snapshot.load());
    }
    // Whoever waits for it sees what there is to see since.
    plane.0.orders.note_done(&(lease.token(), name), &done);
    // A node that is told of a failure tells everything again, and nothing of it counts twice.
    plane.keep_crossings(&limits_crossed).await?;
    if !used.is_empty() {
        match reports::keep(&plane.0, KeyUses { token: lease.token(), session, number, used }).await? {
            Kept::Written => {}
            Kept::TokenGone => return Err(Refusal::BadToken),
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

impl KeyUseDraft {
    /// A node's clock may be ahead of this one, and no number that a node makes up may outgrow what is kept.
    fn usage(self, now_secs: u64) -> (KeyId, KeyUsage) {
        let Self { key, last_used_secs, requests, rejections } = self;
        let usage = KeyUsage {
            last_used_secs: last_used_secs.min(now_secs),
            requests: requests.min(MOST_REQUESTS),
            rejections: rejections.min(MOST_REQUESTS),
        };
        (key, usage)
    }
}
