//! Which methods a route is for.

use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

const LONGEST: usize = 32;
const KNOWN: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"];
/// Of every method that is none of the known ones.
pub(super) const OTHER: u16 = 1 << 15;

/// Any where empty. Compared letter for letter, as methods are (RFC 9110 section 9.1); `HEAD` is not `GET`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Methods(Vec<SmolStr>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadMethod {
    #[error("must be a method in capital letters, such as GET")]
    Text,
    #[error("can't match: this is no forward proxy")]
    Connect,
    #[error("is named already")]
    Twice,
}

impl Methods {
    /// Methods of this name too.
    pub fn add(&mut self, text: &str) -> Result<(), BadMethod> {
        let is_method = (1..=LONGEST).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_'));
        if !is_method {
            return Err(BadMethod::Text);
        }
        if text == "CONNECT" {
            return Err(BadMethod::Connect);
        }
        if self.0.iter().any(|held| held == text) {
            return Err(BadMethod::Twice);
        }
        self.0.push(text.into());
        Ok(())
    }

    /// Whether it is for any method.
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(SmolStr::as_str)
    }

    /// A set of bits that holds [`bit`] of each of them.
    pub(super) fn mask(&self) -> u16 {
        if self.is_any() { u16::MAX } else { self.iter().fold(0, |mask, name| mask | bit(name.as_bytes())) }
    }

    /// Of a method whose bit is in the mask.
    pub(super) fn includes(&self, bit: u16, name: &[u8]) -> bool {
        bit != OTHER || self.is_any() || self.0.iter().any(|held| held.as_bytes() == name)
    }

    /// Whether no method is of both.
    pub(super) fn excludes(&self, other: &Self) -> bool {
        !self.is_any()
            && !other.is_any()
            && !self.iter().any(|name| other.iter().any(|others| others == name))
    }
}

/// Of a method: its own where it is known.
pub(super) fn bit(name: &[u8]) -> u16 {
    let index = KNOWN.iter().position(|known| known.as_bytes() == name);
    index.map_or(OTHER, |index| 1 << index)
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            write!(f, "{}{name}", if index > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_known_by_its_letters() {
        let mut methods = Methods::default();
        assert!(methods.is_any() && methods.mask() == u16::MAX && methods.includes(OTHER, b"PURGE"));
        for name in ["GET", "PURGE"] {
            methods.add(name).unwrap();
        }
        let includes = |name: &[u8]| methods.mask() & bit(name) != 0 && methods.includes(bit(name), name);
        assert!(includes(b"GET") && includes(b"PURGE"));
        for other in ["HEAD", "get", "LINK"] {
            assert!(!includes(other.as_bytes()), "{other}");
        }
        assert_eq!(methods.to_string(), "GET, PURGE");
        assert_eq!(methods.add("get"), Err(BadMethod::Text));
        assert_eq!(methods.add("CONNECT"), Err(BadMethod::Connect));
        assert_eq!(methods.add("GET"), Err(BadMethod::Twice));
    }
}
