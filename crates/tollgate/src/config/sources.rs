//! What a configuration is made from: a file, the environment, flags.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::compile::{Secrets, compile};
use super::layers::Layer;
use super::problem::{BadConfig, ConfigProblem, Origin};
use super::setting::Setting;
use super::{ADMIN_TOKEN, Config, JWT_SECRET, environment, file};

/// Read where it exists and no other file is named.
const DEFAULT_FILE: &str = "tollgate.toml";

#[derive(Clone, Default)]
pub struct Sources {
    /// `--config`
    pub file: Option<PathBuf>,
    pub variables: Vec<(String, String)>,
    /// Names of variables whose values are not text.
    pub unreadable: Vec<String>,
    pub flags: Vec<(&'static Setting, String)>,
}

impl Sources {
    /// Those of this process.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(&'static Setting, String)>) -> Self {
        Self::of_variables(std::env::vars_os(), file, flags)
    }

    /// A variable whose name is not text is nobody's setting.
    pub(super) fn of_variables(
        given: impl Iterator<Item = (OsString, OsString)>,
        file: Option<PathBuf>,
        flags: Vec<(&'static Setting, String)>,
    ) -> Self {
        let mut sources = Self { file, flags, ..Self::default() };
        for (name, value) in given {
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => sources.variables.push((name, value)),
                (Ok(name), Err(_)) => sources.unreadable.push(name),
                (Err(_), _) => {}
            }
        }
        sources
    }

    /// Reads the file and compiles everything.
    pub fn load(&self) -> Result<Config, BadConfig> {
        let (path, is_named) = match &self.file {
            Some(path) => (path.clone(), true),
            None => (PathBuf::from(DEFAULT_FILE), false),
        };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if !is_named && error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                let message = format!("{} cannot be read: {error}", path.display());
                let origin = Origin::Flag("--config");
                return Err(BadConfig(vec![ConfigProblem { origin, key: String::new(), message }]));
            }
        };
        self.compile(&path, &text)
    }

    pub(super) fn compile(&self, path: &Path, text: &str) -> Result<Config, BadConfig> {
        let mut problems = Vec::new();
        let (mut layer, mut environment, mut flags) = (Layer::default(), Layer::default(), Layer::default());
        file::read(path, text, &mut layer, &mut problems);
        environment::read(&self.variables, &mut environment, &mut problems);
        environment::refuse_unreadable(&self.unreadable, &mut problems);
        for (setting, text) in &self.flags {
            flags.set_plain(setting, text, Origin::Flag(setting.flag.unwrap_or(setting.key)));
        }
        layer.cover(environment);
        layer.cover(flags);
        let secret = |wanted: &str| {
            self.variables.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
        };
        let secrets = Secrets { admin_token: secret(ADMIN_TOKEN), jwt_secret: secret(JWT_SECRET) };
        compile(&layer, secrets, problems, self)
    }
}
