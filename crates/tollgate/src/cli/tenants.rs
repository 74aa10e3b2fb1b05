//! `tollgate tenants`

use anyhow::Result;
use clap::Subcommand;

use super::fields::{Fields, FieldsBuilder, Whole};
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
        /// Where its days and months begin and end, such as Europe/Berlin; UTC where left out.
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
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
        /// Where its days and months begin and end; periods that run end as they would have.
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
        #[command(flatten)]
        whole: Whole,
    },
    /// Delete a tenant and everything that it has.
    Delete { slug: String },
}

impl ResourceVerb for Verb {
    const RESOURCE: &'static Resource = &Resource {
        path: "/api/tenants",
        columns: &["slug", "name", "time_zone"],
        fields: &["slug", "name", "time_zone"],
    };

    fn run(self, session: &Session<'_>) -> Result<()> {
        match self {
            Self::Create { slug, name, time_zone, whole } => {
                session.create(whole.or(fields(slug, name, time_zone))?)
            }
            Self::List(page) => session.list(page),
            Self::Get { slug } => session.get(&slug),
            Self::Update { slug, name, time_zone, whole } => {
                session.update(&slug, whole.or(fields(None, name, time_zone))?)
            }
            Self::Delete { slug } => session.delete(&slug, "deleted"),
        }
    }
}

fn fields(slug: Option<String>, name: Option<String>, time_zone: Option<String>) -> Fields {
    FieldsBuilder::default().text("slug", slug).text("name", name).text("time_zone", time_zone).build()
}
