//! Hosts that routes are for, and the host that a request names, in one spelling.

use std::fmt;
use std::io::Write;
use std::net::Ipv6Addr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

use crate::resource::parsed;

/// Of a name (RFC 1035 section 2.3.4), without its trailing dot.
const LONGEST: usize = 253;
const LONGEST_LABEL: usize = 63;

/// `api.example.com`, or `*.example.com` for every name below `example.com`, however many labels it has more; not for
/// `example.com` itself. Addresses stand for themselves, IPv6 in brackets. Lower case, no trailing dot, no port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPattern(SmolStr);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHost {
    #[error("must be a host such as api.example.com, or *.example.com for all below it")]
    Name,
    #[error("must be a host without a port: a route is for all ports")]
    Port,
    #[error("must be in ASCII, as requests name it: xn--… where it has other letters")]
    NotAscii,
    #[error("must leave two labels or more behind the asterisk")]
    TooWide,
    #[error("is no IPv6 address")]
    Address,
}

impl HostPattern {
    pub fn parse(text: &str) -> Result<Self, BadHost> {
        if !text.is_ascii() {
            return Err(BadHost::NotAscii);
        }
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(BadHost::Address)?;
            let address: Ipv6Addr = inner.parse().map_err(|_| BadHost::Address)?;
            return Ok(Self(smol_str::format_smolstr!("[{address}]")));
        }
        if text.contains(':') {
            return Err(BadHost::Port);
        }
        let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let (name, is_wildcard) = text.strip_prefix("*.").map_or((text.as_str(), false), |name| (name, true));
        if text.len() > LONGEST || !name.split('.').all(is_label) {
            return Err(BadHost::Name);
        }
        if is_wildcard && !name.contains('.') {
            return Err(BadHost::TooWide);
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name that all names of a wildcard are below.
    pub fn wildcard(&self) -> Option<&str> {
        self.0.strip_prefix("*.")
    }

    /// Whether there is a host that both are for.
    pub fn overlaps(&self, other: &Self) -> bool {
        let is_below = |text: &str, name: &str| {
            text.strip_suffix(name).is_some_and(|before| before.ends_with('.') || before.is_empty())
        };
        match (self.wildcard(), other.wildcard()) {
            (None, None) => self == other,
            (Some(name), None) => other.0.len() > name.len() && is_below(&other.0, name),
            (None, Some(name)) => self.0.len() > name.len() && is_below(&self.0, name),
            (Some(own), Some(others)) => is_below(own, others) || is_below(others, own),
        }
    }
}

fn is_label(label: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=LONGEST_LABEL).contains(&label.len())
        && label.bytes().all(is_inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for HostPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, Self::parse)
    }
}

/// Room for the host of a request in the spelling of patterns.
pub type HostBuffer = [u8; LONGEST + 1];

/// The host of an authority (`host`, `host:port`, `[address]:port`) as patterns spell it; `None` where no pattern can
/// be for it.
pub fn read_host<'b>(authority: &[u8], buffer: &'b mut HostBuffer) -> Option<&'b mut [u8]> {
    if authority.first() == Some(&b'[') {
        let close = memchr::memchr(b']', authority)?;
        let address: Ipv6Addr = std::str::from_utf8(&authority[1..close]).ok()?.parse().ok()?;
        let mut left = &mut buffer[..];
        write!(left, "[{address}]").ok()?;
        let free = left.len();
        return buffer.len().checked_sub(free).and_then(|length| buffer.get_mut(..length));
    }
    let host = authority.split(|&byte| byte == b':').next().unwrap_or(authority);
    let host = host.strip_suffix(b".").unwrap_or(host);
    let name = buffer.get_mut(..host.len()).filter(|name| (1..=LONGEST).contains(&name.len()))?;
    name.copy_from_slice(host);
    name.make_ascii_lowercase();
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(authority: &str) -> Option<String> {
        let mut buffer = [0; LONGEST + 1];
        read_host(authority.as_bytes(), &mut buffer).map(|host| String::from_utf8(host.to_vec()).unwrap())
    }

    #[test]
    fn a_host_has_one_spelling() {
        for same in ["api.example.com", "API.Example.COM", "api.example.com."] {
            assert_eq!(HostPattern::parse(same).unwrap().as_str(), "api.example.com", "{same}");
        }
        for same in ["api.example.com", "API.example.com:8080", "api.example.com.:80", "api.example.com:"] {
            assert_eq!(read(same).as_deref(), Some("api.example.com"), "{same}");
        }
        assert_eq!(HostPattern::parse("[2001:DB8:0::1]").unwrap().as_str(), "[2001:db8::1]");
        for same in ["[2001:db8::1]", "[2001:0db8::0:1]:443"] {
            assert_eq!(read(same).as_deref(), Some("[2001:db8::1]"), "{same}");
        }
        for odd in ["", ":80", "[::1", "[x]", ".", &"a".repeat(254)] {
            assert_eq!(read(odd), None, "{odd}");
        }
        assert_eq!(read(&"a".repeat(253)).map(|host| host.len()), Some(253));
    }

    #[test]
    fn what_is_no_host_is_refused_with_its_reason() {
        for (text, expected) in [
            ("", BadHost::Name),
            ("*", BadHost::Name),
            ("a.*.com", BadHost::Name),
            ("*a.example.com", BadHost::Name),
            ("*.*.example.com", BadHost::Name),
            ("a..b", BadHost::Name),
            ("-a.b", BadHost::Name),
            ("a/b", BadHost::Name),
            ("http://a", BadHost::Port),
            ("a:80", BadHost::Port),
            ("::1", BadHost::Port),
            ("*.com", BadHost::TooWide),
            ("bücher.example", BadHost::NotAscii),
            ("[::1", BadHost::Address),
            ("[a.b]", BadHost::Address),
        ] {
            assert_eq!(HostPattern::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn patterns_overlap_where_one_host_is_of_both() {
        for (one, other, expected) in [
            ("a.example.com", "a.example.com", true),
            ("a.example.com", "b.example.com", false),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "badexample.com", false),
            ("*.example.com", "*.b.example.com", true),
            ("*.example.com", "*.badexample.com", false),
            ("*.example.com", "*.example.com", true),
        ] {
            let [one, other] = [one, other].map(|text| HostPattern::parse(text).unwrap());
            assert_eq!((one.overlaps(&other), other.overlaps(&one)), (expected, expected), "{one} {other}");
        }
    }
}
