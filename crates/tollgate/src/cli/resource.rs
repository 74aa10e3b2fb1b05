//! What the verbs do, for every resource alike.

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::Value;
use ureq::http::Method;

use super::fields::{self, Fields, Source};
use crate::output::{self, Stream};
use crate::remote::{self, AdminApi, Answer, Call};

/// A new key, token or secret: nothing shows it again.
const SHOWN_ONCE: [&str; 3] = ["key", "token", "secret"];

/// A collection of the admin API.
pub struct Resource {
    /// `/api/plans`
    pub path: &'static str,
    /// The table's columns.
    pub columns: &'static [&'static str],
    /// The fields that can be written; an update keeps those that it does not change.
    pub fields: &'static [&'static str],
}

/// The verbs of one resource.
pub trait ResourceVerb: Subcommand {
    const RESOURCE: &'static Resource;

    fn run(self, session: &Session<'_>) -> Result<()>;
}

/// Which page of a list.
#[derive(Args, Default)]
pub struct PageFlags {
    /// How many at most (50, up to 500).
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u16>,
    /// Where the page before ended.
    #[arg(long)]
    cursor: Option<String>,
}

/// A resource at a server, and how to show what comes back.
pub struct Session<'a> {
    pub api: &'a AdminApi,
    pub resource: &'static Resource,
    pub tenant: Option<String>,
    pub json: bool,
}

impl Session<'_> {
    pub fn create(&self, source: Source) -> Result<()> {
        // `--plan "$PLAN"` of a variable that is not set is not meant as a key without a plan.
        if let Source::Flags(fields) = &source
            && let Some((name, _)) = fields.iter().find(|(_, value)| fields::is_empty(value))
        {
            bail!("{} is empty: leave it out where there is to be none", fields::flag_of(name));
        }
        let flags = source.flags();
        let (Source::Flags(mut fields) | Source::File(mut fields)) = source;
        fields.retain(|_, value| !value.is_null());
        let mut call = self.call(Method::POST, self.resource.path.to_owned());
        call.body = Some(serde_json::to_vec(&fields)?);
        self.show(&self.api.call(call).map_err(|error| error.by_flags(flags))?)
    }

    pub fn list(&self, page: PageFlags) -> Result<()> {
        self.list_of(self.resource.path, self.resource.columns, page, None)
    }

    /// Another list than the resource's own, or a part of it.
    pub fn list_of(
        &self,
        path: &str,
        columns: &[&str],
        page: PageFlags,
        filter: Option<(&'static str, String)>,
    ) -> Result<()> {
        let mut call = self.call(Method::GET, path.to_owned());
        call.query.extend(filter);
        call.query.extend(page.limit.map(|limit| ("limit", limit.to_string())));
        call.query.extend(page.cursor.map(|cursor| ("cursor", cursor)));
        let answer = self.api.call(call)?;
        if self.json {
            output::line(&answer.body.to_string())?;
        } else {
            output::text(&remote::page(&answer.body, columns))?;
        }
        Ok(())
    }

    pub fn get(&self, id: &str) -> Result<()> {
        self.show(&self.api.call(self.call(Method::GET, self.path_of(id)))?)
    }

    /// Flags change the fields that they name; a file replaces the whole. Where somebody else changed the
    /// resource in between, nothing is written.
    pub fn update(&self, id: &str, source: Source) -> Result<()> {
        let mut call = self.call(Method::PUT, self.path_of(id));
        let flags = source.flags();
        let fields = match source {
            Source::File(fields) => fields,
            Source::Flags(changes) if changes.is_empty() => bail!("nothing to change: give a flag or --file"),
            Source::Flags(changes) => {
                let current = self.api.call(self.call(Method::GET, self.path_of(id)))?;
                call.if_match = current.entity_tag;
                self.changed(current.body, changes)?
            }
        };
        call.body = Some(serde_json::to_vec(&fields)?);
        self.show(&self.api.call(call).map_err(|error| error.by_flags(flags))?)
    }

    /// `done` is what has happened to it: `deleted`, `revoked`.
    pub fn delete(&self, id: &str, done: &str) -> Result<()> {
        let answer = self.api.call(self.call(Method::DELETE, self.path_of(id)))?;
        if self.json {
            output::line(&answer.body.to_string())?;
        } else {
            output::line(&format!("{id} {done}"))?;
        }
        Ok(())
    }

    pub fn call(&self, method: Method, path: String) -> Call {
        let mut call = Call::new(method, path);
        call.query.extend(self.tenant.clone().map(|tenant| ("tenant", tenant)));
        call
    }

    pub fn path_of(&self, id: &str) -> String {
        format!("{}/{}", self.resource.path, remote::path_segment(id))
    }

    pub fn show(&self, answer: &Answer) -> Result<()> {
        let text = if self.json {
            format!("{}\n", answer.body)
        } else {
            // What is shown once is what its reader has come for.
            let columns = [&SHOWN_ONCE, self.resource.columns].concat();
            remote::record(&answer.body, &columns)
        };
        if SHOWN_ONCE.iter().any(|field| answer.body.get(field).is_some_and(Value::is_string)) {
            Stream::Output.show(&text)?;
        } else {
            output::text(&text)?;
        }
        Ok(())
    }

    fn changed(&self, current: Value, changes: Fields) -> Result<Fields> {
        let Value::Object(mut fields) = current else {
            bail!("the admin API at {} answered with something that is no resource", self.api.url());
        };
        fields.retain(|name, value| self.resource.fields.contains(&name.as_str()) && !value.is_null());
        if let Some(Value::Array(targets)) = fields.get_mut("targets") {
            for target in targets {
                let target = target.as_object_mut().context("a target is no object")?;
                // Replacements pass over what only answers have, so that all else stays as it is.
                target.remove("id");
            }
        }
        for (name, value) in changes {
            if value.is_null() || fields::is_empty(&value) {
                fields.remove(&name);
            } else {
                fields.insert(name, value);
            }
        }
        Ok(fields)
    }
}
