//! `tollgate node-tokens`

use anyhow::Result;
use clap::Subcommand;

use super::fields::{FieldsBuilder, Source};
use super::resource::{PageFlags, Resource, ResourceVerb, Session};

#[derive(Subcommand)]
pub enum Verb {
    /// Make a node token; it is shown this once.
    Create {
        /// What it is for.
        #[arg(long)]
        name: String,
    },
    /// List node tokens.
    List(PageFlags),
    /// Revoke a node token: its nodes are fed no more, from now on.
    Revoke { id: String },
}

impl ResourceVerb for Verb {
    const RESOURCE: &'static Resource = &Resource {
        path: "/api/node-tokens",
        columns: &["id", "name", "prefix", "created_at"],
        fields: &["name"],
    };

    fn run(self, session: &Session<'_>) -> Result<()> {
        match self {
            Self::Create { name } => {
                session.create(Source::Flags(FieldsBuilder::default().text("name", Some(name)).build()))
            }
            Self::List(page) => session.list(page),
            Self::Revoke { id } => session.delete(&id, "revoked"),
        }
    }
}
