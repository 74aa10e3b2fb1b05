//! `tollgate events`

use anyhow::Result;
use clap::Subcommand;

use super::resource::{PageFlags, Resource, ResourceVerb, Session};

#[derive(Subcommand)]
pub enum Verb {
    /// List what has happened, oldest first.
    List {
        /// Events of this type alone: limit.threshold.
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        #[command(flatten)]
        page: PageFlags,
    },
}

impl ResourceVerb for Verb {
    const RESOURCE: &'static Resource =
        &Resource { path: "/api/events", columns: &["timestamp", "type", "data"], fields: &[] };

    fn run(self, session: &Session<'_>) -> Result<()> {
        let Self::List { kind, page } = self;
        let Resource { path, columns, .. } = Self::RESOURCE;
        session.list_of(path, columns, page, kind.map(|kind| ("type", kind)))
    }
}
