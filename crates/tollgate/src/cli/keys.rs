//! `tollgate keys`

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};
use ureq::http::Method;

use super::fields::{FieldsBuilder, Whole};
use super::limit::limit;
use super::resource::{PageFlags, Resource, ResourceVerb, Session};
use crate::output;

#[derive(Subcommand)]
pub enum Verb {
    /// Create a key, which is shown this once.
    Create {
        /// A name for people; declarative files match keys by it.
        #[arg(long, required_unless_present = "file")]
        name: Option<String>,
        /// Slug of the plan whose limits apply; the consumer's plan goes before it.
        #[arg(long)]
        plan: Option<String>,
        /// Client id of the one consumer that the key speaks for.
        #[arg(long)]
        consumer: Option<String>,
        /// When the key expires, such as 2027-01-31T00:00:00Z.
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        /// When the subscription began: anchored limits count from then; now where left out.
        #[arg(long, value_name = "TIME")]
        subscribed_at: Option<String>,
        /// A service that the key opens, once for each; all where left out.
        #[arg(long, value_name = "SLUG")]
        service: Vec<String>,
        /// A network in CIDR notation from which the key may be used, once for each; anywhere where left out.
        #[arg(long, value_name = "NETWORK")]
        allow_ip: Vec<String>,
        /// What the key begins with: live for `tg_live_`, test for `tg_test_`.
        #[arg(long, value_name = "live|test")]
        environment: Option<String>,
        /// A limit of this key alone, besides its plan's, once for each: 5/minute.
        #[arg(long, value_name = "LIMIT", value_parser = limit)]
        limit: Vec<Value>,
        #[command(flatten)]
        whole: Whole,
    },
    /// List keys.
    List(PageFlags),
    /// Show a key's particulars; never the key itself.
    Get { id: String },
    /// Replace a key by a new one, which is shown this once.
    Rotate {
        id: String,
        /// How long the old one stays good as well; 24h where left out, 0s for not at all.
        #[arg(long, value_name = "DURATION")]
        grace: Option<String>,
    },
    /// Revoke a key at once.
    Revoke { id: String },
}

impl ResourceVerb for Verb {
    const RESOURCE: &'static Resource = &Resource {
        path: "/api/keys",
        columns: &["id", "name", "prefix", "environment", "plan", "consumer", "expires_at", "last_used_at"],
        fields: &[
            "name",
            "plan",
            "consumer",
            "expires_at",
            "subscribed_at",
            "services",
            "routes",
            "allow_ips",
            "environment",
            "limits",
        ],
    };

    fn run(self, session: &Session<'_>) -> Result<()> {
        match self {
            Self::Create {
                name,
                plan,
                consumer,
                expires_at,
                subscribed_at,
                service,
                allow_ip,
                environment,
                limit,
                whole,
            } => {
                let fields = FieldsBuilder::default()
                    .text("name", name)
                    .text("plan", plan)
                    .text("consumer", consumer)
                    .text("expires_at", expires_at)
                    .text("subscribed_at", subscribed_at)
                    .list("services", service.into_iter().map(Value::String).collect())
                    .list("allow_ips", allow_ip.into_iter().map(Value::String).collect())
                    .text("environment", environment)
                    .list("limits", limit)
                    .build();
                session.create(whole.or(fields)?)?;
                say_shown_once(session);
                Ok(())
            }
            Self::List(page) => session.list(page),
            Self::Get { id } => session.get(&id),
            Self::Rotate { id, grace } => {
                let mut call = session.call(Method::POST, format!("{}/rotate", session.path_of(&id)));
                call.body = grace.map(|grace| json!({ "grace": grace }).to_string().into_bytes());
                session.show(&session.api.call(call)?)?;
                say_shown_once(session);
                Ok(())
            }
            Self::Revoke { id } => session.delete(&id, "revoked"),
        }
    }
}

/// On standard error, so that what is piped on stays a table.
fn say_shown_once(session: &Session<'_>) {
    if !session.json {
        output::error("Keep the key now: it is not stored and cannot be shown again.");
    }
}
