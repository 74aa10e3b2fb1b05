//! Names that stand in URLs and headers.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

use super::text::parsed;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSlug {
    #[error("must have 1 to {0} characters")]
    Length(usize),
    #[error("must be lower-case letters, digits, hyphens and underscores, and start with a letter or digit")]
    Characters,
    #[error("must be letters, digits and . _ : @ + - and start with a letter or digit")]
    ClientIdCharacters,
    #[error("is reserved for the gateway itself")]
    Reserved,
}

const LONGEST_SLUG: usize = 63;
const LONGEST_CLIENT_ID: usize = 128;
/// First path segments that the proxy answers itself.
const RESERVED_TENANTS: [&str; 1] = ["health"];

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident by $check:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(SmolStr);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, BadSlug> {
                $check(text)?;
                Ok(Self(text.into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        // Hashes and compares as its text, so that a map can be asked with a piece of a path.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                parsed(deserializer, Self::parse)
            }
        }
    )*};
}

names! {
    /// First segment of a proxied path.
    TenantSlug by tenant_slug
    /// Second segment of a proxied path.
    ServiceSlug by slug
    PlanSlug by slug
    /// Names a rule of a service.
    RuleName by slug
    /// What a client sends as `X-Client-ID`.
    ClientId by client_id
}

fn tenant_slug(text: &str) -> Result<(), BadSlug> {
    slug(text)?;
    if RESERVED_TENANTS.contains(&text) { Err(BadSlug::Reserved) } else { Ok(()) }
}

fn slug(text: &str) -> Result<(), BadSlug> {
    if text.is_empty() || text.len() > LONGEST_SLUG {
        return Err(BadSlug::Length(LONGEST_SLUG));
    }
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let starts_well = text.bytes().next().is_some_and(alphanumeric);
    if starts_well && text.bytes().all(|byte| alphanumeric(byte) || matches!(byte, b'-' | b'_')) {
        Ok(())
    } else {
        Err(BadSlug::Characters)
    }
}

fn client_id(text: &str) -> Result<(), BadSlug> {
    if text.is_empty() || text.len() > LONGEST_CLIENT_ID {
        return Err(BadSlug::Length(LONGEST_CLIENT_ID));
    }
    let starts_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@+-".contains(&byte);
    if starts_well && text.bytes().all(allowed) { Ok(()) } else { Err(BadSlug::ClientIdCharacters) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_checked() {
        assert!(TenantSlug::parse("test-tenant").is_ok());
        assert_eq!(TenantSlug::parse(""), Err(BadSlug::Length(63)));
        assert_eq!(TenantSlug::parse(&"a".repeat(64)), Err(BadSlug::Length(63)));
        for bad in ["Acme", "-", "-a", "a/b", "a b", "é", ".well-known"] {
            assert_eq!(TenantSlug::parse(bad), Err(BadSlug::Characters), "{bad}");
        }
    }

    #[test]
    fn what_the_gateway_answers_itself_is_no_tenant() {
        assert_eq!(TenantSlug::parse("health"), Err(BadSlug::Reserved));
        assert!(ServiceSlug::parse("health").is_ok());
    }

    #[test]
    fn client_ids_may_be_mail_addresses_but_not_header_noise() {
        assert!(ClientId::parse("ann+eu@example.com").is_ok());
        for bad in ["a b", "a,b", "@a", "a\u{e9}", "a\r\n"] {
            assert_eq!(ClientId::parse(bad), Err(BadSlug::ClientIdCharacters), "{bad}");
        }
    }
}
