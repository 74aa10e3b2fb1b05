//! `tollgate consumers`

use anyhow::Result;
use clap::{Args, Subcommand};

use super::fields::{Fields, FieldsBuilder, Whole};
use super::resource::{PageFlags, Resource, ResourceVerb, Session};

#[derive(Subcommand)]
pub enum Verb {
    /// Create a consumer.
    Create {
        /// What clients send as X-Client-ID.
        #[arg(long, required_unless_present = "file")]
        client_id: Option<String>,
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        whole: Whole,
    },
    /// List consumers.
    List(PageFlags),
    /// Show a consumer.
    Get { client_id: String },
    /// Change a consumer.
    Update {
        client_id: String,
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        whole: Whole,
    },
    /// Delete a consumer.
    Delete { client_id: String },
}

#[derive(Args)]
pub struct Flags {
    /// A name for people; '' for the client id.
    #[arg(long)]
    name: Option<String>,
    /// The plan's slug; '' for none.
    #[arg(long)]
    plan: Option<String>,
    /// When the subscription began, such as 2027-01-31T00:00:00Z: anchored limits count from then.
    #[arg(long, value_name = "TIME")]
    subscribed_at: Option<String>,
}

impl Flags {
    fn fields(self, client_id: Option<String>) -> Fields {
        FieldsBuilder::default()
            .text("client_id", client_id)
            .text("name", self.name)
            .text("plan", self.plan)
            .text("subscribed_at", self.subscribed_at)
            .build()
    }
}

impl ResourceVerb for Verb {
    const RESOURCE: &'static Resource = &Resource {
        path: "/api/consumers",
        columns: &["client_id", "name", "plan", "subscribed_at"],
        fields: &["client_id", "name", "plan", "subscribed_at"],
    };

    fn run(self, session: &Session<'_>) -> Result<()> {
        match self {
            Self::Create { client_id, flags, whole } => session.create(whole.or(flags.fields(client_id))?),
            Self::List(page) => session.list(page),
            Self::Get { client_id } => session.get(&client_id),
            Self::Update { client_id, flags, whole } => {
                session.update(&client_id, whole.or(flags.fields(None))?)
            }
            Self::Delete { client_id } => session.delete(&client_id, "deleted"),
        }
    }
}
