//! `tollgate tenants`

use anyhow::Result;
use clap::Subcommand;

use super::fields::{FieldsBuilder, Whole};
use super::resource::{PageFlags, Resource, ResourceVerb, Session};

#[derive(Subcommand)]
pub enum Verb {
    /// Create a tenant.
    Create {
        /// First segment of every path that reaches its services.
        #[arg(long, required_unless_present = "file")]
        slug: Option<String>,
        /// A name for people.
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        whole: Whole,
    },
    /// List tenants.
    List(PageFlags),
    /// Show a tenant.
    Get { slug: String },
    /// Change a tenant.
    Update {
        slug: String,
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        whole: Whole,
    },
    /// Delete a tenant and everything that it has.
    Delete { slug: String },
}

impl ResourceVerb for Verb {
    const RESOURCE: &'static Resource =
        &Resource { path: "/api/tenants", columns: &["slug", "name"], fields: &["slug", "name"] };

    fn run(self, session: &Session<'_>) -> Result<()> {
        match self {
            Self::Create { slug, name, whole } => {
                let fields = FieldsBuilder::default().text("slug", slug).text("name", name).build();
                session.create(whole.or(fields)?)
            }
            Self::List(page) => session.list(page),
            Self::Get { slug } => session.get(&slug),
            Self::Update { slug, name, whole } => {
                session.update(&slug, whole.or(FieldsBuilder::default().text("name", name).build())?)
            }
            Self::Delete { slug } => session.delete(&slug, "deleted"),
        }
    }
}
