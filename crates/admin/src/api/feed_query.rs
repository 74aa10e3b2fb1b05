//! What a node says when it asks to be fed.

use serde::Deserialize;
use tollgate_core::Problems;
use tollgate_core::feed::{Epoch, FORMAT, NodeName, Position};
use utoipa::IntoParams;
use uuid::Uuid;

pub const LONGEST_VERSION: usize = 64;

/// Where a node stands.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FeedQuery {
    /// The format that the node reads.
    format: u32,
    /// What the node calls itself.
    node: String,
    /// The node's version of Tollgate.
    version: String,
    /// The revision that it has; everything is sent where it is left out.
    since: Option<u64>,
    /// The epoch of that revision.
    #[param(value_type = Option<String>)]
    epoch: Option<Uuid>,
}

/// What a valid query asks for.
pub struct Asked {
    pub node: NodeName,
    pub version: String,
    pub since: Option<Position>,
}

impl FeedQuery {
    pub fn parse(self) -> Result<Asked, Problems> {
        let mut problems = Problems::default();
        if self.format != FORMAT {
            let message = format!(
                "this control plane speaks format {FORMAT} of the feed and the node format {}: run the same version \
                 of Tollgate on both",
                self.format
            );
            problems.add("format", message);
        }
        let node = problems.check("node", NodeName::parse(&self.node));
        if self.version.len() > LONGEST_VERSION {
            problems.add("version", format!("must have at most {LONGEST_VERSION} characters"));
        }
        let since = self.since.zip(self.epoch);
        let since = since.map(|(revision, epoch)| Position { revision, epoch: Epoch(epoch) });
        problems.finish(node.map(|node| Asked { node, version: self.version, since }))
    }
}
