//! `tollgate routes`

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::fields::{Fields, FieldsBuilder, Whole, named, number};
use super::resource::{PageFlags, Resource, ResourceVerb, Session};

#[derive(Subcommand)]
pub enum Verb {
    /// Create a route.
    Create {
        /// Unique in the tenant; the access log tells it.
        #[arg(long, required_unless_present = "file")]
        name: Option<String>,
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        whole: Whole,
    },
    /// List routes.
    List(PageFlags),
    /// Show a route, by its id or name.
    Get { route: String },
    /// Change a route. Its services, hosts, paths, methods, headers and query are replaced where any of them is given.
    Update {
        route: String,
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        whole: Whole,
    },
    /// Delete a route.
    Delete { route: String },
}

#[derive(Args)]
pub struct Flags {
    /// Slug of the service; once for each where several share the requests.
    #[arg(long, value_name = "SLUG[=WEIGHT]", value_parser = share)]
    service: Vec<Value>,
    /// What requests have in common that are to go to one of several services; '' for nothing.
    #[arg(long, value_name = "key|client_ip|header:NAME|cookie:NAME")]
    sticky: Option<String>,
    /// A host such as api.example.com or *.example.com, once for each; the paths are within the tenant where left out, or ''.
    #[arg(long)]
    host: Vec<String>,
    /// A path, once for each: /orders, /orders/*, /users/{id}, /files/{*rest}; any where left out, or ''.
    #[arg(long)]
    path: Vec<String>,
    /// A method, once for each; any where left out, or ''.
    #[arg(long)]
    method: Vec<String>,
    /// A header field that requests must have, once for each; '' for none.
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = wanted)]
    header: Vec<(String, Value)>,
    /// A query parameter that requests must have, once for each; '' for none.
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = wanted)]
    query: Vec<(String, Value)>,
    /// Of several routes that match, the one with the highest is taken (0).
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    priority: Option<i32>,
    /// Takes what comes before `*` or `{*rest}` off the path (true), or a beginning such as /api; '' for nothing.
    #[arg(long, value_name = "true|PATH")]
    strip_prefix: Option<String>,
    /// What the upstream gets for a path, with what was captured: /internal/{id}; '' for the path as it is.
    #[arg(long, value_name = "PATH")]
    rewrite_path: Option<String>,
    /// The Host that the upstream gets; '' for its own.
    #[arg(long, value_name = "HOST")]
    rewrite_host: Option<String>,
    /// Whether the upstream gets the client's Host.
    #[arg(long, value_name = "BOOLEAN")]
    preserve_host: Option<bool>,
    /// For a whole request, such as 5s; '' for the service's.
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// Most attempts of a request besides the first; '' for the service's.
    #[arg(long, value_name = "NUMBER", value_parser = number)]
    retries: Option<Value>,
    /// Largest request body; '' for the usual one.
    #[arg(long, value_name = "BYTES", value_parser = number)]
    max_body_bytes: Option<Value>,
    /// Whether anything is routed by it.
    #[arg(long, value_name = "BOOLEAN")]
    enabled: Option<bool>,
}

impl Flags {
    fn fields(self, name: Option<String>) -> Result<Fields> {
        let texts = |texts: Vec<String>| texts.into_iter().map(Value::String).collect();
        let builder = match &self.service[..] {
            [] => FieldsBuilder::default(),
            // What stands in place of the other goes with it.
            [only] if only.get("weight").is_none() => FieldsBuilder::default()
                .value("service", Some(only["service"].clone()))
                .value("services", Some(Value::Null)),
            [..] => {
                FieldsBuilder::default().list("services", self.service).value("service", Some(Value::Null))
            }
        };
        let strip_prefix = self.strip_prefix.map(|text| match text.as_str() {
            "false" => Value::Null,
            "true" => Value::Bool(true),
            _ => Value::String(text),
        });
        let fields = builder
            .text("name", name)
            .text("sticky", self.sticky)
            .list("hosts", texts(self.host))
            .list("paths", texts(self.path))
            .list("methods", texts(self.method))
            .value("headers", named("--header", self.header)?)
            .value("query", named("--query", self.query)?)
            .value("priority", self.priority)
            .value("strip_prefix", strip_prefix)
            .text("rewrite_path", self.rewrite_path)
            .text("rewrite_host", self.rewrite_host)
            .value("preserve_host", self.preserve_host)
            .text("timeout", self.timeout)
            .value("retries", self.retries)
            .value("max_body_bytes", self.max_body_bytes)
            .value("enabled", self.enabled)
            .build();
        Ok(fields)
    }
}

fn share(text: &str) -> Result<Value, String> {
    match text.split_once('=') {
        None if text.is_empty() => Err("a service's slug stands here".to_owned()),
        None => Ok(json!({ "service": text })),
        Some(("", _)) => Err("a service's slug stands before =".to_owned()),
        Some((service, weight)) => {
            let weight = weight.parse::<u32>();
            let weight = weight.map_err(|_| format!("a weight is a whole number, as in {service}=3"))?;
            Ok(json!({ "service": service, "weight": weight }))
        }
    }
}

fn wanted(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        None => Ok((text.to_owned(), Value::Bool(true))),
        // `--header "$NAME=1"` of a variable that is not set is not meant to take all conditions away.
        Some(("", _)) => Err("a name stands before =".to_owned()),
        Some((name, value)) => Ok((name.to_owned(), value.into())),
    }
}

impl ResourceVerb for Verb {
    const RESOURCE: &'static Resource = &Resource {
        path: "/api/routes",
        columns: &["id", "name", "hosts", "paths", "methods", "service", "services", "priority", "enabled"],
        fields: &[
            "name",
            "service",
            "services",
            "sticky",
            "hosts",
            "paths",
            "methods",
            "headers",
            "query",
            "priority",
            "strip_prefix",
            "rewrite_path",
            "rewrite_host",
            "preserve_host",
            "timeout",
            "retries",
            "max_body_bytes",
            "enabled",
        ],
    };

    fn run(self, session: &Session<'_>) -> Result<()> {
        match self {
            Self::Create { name, flags, whole } => session.create(whole.or(flags.fields(name)?)?),
            Self::List(page) => session.list(page),
            Self::Get { route } => session.get(&route),
            Self::Update { route, flags, whole } => session.update(&route, whole.or(flags.fields(None)?)?),
            Self::Delete { route } => session.delete(&route, "deleted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_as_documented() {
        assert_eq!(share("orders"), Ok(json!({"service": "orders"})));
        assert_eq!(share("orders=9"), Ok(json!({"service": "orders", "weight": 9})));
        for wrong in ["orders=many", "", "=9"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
        assert_eq!(wanted("X-Canary"), Ok(("X-Canary".to_owned(), json!(true))));
        assert_eq!(wanted("v=1=2"), Ok(("v".to_owned(), json!("1=2"))));
    }
}
