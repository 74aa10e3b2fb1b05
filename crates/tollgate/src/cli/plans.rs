//! `tollgate plans`

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::fields::{Fields, FieldsBuilder, Whole, number};
use super::limit::limit;
use super::resource::{PageFlags, Resource, ResourceVerb, Session};

#[derive(Subcommand)]
pub enum Verb {
    /// Create a plan.
    Create {
        /// What keys and consumers name it by.
        #[arg(long, required_unless_present = "file")]
        slug: Option<String>,
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        whole: Whole,
    },
    /// List plans.
    List(PageFlags),
    /// Show a plan.
    Get { slug: String },
    /// Change a plan. Its limits are replaced where any is given; what was counted stays.
    Update {
        slug: String,
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        whole: Whole,
    },
    /// Delete a plan.
    Delete { slug: String },
}

#[derive(Args)]
pub struct Flags {
    /// A name for people; '' for the slug.
    #[arg(long)]
    name: Option<String>,
    #[arg(
        long,
        value_name = "LIMIT",
        value_parser = limit,
        help = "A limit, once for each: 5/minute, 1000/minute:burst=500, 10/10s:algorithm=sliding_window, \
                100/month:anchor=subscription, 100/month:thresholds=80+100:overage=allow; periods are second, minute, hour, day, month, or a duration"
    )]
    limit: Vec<Value>,
    /// Most requests that a caller may have under way at once; '' for any number.
    #[arg(long, value_name = "NUMBER", value_parser = number)]
    concurrency: Option<Value>,
    #[arg(
        long,
        value_name = "MODE",
        help = "Where nodes share a counter store: leased (each decides out of slices that the store grants), exact \
                (the store decides on every request), local (each counts alone); '' for the default [default: leased]"
    )]
    counting: Option<String>,
    /// While the store cannot be reached: local (each node keeps to its share), allow, deny; '' for the default [default: local]
    #[arg(long, value_name = "POLICY")]
    on_unavailable: Option<String>,
}

impl Flags {
    fn fields(self, slug: Option<String>) -> Fields {
        FieldsBuilder::default()
            .text("slug", slug)
            .text("name", self.name)
            .list("limits", self.limit)
            .value("concurrency", self.concurrency)
            .text("counting", self.counting)
            .text("on_unavailable", self.on_unavailable)
            .build()
    }
}

impl ResourceVerb for Verb {
    const RESOURCE: &'static Resource = &Resource {
        path: "/api/plans",
        columns: &["slug", "name", "limits", "concurrency", "counting", "on_unavailable"],
        fields: &["slug", "name", "limits", "concurrency", "counting", "on_unavailable"],
    };

    fn run(self, session: &Session<'_>) -> Result<()> {
        match self {
            Self::Create { slug, flags, whole } => session.create(whole.or(flags.fields(slug))?),
            Self::List(page) => session.list(page),
            Self::Get { slug } => session.get(&slug),
            Self::Update { slug, flags, whole } => session.update(&slug, whole.or(flags.fields(None))?),
            Self::Delete { slug } => session.delete(&slug, "deleted"),
        }
    }
}
