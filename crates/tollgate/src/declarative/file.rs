//! A declarative file: YAML, TOML or JSON by its extension. What does not even parse is reported with its line,
//! and with the path of the field where there is one.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use toml::de::{DeTable, DeValue};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Yaml,
    Toml,
    Json,
}

/// Why a file is not of the shape that it should have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct Misshapen {
    file: PathBuf,
    /// The first line is 1.
    line: Option<usize>,
    /// Such as `plans[0].limits[1].per`; empty for the whole file.
    field: String,
    message: String,
}

impl fmt::Display for Misshapen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if !self.field.is_empty() {
            write!(f, " {}:", self.field)?;
        }
        write!(f, " {}", self.message)
    }
}

pub fn read<T: DeserializeOwned>(file: &Path) -> Result<T> {
    let format = match file.extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml") => Format::Yaml,
        Some("toml") => Format::Toml,
        Some("json") => Format::Json,
        Some(_) | None => bail!("{}: the name must end in .yaml, .yml, .toml or .json", file.display()),
    };
    let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let parsed = match format {
        Format::Yaml => yaml(&text),
        Format::Toml => toml(&text),
        Format::Json => json(&text),
    };
    Ok(parsed.map_err(|misshapen| Misshapen { file: file.to_owned(), ..misshapen })?)
}

pub fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, Misshapen> {
    // The file is the operator's own, and may hold a million keys: only aliases are still limited.
    let options = serde_saphyr::options! { budget: None, with_snippet: false };
    let mut field = String::new();
    let parsed = serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            field = path(error.path());
            error.into_inner()
        })
    });
    parsed.map_err(|error| {
        let line = error.location().and_then(|location| usize::try_from(location.line()).ok());
        Misshapen::new(line, field, &error.to_string())
    })
}

fn toml<T: DeserializeOwned>(text: &str) -> Result<T, Misshapen> {
    let misshapen = |error: &toml::de::Error, field| {
        let before = error.span().and_then(|span| text.get(..span.start));
        Misshapen::new(before.map(|before| 1 + before.matches('\n').count()), field, error.message())
    };
    let mut table = DeTable::parse(text).map_err(|error| misshapen(&error, String::new()))?;
    table.get_mut().iter_mut().for_each(|(_, value)| write_out_times(value.get_mut()));
    serde_path_to_error::deserialize(toml::Deserializer::from(table))
        .map_err(|error| misshapen(error.inner(), path(error.path())))
}

/// Times are texts in a document, as YAML and JSON have them.
fn write_out_times(value: &mut DeValue<'_>) {
    match value {
        DeValue::Datetime(time) => *value = DeValue::String(time.to_string().into()),
        DeValue::Array(values) => values.iter_mut().for_each(|value| write_out_times(value.get_mut())),
        DeValue::Table(table) => table.iter_mut().for_each(|(_, value)| write_out_times(value.get_mut())),
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => {}
    }
}

fn json<T: DeserializeOwned>(text: &str) -> Result<T, Misshapen> {
    let misshapen =
        |error: &serde_json::Error, field| Misshapen::new(Some(error.line()), field, &error.to_string());
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| misshapen(error.inner(), path(error.path())))?;
    deserializer.end().map_err(|error| misshapen(&error, String::new()))?;
    Ok(value)
}

impl Misshapen {
    /// The parsers put the position into the message too, at its end; once is enough.
    fn new(line: Option<usize>, field: String, message: &str) -> Self {
        let message = match message.split(" at line ").next().unwrap_or(message) {
            // The YAML parser speaks of Rust's types.
            "invalid u64" | "invalid u32" => "must be a whole number".to_owned(),
            "expected string scalar" => "must be text".to_owned(),
            message => message.replace('\n', ", "),
        };
        Self { file: PathBuf::new(), line, field, message }
    }

    /// For machines, as the admin API would put it, with the line beside.
    pub fn to_json(&self) -> Value {
        let title = format!("{} does not have the shape that it should have", self.file.display());
        let problem = json!({ "field": self.field, "message": self.message, "line": self.line });
        json!({ "title": title, "errors": [problem] })
    }
}

fn path(path: &serde_path_to_error::Path) -> String {
    let path = path.to_string();
    // What an entry's own deserializer is in the middle of has no name.
    let path = path.trim_end_matches(['.', '?']);
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        plans: Vec<Plan>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Plan {
        slug: String,
        #[expect(dead_code, reason = "only parsing is looked at")]
        requests: u64,
    }

    #[test]
    fn a_field_of_the_wrong_type_has_its_path_and_line() {
        let yaml = yaml::<Shape>("plans:\n- slug: a\n  requests: many\n").unwrap_err();
        let toml = toml::<Shape>("[[plans]]\nslug = \"a\"\nrequests = \"many\"\n").unwrap_err();
        let json = json::<Shape>("{\"plans\": [{\n\"slug\": \"a\",\n\"requests\": \"many\"}]}").unwrap_err();
        for problem in [yaml, toml, json] {
            assert_eq!((problem.line, problem.field.as_str()), (Some(3), "plans[0].requests"), "{problem}");
            assert!(!problem.message.contains("line"), "{problem}");
        }
    }

    #[test]
    fn a_syntax_error_has_its_line() {
        let yaml = yaml::<Shape>("plans:\n- slug: [a\n").unwrap_err();
        let toml = toml::<Shape>("[[plans]]\nslug = \n").unwrap_err();
        let json = json::<Shape>("{\n\"plans\": ]}").unwrap_err();
        for problem in [yaml, toml, json] {
            assert!(problem.line.is_some_and(|line| line >= 2), "{problem}");
        }
    }

    #[test]
    fn a_time_of_toml_is_the_text_of_it() {
        let text =
            "[[keys]]\nname = \"k\"\nkey = \"12345678901234567890\"\nexpires_at = 2030-01-01T00:00:00Z\n";
        let document: tollgate_admin::Document = toml(text).unwrap();
        assert_eq!(document.keys[0].draft.expires_at.as_deref(), Some("2030-01-01T00:00:00Z"));
        assert_eq!(document.check(), Ok(()));
    }

    #[test]
    fn no_path_ends_in_a_question_mark() {
        let problem = toml::<tollgate_admin::Document>("[[keys]]\nname = 5\n").unwrap_err();
        assert!(!problem.field.contains('?'), "{problem}");
        let problem = toml::<tollgate_admin::Document>("plans = [[\"a\"]]\n").unwrap_err();
        assert!(!problem.field.contains('?'), "{problem}");
        let problem = json::<tollgate_admin::Document>("{\"plans\": [5]}").unwrap_err();
        assert!(!problem.field.contains('?'), "{problem}");
    }

    #[test]
    fn an_unknown_field_is_a_problem() {
        let problem = yaml::<Shape>("plans: []\ncolour: red\n").unwrap_err();
        assert_eq!(problem.line, Some(2));
        assert!(problem.message.contains("colour"), "{problem}");
    }

    #[test]
    fn text_is_text_whatever_it_looks_like() {
        let shape: Shape = yaml("plans:\n- {slug: no, requests: 1}\n- {slug: 1e3, requests: 2}\n").unwrap();
        assert_eq!(shape.plans.iter().map(|plan| plan.slug.as_str()).collect::<Vec<_>>(), ["no", "1e3"]);
    }

    #[test]
    fn a_file_may_hold_very_many_entries() {
        let mut text = "plans:\n".to_owned();
        text.extend((0..100_000).map(|number| format!("- {{slug: p{number}, requests: 1}}\n")));
        assert_eq!(yaml::<Shape>(&text).unwrap().plans.len(), 100_000);
    }
}
