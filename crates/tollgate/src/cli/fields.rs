//! A resource's fields as flags give them.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Map, Value};

/// Fields by their names in the admin API. In an update, `Null` and an empty text take a field away.
pub type Fields = Map<String, Value>;

/// The whole resource, in place of flags.
#[derive(Args)]
pub struct Whole {
    /// The whole resource as JSON, from a file, or from standard input with `-`; in place of the other flags.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Whole {
    /// The file's fields, or those of the flags where there is no file.
    pub fn or(self, flags: Fields) -> Result<Source> {
        match self.file {
            None => Ok(Source::Flags(flags)),
            Some(_) if !flags.is_empty() => {
                bail!("--file holds the whole resource: leave the other flags out")
            }
            Some(path) => {
                let text = read(&path)?;
                let fields = serde_json::from_str(&text);
                let fields = fields.with_context(|| format!("{} is not a JSON object", path.display()))?;
                Ok(Source::File(fields))
            }
        }
    }
}

pub enum Source {
    /// Changes to what is there.
    Flags(Fields),
    /// The whole resource.
    File(Fields),
}

impl Source {
    /// Each field that a flag has given, with the flag.
    pub fn flags(&self) -> BTreeMap<String, String> {
        match self {
            Self::Flags(fields) => fields.keys().map(|field| (field.clone(), flag_of(field))).collect(),
            Self::File(_) => BTreeMap::new(),
        }
    }
}

/// A file's text; standard input's for `-`.
pub fn read(path: &Path) -> Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
        return Ok(text);
    }
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// Flags that are not called like their fields, which are lists, say.
const FLAGS: [(&str, &str); 12] = [
    ("allow_ips", "--allow-ip"),
    ("anonymous", "--anonymous-limit"),
    ("events", "--event"),
    ("headers", "--header"),
    ("hosts", "--host"),
    ("ip_limits", "--ip-limit"),
    ("limits", "--limit"),
    ("methods", "--method"),
    ("paths", "--path"),
    ("services", "--service"),
    ("targets", "--url or --target"),
    ("timeouts", "--timeout"),
];

/// The flag that a field is given with.
pub fn flag_of(field: &str) -> String {
    let named = FLAGS.iter().find(|(name, _)| *name == field);
    named.map_or_else(|| format!("--{}", field.replace('_', "-")), |(_, flag)| (*flag).to_owned())
}

/// Whether it is the value of a flag that was given without one.
pub fn is_empty(value: &Value) -> bool {
    value.as_str() == Some("")
}

/// What a flag says that is given once for each name; an empty text where it says that alone.
pub fn named(flag: &str, given: Vec<(String, Value)>) -> Result<Option<Value>> {
    match &given[..] {
        [] => return Ok(None),
        [(name, _)] if name.is_empty() => return Ok(Some(Value::String(String::new()))),
        several if several.iter().any(|(name, _)| name.is_empty()) => {
            bail!("{flag} '' takes all away: it stands alone");
        }
        [..] => {}
    }
    let mut values = Map::new();
    for (name, value) in given {
        if values.contains_key(&name) {
            bail!("{flag} says {name} twice");
        }
        values.insert(name, value);
    }
    Ok(Some(Value::Object(values)))
}

/// A number as a flag, or an empty text.
pub fn number(text: &str) -> Result<Value, String> {
    if text.is_empty() {
        return Ok(Value::String(String::new()));
    }
    text.parse::<u64>().map(Value::from).map_err(|_| "it is not a whole number".to_owned())
}

/// Collects the flags that were given.
#[derive(Default)]
pub struct FieldsBuilder(Fields);

impl FieldsBuilder {
    #[must_use]
    pub fn text(self, name: &str, text: Option<String>) -> Self {
        self.value(name, text)
    }

    #[must_use]
    pub fn value(mut self, name: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value.into());
        }
        self
    }

    /// A list, where it has entries; an empty text where that is the only one.
    #[must_use]
    pub fn list(mut self, name: &str, mut values: Vec<Value>) -> Self {
        let value = match &values[..] {
            [] => return self,
            [only] if is_empty(only) => values.remove(0),
            [..] => Value::Array(values),
        };
        self.0.insert(name.to_owned(), value);
        self
    }

    pub fn build(self) -> Fields {
        self.0
    }
}
