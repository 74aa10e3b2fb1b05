//! Declarative files: read, checked without a server, applied through one.

mod file;
mod summary;

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use tollgate_admin::Document;
use tollgate_core::Problems;
use ureq::http::Method;

pub use file::{Misshapen, yaml};
pub use summary::summary;

use crate::output;
use crate::remote::{AdminApi, Call, Patience};

/// `tollgate config validate`
pub fn validate(path: &Path, as_json: bool) -> Result<()> {
    let document: Document = file::read(path)?;
    document.check().map_err(|problems| Invalid { file: path.display().to_string(), problems })?;
    if as_json {
        output::line(&json!({ "valid": true }).to_string())?;
    } else {
        output::line(&format!("{} is valid", path.display()))?;
    }
    Ok(())
}

/// `tollgate config apply`
pub fn apply(api: &AdminApi, path: &Path, dry_run: DryRun, as_json: bool) -> Result<()> {
    let document: Document = file::read(path)?;
    let applied = send(api, &document, dry_run)?;
    if as_json {
        output::line(&applied.to_string())?;
    } else {
        output::text(&summary(&applied, dry_run))?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DryRun {
    No,
    /// Say what would change, and change nothing.
    Yes,
}

/// Applies a document through the admin API; what it did, as the API tells it.
pub fn send(api: &AdminApi, document: &Document, dry_run: DryRun) -> Result<Value> {
    let mut call = Call::new(Method::POST, "/api/config");
    if dry_run == DryRun::Yes {
        call.query.push(("dry_run", "true".to_owned()));
    }
    call.body = Some(serde_json::to_vec(document)?);
    call.patience = Patience::Endless;
    Ok(api.call(call)?.body)
}

/// A file that parses, and is wrong all the same.
#[derive(Debug, thiserror::Error)]
pub struct Invalid {
    file: String,
    problems: Problems,
}

impl Invalid {
    /// For machines, as the admin API would put it.
    pub fn to_json(&self) -> Value {
        let problems: Vec<_> = self.problems.iter().collect();
        json!({ "title": format!("{} is not valid", self.file), "errors": problems })
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index > 0 { "\n" } else { "" };
            write!(f, "{separator}{}: {} {}", self.file, problem.field, problem.message)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document that stands in a page, from its section of tenants to the end of the block.
    fn documented(page: &str) -> String {
        let lines = page.lines().skip_while(|line| !line.trim_start().starts_with("tenants:"));
        let block = lines.take_while(|line| !line.trim().is_empty() && !line.starts_with("```"));
        block.flat_map(|line| [line, "\n"]).collect()
    }

    #[test]
    fn the_documents_in_the_documentation_are_valid() {
        for page in [include_str!("../../../../docs/cli.md"), include_str!("../../../../docs/admin-api.md")] {
            let text = documented(page);
            let document: Document = yaml(&text).unwrap_or_else(|problem| panic!("{problem}:\n{text}"));
            assert_eq!(document.check(), Ok(()), "{text}");
            assert_eq!((document.keys.len(), document.users.len()), (2, 1), "{text}");
        }
    }
}
