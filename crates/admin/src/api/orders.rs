//! What became of something that was to be done on every node.

use serde::Serialize;
use tollgate_core::feed::Ordered;
use utoipa::ToSchema;

use crate::control_plane::ControlPlane;
use crate::orders::Told;

/// Whether a node has done it.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeToldView {
    node: String,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Done,
    /// It was told, and has not answered in time.
    Told,
    /// It was not reached, and will not be told later.
    Away,
}

impl NodeToldView {
    /// Has it done, and waits a moment for the nodes' answers.
    pub async fn give(plane: &ControlPlane, what: Ordered) -> Vec<Self> {
        let told = plane.0.orders.give(&plane.0.nodes, what).await;
        told.into_iter().map(|(node, told)| Self { node: node.to_string(), outcome: told.into() }).collect()
    }
}

impl From<Told> for Outcome {
    fn from(told: Told) -> Self {
        match told {
            Told::Done => Self::Done,
            Told::Sent => Self::Told,
            Told::Away => Self::Away,
        }
    }
}
