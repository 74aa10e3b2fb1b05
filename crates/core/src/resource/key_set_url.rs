//! Where an issuer's public keys are: a place as upstreams have one, and exactly what is asked of it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::parsed;
use super::{BadUrl, BaseUrl};

/// A validated URL, perhaps with a query. A slash at the end is part of it, as the issuer wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeySetUrl {
    place: BaseUrl,
    /// The path and the query, as they stand in a request.
    target: Box<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKeySetUrl {
    #[error(transparent)]
    Url(#[from] BadUrl),
    #[error("must not have a fragment")]
    Fragment,
    #[error("has a query with characters that belong percent-encoded")]
    Query,
}

impl KeySetUrl {
    pub fn parse(text: &str) -> Result<Self, BadKeySetUrl> {
        if text.len() > 2_048 {
            return Err(BadUrl::Length.into());
        }
        if text.contains('#') {
            return Err(BadKeySetUrl::Fragment);
        }
        let (before, query) = match text.split_once('?') {
            Some((before, query)) if query.bytes().all(may_be_in_query) => (before, Some(query)),
            Some(_) => return Err(BadKeySetUrl::Query),
            None => (text, None),
        };
        let place = BaseUrl::parse(before)?;
        // The authority has no slash, so the path begins at the first one behind it.
        let path = before.splitn(4, '/').nth(3).unwrap_or_default();
        let target = match query {
            Some(query) => format!("/{path}?{query}"),
            None => format!("/{path}"),
        };
        Ok(Self { place, target: target.into() })
    }

    pub const fn place(&self) -> &BaseUrl {
        &self.place
    }

    pub const fn target(&self) -> &str {
        &self.target
    }
}

/// RFC 3986 section 3.4, but for the percent sign's two digits: whoever answers reads those.
fn may_be_in_query(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte)
}

impl fmt::Display for KeySetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.place.scheme().as_str(), self.place.url_authority(), self.target)
    }
}

impl Serialize for KeySetUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeySetUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_what_was_written() {
        for (text, target) in [
            ("https://id.example", "/"),
            ("https://id.example/keys", "/keys"),
            ("https://id.example/keys/", "/keys/"),
            ("https://id.example/keys?p=b2c_1&v=%20x", "/keys?p=b2c_1&v=%20x"),
            ("https://id.example/keys/?", "/keys/?"),
            ("https://id.example?tenant=a/b?c", "/?tenant=a/b?c"),
            ("https://[2001:db8::1]:8443/a/b", "/a/b"),
        ] {
            let url = KeySetUrl::parse(text).unwrap();
            assert_eq!(url.target(), target, "{text}");
            assert_eq!(KeySetUrl::parse(&url.to_string()).unwrap(), url, "{text}");
        }
        let url = KeySetUrl::parse("HTTPS://ID.example:443/Keys?A").unwrap();
        assert_eq!(url.to_string(), "https://id.example/Keys?A");
    }

    #[test]
    fn nothing_gets_into_the_request_that_does_not_belong_there() {
        for query in ["a b", "a\r\nHost: x", "a\u{e9}", "a\"b", "a<b", "a\\b", "a\0"] {
            let text = format!("https://id.example/keys?{query}");
            assert_eq!(KeySetUrl::parse(&text), Err(BadKeySetUrl::Query), "{query:?}");
        }
        assert_eq!(KeySetUrl::parse("https://id.example/keys#x"), Err(BadKeySetUrl::Fragment));
        assert_eq!(KeySetUrl::parse("https://id.example/keys?x#y"), Err(BadKeySetUrl::Fragment));
        for text in ["keys?x=1", "https://a:b@id.example/?x", "https://169.254.169.254/?x", "https:///keys"] {
            assert!(matches!(KeySetUrl::parse(text), Err(BadKeySetUrl::Url(_))), "{text}");
        }
        assert!(KeySetUrl::parse("https://id.example/a/../keys?x").is_err());
        assert!(KeySetUrl::parse(&format!("https://id.example/?{}", "x".repeat(2_048))).is_err());
    }
}
