//! A value that is a text, or just there.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

/// A text, or `true` for what goes without one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum TextOrBool {
    Text(String),
    Bool(bool),
}

impl<'de> Deserialize<'de> for TextOrBool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl de::Visitor<'_> for Either {
            type Value = TextOrBool;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a boolean")
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<TextOrBool, E> {
                Ok(TextOrBool::Bool(value))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<TextOrBool, E> {
                Ok(TextOrBool::Text(text.to_owned()))
            }
            // What looks like a number in YAML is meant as it stands.
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<TextOrBool, E> {
                Ok(TextOrBool::Text(number.to_string()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<TextOrBool, E> {
                Ok(TextOrBool::Text(number.to_string()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}
