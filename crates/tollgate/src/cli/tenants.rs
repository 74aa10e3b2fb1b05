//! `tollgate tenants`

use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;

use super::fields::{Fields, FieldsBuilder, Whole};
use super::limit::limit;
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
        /// A limit over everything that it has, once for each: 1000000/day.
        #[arg(long, value_name = "LIMIT", value_parser = limit)]
        limit: Vec<Value>,
        #[command(flatten)]
        whole: Whole,
    },
    /// List tenants.
    List(PageFlags),
    /// Show a tenant.
    Get { slug: String },
    /// Change a tenant. Its limits are replaced where any is given; what was counted stays.
    Update {
        slug: String,
        /// A name for people; '' for the slug.
        #[arg(long)]
        name: Option<String>,
        /// Where its days and months begin and end, '' for UTC; periods that run end as they would have.
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
        /// A limit over all that it has, once for each: 100000/day; '' for none.
        #[arg(long, value_name = "LIMIT", value_parser = limit)]
        limit: Vec<Value>,
        #[command(flatten)]
        whole: Whole,
    },
    /// Delete a tenant and everything that it has.
    Delete { slug: String },
}

impl ResourceVerb for Verb {
    const RESOURCE: &'static Resource = &Resource {
        path: "/api/tenants",
        columns: &["slug", "name", "time_zone", "limits"],
        fields: &["slug", "name", "time_zone", "limits"],
    };

    fn run(self, session: &Session<'_>) -> Result<()> {
        match self {
            Self::Create { slug, name, time_zone, limit, whole } => {
                session.create(whole.or(fields(slug, name, time_zone, limit))?)
            }
            Self::List(page) => session.list(page),
            Self::Get { slug } => session.get(&slug),
            Self::Update { slug, name, time_zone, limit, whole } => {
                session.update(&slug, whole.or(fields(None, name, time_zone, limit))?)
            }
            Self::Delete { slug } => session.delete(&slug, "deleted"),
        }
    }
}

fn fields(
    slug: Option<String>,
    name: Option<String>,
    time_zone: Option<String>,
    limits: Vec<Value>,
) -> Fields {
    FieldsBuilder::default()
        .text("slug", slug)
        .text("name", name)
        .text("time_zone", time_zone)
        .list("limits", limits)
        .build()
}
