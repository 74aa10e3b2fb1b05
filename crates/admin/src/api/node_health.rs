//! How a service's targets are for a node, as it has said.

use std::time::Instant;

use serde::Serialize;
use tollgate_core::resource::Service;
use utoipa::ToSchema;

use super::said_by::SaidBy;
use super::service_health::{CheckView, HealthStatus, TargetHealthView};
use crate::sighted::{SightedNode, Standing};

/// How a service's targets are for one node.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeHealthView {
    #[serde(flatten)]
    said_by: SaidBy,
    /// `unknown` while it is stale.
    pub status: HealthStatus,
    /// What it said last.
    last_status: HealthStatus,
    /// None while it is stale.
    targets: Vec<NodeTargetHealthView>,
}

/// How one target is for one node.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeTargetHealthView {
    #[schema(format = Uuid)]
    id: String,
    url: String,
    status: HealthStatus,
    /// How long it is still left out for having failed.
    ejected_seconds: Option<u64>,
    /// One that finds the same as the one before may be some 15 seconds older than it could be.
    last_check: Option<CheckView>,
}

impl NodeHealthView {
    pub fn new(node: &SightedNode, service: &Service, now: Instant) -> Self {
        let targets = TargetHealthView::all(service, &node.health(service, now));
        let last_status = HealthStatus::of_all(&targets);
        let (said_by, standing) = SaidBy::new(node, now);
        let (status, targets) = match standing {
            Standing::Current => (last_status, targets),
            Standing::Stale => (HealthStatus::Unknown, Vec::new()),
        };
        Self {
            said_by,
            status,
            last_status,
            targets: targets.into_iter().map(NodeTargetHealthView::from).collect(),
        }
    }
}

impl From<TargetHealthView> for NodeTargetHealthView {
    fn from(view: TargetHealthView) -> Self {
        let TargetHealthView { id, url, status, ejected_seconds, last_check, in_flight: _, history: _ } =
            view;
        Self { id, url, status, ejected_seconds, last_check }
    }
}
