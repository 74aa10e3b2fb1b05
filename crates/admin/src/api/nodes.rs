//! `/api/nodes`: the nodes as operators see them.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::authenticate::Administrator;
use super::page::Listing;
use super::refusal::Refusal;
use super::responses::{Administered, Guarded};
use crate::clock::timestamp;
use crate::control_plane::ControlPlane;
use crate::nodes::NodeState;

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
    /// In force there; 0 before its first.
    revision: u64,
    /// Revisions that it is behind.
    lag: u64,
    /// Whether it listens to the feed now.
    connected: bool,
    /// Whether its token was revoked: it serves on with what it had then, until it is stopped.
    revoked: bool,
    /// Feeds that it has open: where it stays at more than one, several nodes have one name, and are one line here.
    feeds: usize,
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
            last_seen: timestamp(node.last_seen_secs),
            full_syncs: node.report.full_syncs,
            changes: node.report.changes,
        }
    }
}

/// List the nodes
///
/// All of them, in one page: those that have connected since the control plane started.
#[utoipa::path(
    get, path = "/api/nodes", tag = "nodes", operation_id = "list_nodes",
    responses((status = 200, description = "The nodes", body = Listing<NodeView>), Administered, Guarded),
)]
async fn list(
    State(plane): State<ControlPlane>,
    _: Administrator,
) -> Result<axum::Json<Listing<NodeView>>, Refusal> {
    let revision = plane.0.snapshot.load().revision();
    let items = plane.0.nodes.list().iter().map(|node| NodeView::new(node, revision)).collect();
    Ok(axum::Json(Listing { items, next_cursor: None }))
}
