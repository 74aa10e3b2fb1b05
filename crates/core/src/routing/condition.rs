//! What a route wants of a request's fields and query. Each condition looks at the first value of its name, so that two
//! conditions for different values are never met by one request.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

use super::query::Query;
use crate::resource::parsed;

const LONGEST: usize = 512;
/// Fields whose values are credentials, which are not kept in clear.
const CREDENTIALS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-api-key"];

/// Fields that the gateway writes, and takes out of what clients send.
const GATEWAYS: [&str; 4] = ["x-consumer-id", "x-organization-id", "x-plan-tier", "x-tenant-id"];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderCondition {
    pub name: FieldName,
    pub wanted: Wanted,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryCondition {
    /// Without percent-encoding, as it is compared.
    pub name: SmolStr,
    pub wanted: Wanted,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    /// Anything, an empty value too.
    Present,
    /// This, letter for letter; in a query, without percent-encoding and with a space for a plus sign.
    Exactly(SmolStr),
}

/// A header field's name in lower case (RFC 9110 section 5.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldName(SmolStr);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadValue {
    #[error("has a name that no header field has")]
    Name,
    #[error("has no name, or one of more than {LONGEST} bytes")]
    QueryName,
    #[error("can be matched by `hosts` alone")]
    Host,
    #[error("can't match: the gateway writes it itself, and takes it out of requests")]
    Gateways,
    #[error("holds credentials: it can be wanted (true), but not by its value")]
    Credential,
    #[error(
        "can't match: a value has at most {LONGEST} bytes, no control characters, and no spaces around it"
    )]
    Value,
}

impl FieldName {
    pub fn parse(text: &str) -> Result<Self, BadValue> {
        let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if !(1..=64).contains(&text.len()) || !text.bytes().all(is_token_byte) {
            return Err(BadValue::Name);
        }
        let name = text.to_ascii_lowercase();
        if name == "host" { Err(BadValue::Host) } else { Ok(Self(name.into())) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl HeaderCondition {
    pub fn parse(name: &str, wanted: Wanted) -> Result<Self, BadValue> {
        let name = FieldName::parse(name)?;
        if GATEWAYS.contains(&name.as_str()) {
            return Err(BadValue::Gateways);
        }
        if let Wanted::Exactly(value) = &wanted {
            if CREDENTIALS.contains(&name.as_str()) {
                return Err(BadValue::Credential);
            }
            let is_sent = |byte: u8| byte == b' ' || byte.is_ascii_graphic() || !byte.is_ascii();
            if value.len() > LONGEST || value.trim() != value || !value.bytes().all(is_sent) {
                return Err(BadValue::Value);
            }
        }
        Ok(Self { name, wanted })
    }

    pub(super) fn is_met(&self, value: Option<&[u8]>) -> bool {
        match (&self.wanted, value) {
            (_, None) => false,
            (Wanted::Present, Some(_)) => true,
            (Wanted::Exactly(wanted), Some(value)) => wanted.as_bytes() == value,
        }
    }
}

impl QueryCondition {
    pub fn parse(name: &str, wanted: Wanted) -> Result<Self, BadValue> {
        let is_long = |text: &str| text.len() > LONGEST;
        if name.is_empty() || is_long(name) {
            return Err(BadValue::QueryName);
        }
        match &wanted {
            Wanted::Exactly(value) if is_long(value) => Err(BadValue::Value),
            Wanted::Exactly(_) | Wanted::Present => Ok(Self { name: name.into(), wanted }),
        }
    }

    pub(super) fn is_met(&self, query: &Query<'_>) -> bool {
        match (&self.wanted, query.first(self.name.as_bytes())) {
            (_, None) => false,
            (Wanted::Present, Some(_)) => true,
            (Wanted::Exactly(wanted), Some(value)) => value.eq(wanted.bytes()),
        }
    }
}

impl Wanted {
    /// Whether no value is both.
    pub(super) fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exactly(one), Self::Exactly(other)) => one != other,
            (Self::Present, _) | (_, Self::Present) => false,
        }
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for FieldName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for FieldName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_compared_without_its_encoding() {
        let exactly =
            |name: &str, value: &str| QueryCondition::parse(name, Wanted::Exactly(value.into())).unwrap();
        for (query, expected) in [
            ("?v=2", true),
            ("?a=1&v=2", true),
            ("?%76=%32", true),
            ("?v=2&v=1", true),
            ("?v=1&v=2", false),
            ("?v=22", false),
            ("?vv=2", false),
            ("?v", false),
            ("", false),
        ] {
            let read = Query::read(query.as_bytes());
            assert_eq!(exactly("v", "2").is_met(&read), expected, "{query}");
        }
        assert!(exactly("a b", "c d").is_met(&Query::read(b"?a+b=c%20d")));
        assert!(exactly("a", "%zz").is_met(&Query::read(b"a=%zz")));
        let present =
            |query| QueryCondition::parse("debug", Wanted::Present).unwrap().is_met(&Query::read(query));
        assert!(present(b"?debug") && present(b"?x&debug=") && !present(b"?debugger=1"));
    }

    #[test]
    fn a_condition_that_cannot_be_met_or_holds_a_secret_is_refused() {
        let exactly = |value: &str| Wanted::Exactly(value.into());
        for (name, wanted, expected) in [
            ("X A", Wanted::Present, BadValue::Name),
            ("Host", exactly("a"), BadValue::Host),
            ("X-Plan-Tier", Wanted::Present, BadValue::Gateways),
            ("authorization", exactly("Bearer x"), BadValue::Credential),
            ("X-A", exactly(" a"), BadValue::Value),
            ("X-A", exactly("a\r\nb"), BadValue::Value),
        ] {
            assert_eq!(HeaderCondition::parse(name, wanted), Err(expected), "{name}");
        }
        assert!(HeaderCondition::parse("Authorization", Wanted::Present).is_ok());
        for name in ["", &"x".repeat(LONGEST + 1)] {
            assert_eq!(QueryCondition::parse(name, Wanted::Present), Err(BadValue::QueryName), "{name}");
        }
    }
}
