//! `/api/nodes`: the nodes as operators see them.

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use serde::Serialize;
use tollgate_core::feed::NodeName;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::authenticate::Administrator;
use super::page::{self, Listing, PageQuery};
use super::refusal::Refusal;
use super::responses::{Administered, Guarded, Listed};
use crate::clock::timestamp;
use crate::control_plane::ControlPlane;
use crate::nodes::NodeState;
use crate::orders::NodeKey;

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A node that is fed, or was.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeView {
    name: String,
    /// Name of the token that it presents.
    token: String,
    version: String,
    /// In force there; 0 before its first, and while it serves what another history has led to, as after an older database was
    /// put back.
    revision: u64,
    /// Revisions that it is behind.
    lag: u64,
    /// Whether it listens to the feed now.
    connected: bool,
    /// Whether its token was revoked: it serves on with what it had then, until it is stopped.
    revoked: bool,
    /// Feeds that it has open: where it stays at more than one, several nodes have one name, and are one line here.
    feeds: usize,
    /// Whether several nodes are known to report under the name, each over what the others have said: give each its own.
    shared: bool,
    #[schema(format = DateTime)]
    last_seen: String,
    /// How often it was sent everything since it started.
    full_syncs: u64,
    /// Changes that it was sent one by one since it started.
    changes: u64,
}

impl NodeView {
    fn new(node: &NodeState, revision: u64) -> Self {
        Self {
            name: node.name.to_string(),
            token: node.token.to_string(),
            version: node.report.version.clone(),
            revision: node.report.revision,
            lag: revision.saturating_sub(node.report.revision),
            connected: node.is_connected(),
            revoked: node.is_cut_off(),
            feeds: node.feeds(),
            shared: node.is_shared(),
            last_seen: timestamp(node.last_seen_secs),
            full_syncs: node.report.full_syncs,
            changes: node.report.changes,
        }
    }
}

/// The page of nodes that a request asks for.
struct Wanted {
    limit: usize,
    after: Option<NodeKey>,
}

impl<S: Sync> FromRequestParts<S> for Wanted {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let (limit, after) = page::wanted(&parts.uri, parse_cursor)?;
        Ok(Self { limit: limit as usize, after })
    }
}

/// A token's id, and a name beside it: what the nodes are in the order of.
fn cursor((token, name): &NodeKey) -> String {
    format!("{}{CURSOR_SEPARATOR}{name}", token.simple())
}

const CURSOR_SEPARATOR: char = '.';

fn parse_cursor(text: &str) -> Option<NodeKey> {
    let (token, name) = text.split_once(CURSOR_SEPARATOR)?;
    Some((Uuid::try_parse(token).ok()?, NodeName::parse(name).ok()?))
}

/// List the nodes
///
/// Those that have connected since the control plane started.
#[utoipa::path(
    get, path = "/api/nodes", tag = "nodes", operation_id = "list_nodes",
    params(PageQuery),
    responses((status = 200, description = "A page", body = Listing<NodeView>), Listed, Administered, Guarded),
)]
async fn list(
    State(plane): State<ControlPlane>,
    _: Administrator,
    Wanted { limit, after }: Wanted,
) -> Result<axum::Json<Listing<NodeView>>, Refusal> {
    let revision = plane.0.snapshot.load().revision();
    let mut nodes = plane.0.nodes.list(after.as_ref(), limit + 1);
    let more = nodes.len() > limit;
    nodes.truncate(limit);
    let next_cursor = nodes.last().filter(|_| more).map(|(key, _)| cursor(key));
    let items = nodes.iter().map(|(_, node)| NodeView::new(node, revision)).collect();
    Ok(axum::Json(Listing { items, next_cursor }))
}
