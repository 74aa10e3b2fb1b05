//! `tollgate services`

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::fields::{Fields, FieldsBuilder, Whole, is_empty, named, number};
use super::limit::limit;
use super::resource::{PageFlags, Resource, ResourceVerb, Session};

#[derive(Subcommand)]
pub enum Verb {
    /// Create a service.
    Create {
        /// Second segment of every path that reaches it.
        #[arg(long, required_unless_present = "file")]
        slug: Option<String>,
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        whole: Whole,
    },
    /// List services.
    List(PageFlags),
    /// Show a service.
    Get { service: String },
    /// Change a service. Its targets are replaced where any is given, and its timeouts where any is.
    Update {
        service: String,
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        whole: Whole,
    },
    /// Delete a service.
    Delete { service: String },
}

#[derive(Args)]
pub struct Flags {
    /// A name for people; '' for the slug.
    #[arg(long)]
    name: Option<String>,
    /// The upstream, where there is one.
    #[arg(long, value_parser = url)]
    url: Option<String>,
    /// An upstream and its share of the requests, once for each.
    #[arg(long, value_name = "URL[=WEIGHT]", conflicts_with = "url", value_parser = target)]
    target: Vec<Value>,
    /// The header that carries the API key; '' for the usual one (X-API-Key).
    #[arg(long, value_name = "NAME")]
    auth_header: Option<String>,
    /// Largest request body; '' for the usual one.
    #[arg(long, value_name = "BYTES", value_parser = number)]
    max_body_bytes: Option<Value>,
    #[arg(
        long,
        value_name = "NAME=DURATION",
        value_parser = timeout,
        help = "connect, first_byte, idle or total, and a duration, once for each: connect=2s; '' for the usual ones"
    )]
    timeout: Vec<(String, Value)>,
    /// A limit over all callers together, once for each: 1000/minute; '' for none.
    #[arg(long, value_name = "LIMIT", value_parser = limit)]
    limit: Vec<Value>,
    /// A limit of each client address, once for each; '' for none.
    #[arg(long, value_name = "LIMIT", value_parser = limit)]
    ip_limit: Vec<Value>,
    /// Lets requests without a key through, and limits each client address that sends them, once for each limit; '' for
    /// none of them.
    #[arg(long, value_name = "LIMIT", value_parser = limit)]
    anonymous_limit: Vec<Value>,
    /// The response field in which the upstream says what the request has cost; '' for none.
    #[arg(long, value_name = "NAME")]
    cost_header: Option<String>,
    /// Whether the charge is given back where the answer is a 5xx.
    #[arg(long, value_name = "BOOLEAN")]
    refund_on_failure: Option<bool>,
}

impl Flags {
    fn fields(self, slug: Option<String>) -> Result<Fields> {
        let targets = self.url.map_or(self.target, |url| vec![json!({ "url": url })]);
        let anonymous = match &self.anonymous_limit[..] {
            [] => None,
            [only] if is_empty(only) => Some(only.clone()),
            limits => Some(json!({ "limits": limits })),
        };
        let fields = FieldsBuilder::default()
            .text("slug", slug)
            .text("name", self.name)
            .list("targets", targets)
            .text("auth_header", self.auth_header)
            .value("max_body_bytes", self.max_body_bytes)
            .value("timeouts", named("--timeout", self.timeout)?)
            .list("limits", self.limit)
            .list("ip_limits", self.ip_limit)
            .value("anonymous", anonymous)
            .text("cost_header", self.cost_header)
            .value("refund_on_failure", self.refund_on_failure)
            .build();
        Ok(fields)
    }
}

/// There is always one: nothing takes it away.
fn url(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("an upstream's URL stands here".to_owned()) } else { Ok(text.to_owned()) }
}

fn target(text: &str) -> Result<Value, String> {
    match text.rsplit_once('=') {
        None => Ok(json!({ "url": url(text)? })),
        Some((upstream, weight)) => {
            let url = url(upstream)?;
            let weight = weight.parse::<u32>();
            let weight = weight.map_err(|_| format!("a weight is a whole number, as in {url}=3"))?;
            Ok(json!({ "url": url, "weight": weight }))
        }
    }
}

fn timeout(text: &str) -> Result<(String, Value), String> {
    if text.is_empty() {
        return Ok((String::new(), Value::Null));
    }
    let named = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, duration) = named.ok_or("it is written connect=2s")?;
    Ok((name.to_owned(), duration.into()))
}

impl ResourceVerb for Verb {
    const RESOURCE: &'static Resource = &Resource {
        path: "/api/services",
        columns: &["slug", "name", "targets", "auth_header"],
        fields: &[
            "slug",
            "name",
            "targets",
            "auth_header",
            "timeouts",
            "max_body_bytes",
            "jwt",
            "limits",
            "ip_limits",
            "rules",
            "anonymous",
            "cost_header",
            "refund_on_failure",
            "balancer",
            "failure_on",
            "breaker",
            "outlier",
            "retries",
            "health_check",
            "channel",
            "hedging",
        ],
    };

    fn run(self, session: &Session<'_>) -> Result<()> {
        match self {
            Self::Create { slug, flags, whole } => session.create(whole.or(flags.fields(slug)?)?),
            Self::List(page) => session.list(page),
            Self::Get { service } => session.get(&service),
            Self::Update { service, flags, whole } => {
                session.update(&service, whole.or(flags.fields(None)?)?)
            }
            Self::Delete { service } => session.delete(&service, "deleted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_may_have_a_weight() {
        assert_eq!(target("http://a:1/x"), Ok(json!({"url": "http://a:1/x"})));
        assert_eq!(target("http://a:1=3"), Ok(json!({"url": "http://a:1", "weight": 3})));
        for wrong in ["http://a:1=many", "", "=3"] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }
}
