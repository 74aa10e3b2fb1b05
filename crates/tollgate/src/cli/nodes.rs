//! `tollgate nodes`

use anyhow::Result;
use clap::Subcommand;

use super::resource::{PageFlags, Resource, ResourceVerb, Session};

#[derive(Subcommand)]
pub enum Verb {
    /// List the nodes that have connected since the control plane started.
    List(PageFlags),
}

impl ResourceVerb for Verb {
    const RESOURCE: &'static Resource = &Resource {
        path: "/api/nodes",
        columns: &["name", "token", "version", "revision", "lag", "connected", "revoked", "last_seen"],
        fields: &[],
    };

    fn run(self, session: &Session<'_>) -> Result<()> {
        match self {
            Self::List(page) => session.list(page),
        }
    }
}
