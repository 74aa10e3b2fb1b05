//! Defaults, file, environment and flags, one over the other, as they were written.

use std::collections::BTreeMap;

use super::problem::Origin;
use super::setting::Setting;
use super::value::Value;

/// Values by key, each with where it was written.
#[derive(Debug, Clone, Default)]
pub struct Layer(BTreeMap<&'static str, (Value, Origin)>);

impl Layer {
    pub fn set(&mut self, setting: &'static Setting, value: Value, origin: Origin) {
        self.0.insert(setting.key, (value, origin));
    }

    pub fn set_plain(&mut self, setting: &'static Setting, text: &str, origin: Origin) {
        self.set(setting, Value::Plain(text.to_owned()), origin);
    }

    pub fn has(&self, setting: &Setting) -> bool {
        self.0.contains_key(setting.key)
    }

    /// The value, or the setting's default.
    pub fn value(&self, setting: &Setting) -> (Value, Origin) {
        self.0
            .get(setting.key)
            .cloned()
            .unwrap_or_else(|| (Value::Plain(setting.default.to_owned()), Origin::Default))
    }

    /// Puts `upper` over this layer.
    pub fn cover(&mut self, upper: Self) {
        self.0.extend(upper.0);
    }
}
