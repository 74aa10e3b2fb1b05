//! What a configuration was made from, kept to be read again.

use std::fmt;

use super::Config;
use super::layers::Layer;
use super::problem::BadConfig;
use super::setting::{self, Setting};
use super::sources::Sources;

/// Its `Debug` shows nothing: secrets are among the variables.
pub struct Written {
    pub(super) sources: Sources,
    pub(super) layer: Layer,
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Written(…)")
    }
}

impl Config {
    /// What the same sources say now. Of a running process only the file can have changed.
    pub fn read_again(&self) -> Result<Self, BadConfig> {
        self.written.sources.load()
    }

    /// The settings whose values are not the same in both.
    pub fn differing_from<'o>(&'o self, other: &'o Self) -> impl Iterator<Item = &'static Setting> + 'o {
        let value = |config: &Self, setting: &Setting| config.written.layer.value(setting).0.plain();
        setting::ALL.iter().copied().filter(move |setting| value(self, setting) != value(other, setting))
    }
}
