//! `tollgate plans`

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::fields::{Fields, FieldsBuilder, Whole};
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
    /// A name for people.
    #[arg(long)]
    name: Option<String>,
    #[arg(
        long,
        value_name = "LIMIT",
        value_parser = limit,
        help = "A limit, once for each: 5/minute, 1000/minute:burst=500, 10/10s:algorithm=sliding_window, \
                100/month:anchor=subscription; periods are second, minute, hour, day, month, or a duration"
    )]
    limit: Vec<Value>,
}

impl Flags {
    fn fields(self, slug: Option<String>) -> Fields {
        FieldsBuilder::default().text("slug", slug).text("name", self.name).list("limits", self.limit).build()
    }
}

fn limit(text: &str) -> Result<Value, String> {
    let mut parts = text.split(':');
    let (requests, per) =
        parts.next().and_then(|rate| rate.split_once('/')).ok_or("it is written 5/minute")?;
    let number =
        |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?} is not a whole number of requests"));
    let mut limit = json!({ "requests": number(requests)?, "per": per });
    for part in parts {
        match part.split_once('=') {
            Some(("burst", burst)) => limit["burst"] = number(burst)?.into(),
            Some((field @ ("algorithm" | "anchor"), name)) => limit[field] = name.into(),
            Some(_) | None => {
                return Err(format!("{part:?} is none of burst=N, algorithm=NAME, anchor=NAME"));
            }
        }
    }
    Ok(limit)
}

impl ResourceVerb for Verb {
    const RESOURCE: &'static Resource = &Resource {
        path: "/api/plans",
        columns: &["slug", "name", "limits"],
        fields: &["slug", "name", "limits"],
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_documented() {
        assert_eq!(limit("5/minute"), Ok(json!({"requests": 5, "per": "minute"})));
        assert_eq!(
            limit("10/10s:burst=20:algorithm=token_bucket"),
            Ok(json!({"requests": 10, "per": "10s", "burst": 20, "algorithm": "token_bucket"}))
        );
        let anchored = json!({"requests": 9, "per": "month", "anchor": "subscription"});
        assert_eq!(limit("9/month:anchor=subscription"), Ok(anchored));
        for bad in ["5", "five/minute", "5/minute:20", "5/minute:burst=x", ""] {
            assert!(limit(bad).is_err(), "{bad}");
        }
    }
}
