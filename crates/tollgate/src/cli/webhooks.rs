//! `tollgate webhooks`

use std::path::Path;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::Value;
use ureq::http::Method;

use super::fields::{self, Fields, FieldsBuilder, Whole};
use super::resource::{PageFlags, Resource, ResourceVerb, Session};
use crate::output;
use crate::remote;

#[derive(Subcommand)]
pub enum Verb {
    /// Create a webhook; its secret is shown this once.
    Create {
        /// Where events are sent.
        #[arg(long, required_unless_present = "file")]
        url: Option<String>,
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        whole: Whole,
    },
    /// List webhooks.
    List(PageFlags),
    /// Show a webhook; never its secret.
    Get { id: String },
    /// Change a webhook. What waits to be tried again is tried at once.
    Update {
        id: String,
        /// Where events are sent.
        #[arg(long)]
        url: Option<String>,
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        whole: Whole,
    },
    /// Delete a webhook.
    Delete { id: String },
    /// Send a test event to a webhook, and say what came of it.
    Test { id: String },
    /// List what was sent to a webhook, and what is to be sent.
    Deliveries {
        id: String,
        #[command(flatten)]
        page: PageFlags,
    },
}

#[derive(Args)]
pub struct Flags {
    /// A type of event that it is sent, once for each; all where left out, or '': limit.threshold.
    #[arg(long, value_name = "TYPE")]
    event: Vec<String>,
    /// Read the secret (whsec_…) from standard input; where left out, one is made, or the one that is there stays.
    #[arg(long)]
    secret_stdin: bool,
}

impl Flags {
    fn fields(self, url: Option<String>) -> Result<Fields> {
        let secret = if self.secret_stdin {
            Some(fields::read(Path::new("-"))?.trim_end_matches(['\r', '\n']).to_owned())
        } else {
            None
        };
        Ok(FieldsBuilder::default()
            .text("url", url)
            .list("events", self.event.into_iter().map(Value::String).collect())
            .text("secret", secret)
            .build())
    }
}

/// A delivery's.
const COLUMNS: &[&str] = &["event_id", "type", "state", "attempts", "status", "error", "next_attempt_at"];

impl ResourceVerb for Verb {
    const RESOURCE: &'static Resource = &Resource {
        path: "/api/webhooks",
        columns: &["id", "url", "events"],
        fields: &["url", "events", "secret"],
    };

    fn run(self, session: &Session<'_>) -> Result<()> {
        match self {
            Self::Create { url, flags, whole } => {
                session.create(whole.or(flags.fields(url)?)?)?;
                // On standard error, so that what is piped on stays a table.
                if !session.json {
                    output::error("Keep the secret now: it cannot be shown again.");
                }
                Ok(())
            }
            Self::List(page) => session.list(page),
            Self::Get { id } => session.get(&id),
            Self::Update { id, url, flags, whole } => session.update(&id, whole.or(flags.fields(url)?)?),
            Self::Delete { id } => session.delete(&id, "deleted"),
            Self::Test { id } => {
                let call = session.call(Method::POST, format!("{}/test", session.path_of(&id)));
                let answer = session.api.call(call)?;
                if session.json {
                    output::line(&answer.body.to_string())?;
                } else {
                    output::text(&remote::record(&answer.body, COLUMNS))?;
                }
                Ok(())
            }
            Self::Deliveries { id, page } => {
                session.list_of(&format!("{}/deliveries", session.path_of(&id)), COLUMNS, page, None)
            }
        }
    }
}
