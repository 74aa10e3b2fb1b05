//! The file's layer: TOML, with the line of every value.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::layers::Layer;
use super::problem::{ConfigProblem, Origin, most_like};
use super::setting::{self, Setting};
use super::value::Value;

/// Reads every setting of the text, and notes every syntax error and unknown key, in the order of the lines.
pub fn read(path: &Path, text: &str, layer: &mut Layer, problems: &mut Vec<ConfigProblem>) {
    let mut found = Vec::new();
    let mut reader = Reader { path, text, layer, problems: &mut found };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let start = error.span().map_or(0, |span| span.start);
        reader.refuse("", start, format!("is not TOML: {}", error.message().replace('\n', ", ")));
    }
    // What a broken document seems to say would be noise beside what broke it.
    if errors.is_empty() {
        reader.table("", document.get_ref());
    }
    found.sort_by_key(|problem| problem.origin.line());
    problems.append(&mut found);
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    layer: &'a mut Layer,
    problems: &'a mut Vec<ConfigProblem>,
}

impl Reader<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = if prefix.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{prefix}.{}", name.get_ref())
            };
            let start = name.span().start;
            match (Setting::of_key(&key), value.get_ref()) {
                (Some(setting), value) => {
                    let origin = self.origin(start);
                    self.layer.set(setting, plain_value(value), origin);
                }
                (None, DeValue::Table(inner)) if is_section(&key) => self.table(&key, inner),
                (None, _) => self.refuse(&key, start, unknown(&key)),
            }
        }
    }

    fn refuse(&mut self, key: &str, start: usize, message: String) {
        let origin = self.origin(start);
        self.problems.push(ConfigProblem { origin, key: key.to_owned(), message });
    }

    fn origin(&self, start: usize) -> Origin {
        let before = self.text.get(..start).unwrap_or(self.text);
        Origin::File { path: self.path.to_owned(), line: 1 + before.matches('\n').count() }
    }
}

fn is_section(key: &str) -> bool {
    setting::ALL.iter().any(|setting| setting.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
}

fn unknown(key: &str) -> String {
    if is_section(key) {
        return format!("is a section, not a setting: it is written [{key}]");
    }
    let keys = setting::ALL.iter().map(|setting| setting.key);
    if let Some(meant) = most_like(key, keys) {
        return format!("is not a setting; did you mean {meant}?");
    }
    let section = key.rsplit_once('.').map_or("", |(section, _)| section);
    let of_section = setting::ALL.iter().filter_map(|setting| {
        let (own, name) = setting.key.rsplit_once('.').unwrap_or(("", setting.key));
        (own == section).then_some(name)
    });
    let names: Vec<&str> = of_section.collect();
    match (section, names.is_empty()) {
        (_, true) => "is not a setting, nor in a section of settings".to_owned(),
        ("", false) => format!("is not a setting; outside the sections there are {}", names.join(", ")),
        (section, false) => format!("is not a setting; in [{section}] there are {}", names.join(", ")),
    }
}

fn plain_value(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => u64::from_str_radix(integer.as_str(), integer.radix())
            .map_or_else(|_| Value::Other(integer.to_string()), Value::Integer),
        DeValue::Float(float) => Value::Other(float.to_string()),
        DeValue::Boolean(boolean) => Value::Other(boolean.to_string()),
        DeValue::Datetime(datetime) => Value::Other(datetime.to_string()),
        DeValue::Array(values) => {
            Value::List(values.iter().map(|value| plain_value(value.get_ref())).collect())
        }
        DeValue::Table(_) => Value::Other("a section".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let (mut layer, mut problems) = (Layer::default(), Vec::new());
        read(Path::new("t.toml"), text, &mut layer, &mut problems);
        problems.iter().map(ConfigProblem::to_string).collect()
    }

    #[test]
    fn every_unknown_key_is_named_with_its_line() {
        let text =
            "data_dri = \"x\"\n\n[proxy]\nlisten = \"0.0.0.0:1\"\nlistn = 1\ncolour = 2\n[prox]\nx = 1\n";
        assert_eq!(
            problems(text),
            [
                "t.toml:1: data_dri is not a setting; did you mean data_dir?",
                "t.toml:5: proxy.listn is not a setting; did you mean proxy.listen?",
                "t.toml:6: proxy.colour is not a setting; in [proxy] there are listen, workers, \
                 trusted_proxies, upstream_ca_file, upstream_idle_connections",
                "t.toml:7: prox is not a setting; outside the sections there are data_dir, database_url, redis_url, \
                 log_level, access_log",
            ]
        );
    }

    #[test]
    fn a_section_is_not_a_setting() {
        assert_eq!(
            problems("admin = \"127.0.0.1:1\"\n"),
            ["t.toml:1: admin is a section, not a setting: it is written [admin]"]
        );
    }

    #[test]
    fn a_syntax_error_has_its_line() {
        let problems = problems("log_level = \"info\"\nworkers = \n");
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("t.toml:2: is not TOML: "), "{problems:?}");
    }
}
