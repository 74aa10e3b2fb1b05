//! A declarative file: YAML, TOML or JSON by its extension. What does not even parse is reported with its line,
//! and with the path of the field where there is one.

use std::fmt;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};
use tollgate_admin::shape::{Draft, Marks, Misread, Shaped, all_problems, in_words, with_named_field};
use tollgate_core::{Problem, Problems};
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
    /// What else is wrong, as far as it can be told; where, the fields say alone.
    further: Vec<Problem>,
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
        write!(f, " {}", self.message)?;
        for Problem { field, message } in &self.further {
            write!(f, "\n{}: {field}: {message}", self.file.display())?;
        }
        Ok(())
    }
}

pub fn read<T: Draft>(file: &Path) -> Result<T> {
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
    Ok(parsed.map_err(|misshapen| Misshapen {
        file: file.to_owned(),
        further: further::<T>(&text, format, &misshapen.field),
        ..misshapen
    })?)
}

/// What else is wrong than that with the field.
fn further<T: Draft>(text: &str, format: Format, known: &str) -> Vec<Problem> {
    // A syntax error is all that there is to say.
    if read_as::<IgnoredAny>(text, format, &Marks::default()).is_err() {
        return Vec::new();
    }
    let all = all_problems::<T>(text.len(), Marks::default(), |marks| {
        read_as(text, format, marks).map_err(|message| Misread::Shape(said(&message)))
    });
    let all = all.map(Problems::into_vec).unwrap_or_default();
    all.into_iter().filter(|problem| problem.field != known).collect()
}

fn read_as<T: DeserializeOwned>(text: &str, format: Format, marks: &Marks) -> Result<T, String> {
    match format {
        Format::Yaml => {
            serde_saphyr::with_deserializer_from_str_with_options(text, saphyr_options(), |deserializer| {
                T::deserialize(Shaped::new(deserializer, marks))
            })
            .map_err(|error| error.to_string())
        }
        Format::Toml => toml_deserializer(text)
            .and_then(|deserializer| T::deserialize(Shaped::new(deserializer, marks)))
            .map_err(|error| error.message().to_owned()),
        Format::Json => T::deserialize(Shaped::new(&mut serde_json::Deserializer::from_str(text), marks))
            .map_err(|error| error.to_string()),
    }
}

/// The file is the operator's own, and may hold a million keys: only aliases are still limited.
fn saphyr_options() -> serde_saphyr::Options {
    serde_saphyr::options! { budget: None, with_snippet: false }
}

pub fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, Misshapen> {
    let mut field = String::new();
    let parsed =
        serde_saphyr::with_deserializer_from_str_with_options(text, saphyr_options(), |deserializer| {
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
    let marks = Marks::default();
    let deserializer = toml_deserializer(text).map_err(|error| misshapen(&error, String::new()))?;
    serde_path_to_error::deserialize(Shaped::new(deserializer, &marks))
        .map_err(|error| misshapen(error.inner(), path(error.path())))
}

fn toml_deserializer(text: &str) -> Result<toml::Deserializer<'_>, toml::de::Error> {
    let mut table = DeTable::parse(text)?;
    table.get_mut().iter_mut().for_each(|(_, value)| write_out_times(value.get_mut()));
    Ok(toml::Deserializer::from(table))
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
    let value = serde_path_to_error::deserialize(Shaped::new(&mut deserializer, &Marks::default()))
        .map_err(|error| misshapen(error.inner(), path(error.path())))?;
    deserializer.end().map_err(|error| misshapen(&error, String::new()))?;
    Ok(value)
}

impl Misshapen {
    fn new(line: Option<usize>, field: String, message: &str) -> Self {
        let message = said(message);
        let field = with_named_field(field, &message);
        Self { file: PathBuf::new(), line, field, message, further: Vec::new() }
    }

    /// For machines, as the admin API would put it, with the line beside.
    pub fn to_json(&self) -> Value {
        let title = format!("{} does not have the shape that it should have", self.file.display());
        let problem = json!({ "field": self.field, "message": self.message, "line": self.line });
        let further = self.further.iter().map(|problem| json!(problem));
        let errors: Vec<Value> = iter::once(problem).chain(further).collect();
        json!({ "title": title, "errors": errors })
    }
}

/// The parsers put the position into the message too, at its end; once is enough. That of YAML speaks to who writes programs.
fn said(message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or(message).replace('\n', ", ");
    match message.as_str() {
        "invalid u64" | "invalid u32" | "invalid u16" => "must be a whole number".to_owned(),
        "invalid boolean" => "must be true or false".to_owned(),
        "expected string scalar" => "must be text".to_owned(),
        "expected sequence start" => "must be a list".to_owned(),
        "expected mapping start" => "must be an object".to_owned(),
        "cannot deserialize null into string; use Option<String>" => "must be text, not null".to_owned(),
        message if message.contains("; use from_str_multiple") => {
            "must be one document: there is another behind the first".to_owned()
        }
        message => in_words(message.split(", set DuplicateKeyPolicy").next().unwrap_or(message)).into_owned(),
    }
}

fn path(path: &serde_path_to_error::Path) -> String {
    let path = path.to_string();
    // What an entry's own deserializer is in the middle of has no name.
    let path = path.trim_end_matches(['.', '?']);
    path.to_owned()
}

#[cfg(test)]
mod tests;
