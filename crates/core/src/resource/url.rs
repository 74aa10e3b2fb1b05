//! Where an upstream is: `http` or `https`, a host, a port, perhaps a path to put before every request's.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::host::{Host, HostName};
use super::text::parsed;
use crate::address::{self, AddressClass, AddressRefused, AllowList, Reach};
use crate::routing::CanonicalPath;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A validated upstream URL. Two texts of the same place (`HTTP://Host:80/` and `http://host`) are equal; `http://host.` is
/// another, as a search list may lead there and here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BaseUrl {
    scheme: Scheme,
    host: Host,
    port: u16,
    /// Empty, or a path that starts with a slash and does not end with one.
    path_prefix: Box<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    #[error("must start with http:// or https://")]
    Scheme,
    #[error("must not contain credentials (user:password@)")]
    Credentials,
    #[error("must not have a query or a fragment")]
    QueryOrFragment,
    #[error("has no valid host")]
    Host,
    #[error("has no valid port (1 to 65535)")]
    Port,
    #[error("has a path that is not plain: {0}")]
    Path(String),
    #[error("is longer than 2048 characters")]
    Length,
    #[error("is a link-local or cloud-metadata address, which no upstream may have")]
    Metadata,
    #[error("is not an address that a server can have")]
    Unusable,
}

impl BaseUrl {
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        if text.len() > 2_048 {
            return Err(BadUrl::Length);
        }
        let (scheme, rest) = split_scheme(text).ok_or(BadUrl::Scheme)?;
        let authority_end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(authority_end);
        if authority.contains('@') {
            return Err(BadUrl::Credentials);
        }
        if path.contains(['?', '#']) {
            return Err(BadUrl::QueryOrFragment);
        }
        let (host, port) = split_port(authority)?;
        let host = parse_host(host)?;
        let port = port.map_or(Ok(scheme.default_port()), parse_port)?;
        let path_prefix = path.trim_end_matches('/');
        if !path_prefix.is_empty() {
            CanonicalPath::parse(path_prefix.as_bytes())
                .map_err(|problem| BadUrl::Path(problem.to_string()))?;
        }
        Ok(Self { scheme, host, port, path_prefix: path_prefix.into() })
    }

    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    pub const fn host(&self) -> &Host {
        &self.host
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    pub const fn path_prefix(&self) -> &str {
        &self.path_prefix
    }

    /// Host and port as they stand in a `Host` field: the scheme's own port is left out, and a dot at the name's end.
    pub fn authority(&self) -> String {
        match &self.host {
            Host::Address(_) => self.with_port(&self.host),
            Host::Name(name) => self.with_port(&name.without_dot()),
        }
    }

    /// Host and port as they stand in a URL: only the scheme's own port is left out.
    pub(super) fn url_authority(&self) -> String {
        self.with_port(&self.host)
    }

    fn with_port(&self, host: &dyn fmt::Display) -> String {
        if self.port == self.scheme.default_port() {
            host.to_string()
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// Whether a target of this reach may be there, as far as the text tells: a name is judged when it is
    /// resolved, but for `localhost`.
    pub fn permit(&self, reach: Reach, allowed: &AllowList) -> Result<(), AddressRefused> {
        match &self.host {
            Host::Address(address) => address::permit(*address, reach, allowed),
            Host::Name(name) if name.is_localhost() => {
                address::permit(IpAddr::V4(Ipv4Addr::LOCALHOST), reach, allowed)
            }
            Host::Name(_) => Ok(()),
        }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.as_str(), self.url_authority(), self.path_prefix)
    }
}

impl Serialize for BaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, Self::parse)
    }
}

fn split_scheme(text: &str) -> Option<(Scheme, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    if scheme.eq_ignore_ascii_case("http") {
        Some((Scheme::Http, rest))
    } else if scheme.eq_ignore_ascii_case("https") {
        Some((Scheme::Https, rest))
    } else {
        None
    }
}

pub(super) fn split_port(authority: &str) -> Result<(&str, Option<&str>), BadUrl> {
    if authority.starts_with('[') {
        let end = authority.find(']').ok_or(BadUrl::Host)? + 1;
        let (host, rest) = authority.split_at(end);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(BadUrl::Host),
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

pub(super) fn parse_port(text: &str) -> Result<u16, BadUrl> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadUrl::Port);
    }
    text.parse::<NonZeroU16>().map(NonZeroU16::get).map_err(|_| BadUrl::Port)
}

pub(super) fn parse_host(text: &str) -> Result<Host, BadUrl> {
    if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        let address = inner.parse::<Ipv6Addr>().map_err(|_| BadUrl::Host)?;
        return literal(IpAddr::V6(address));
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return literal(IpAddr::V4(address));
    }
    let text = text.to_ascii_lowercase();
    let name = text.strip_suffix('.').unwrap_or(&text);
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // Resolvers read `127.1`, `0x7f.1` and `2130706433` as IPv4 addresses: a name ends in a letter's label.
    let ends_like_a_number = name.rsplit('.').next().is_some_and(|last| {
        last.bytes().all(|byte| byte.is_ascii_digit())
            || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    });
    if name.len() > 253 || !name.split('.').all(is_label) || ends_like_a_number {
        return Err(BadUrl::Host);
    }
    if address::is_metadata_name(name) {
        return Err(BadUrl::Metadata);
    }
    Ok(Host::Name(HostName::new(text)))
}

fn literal(address: IpAddr) -> Result<Host, BadUrl> {
    match address::classify(address) {
        AddressClass::Metadata => Err(BadUrl::Metadata),
        AddressClass::Unusable => Err(BadUrl::Unusable),
        AddressClass::Public | AddressClass::Loopback | AddressClass::Private => Ok(Host::Address(address)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_places_are_equal() {
        let canonical = BaseUrl::parse("http://host").unwrap();
        for same in ["HTTP://Host:80/", "http://host/", "http://HOST:80"] {
            assert_eq!(BaseUrl::parse(same).unwrap(), canonical, "{same}");
        }
        for other in ["https://host", "http://host."] {
            assert_ne!(BaseUrl::parse(other).unwrap(), canonical, "{other}");
        }
    }

    #[test]
    fn the_text_parses_back() {
        for text in [
            "http://a.b:8080/x/y",
            "http://a.:8080/x",
            "https://a.b.",
            "https://[2001:db8::1]:8443",
            "http://127.0.0.1:9001",
        ] {
            assert_eq!(BaseUrl::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_dot_at_the_end_is_for_the_resolver_alone() {
        let url = BaseUrl::parse("http://API.Test.:8080").unwrap();
        let Host::Name(name) = url.host() else { panic!("{url}") };
        assert_eq!((name.to_look_up(), name.without_dot()), ("api.test.", "api.test"));
        assert_eq!(url.authority(), "api.test:8080");
        let longest = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
        for text in [format!("http://{longest}"), format!("http://{longest}.")] {
            assert_eq!(BaseUrl::parse(&text).unwrap().authority(), longest);
        }
        let nobody = AllowList::default();
        let refused = BaseUrl::parse("http://localhost").unwrap().permit(Reach::Public, &nobody);
        assert!(refused.is_err());
        assert_eq!(BaseUrl::parse("http://localhost.").unwrap().permit(Reach::Public, &nobody), refused);
        for bad in ["http://.", "http://a..", "http://a..:80"] {
            assert_eq!(BaseUrl::parse(bad), Err(BadUrl::Host), "{bad}");
        }
        for metadata in ["http://metadata.google.internal.", "http://Instance-Data."] {
            assert_eq!(BaseUrl::parse(metadata), Err(BadUrl::Metadata), "{metadata}");
        }
        assert_eq!(BaseUrl::parse("http://2130706433."), Err(BadUrl::Host));
    }

    #[test]
    fn bad_urls_are_refused_with_their_reason() {
        for (text, expected) in [
            ("ftp://host", BadUrl::Scheme),
            ("host:80", BadUrl::Scheme),
            ("http://user:pw@host", BadUrl::Credentials),
            ("http://host/?q=1", BadUrl::QueryOrFragment),
            ("http://", BadUrl::Host),
            ("http://host:0", BadUrl::Port),
            ("http://host:65536", BadUrl::Port),
            ("http://host:+80", BadUrl::Port),
            ("http://ho st", BadUrl::Host),
            ("http://127.1", BadUrl::Host),
            ("http://2130706433", BadUrl::Host),
            ("http://0x7f000001", BadUrl::Host),
            ("http://a.0x7f", BadUrl::Host),
            ("http://[::1", BadUrl::Host),
            ("http://169.254.169.254/latest", BadUrl::Metadata),
            ("http://[::ffff:a9fe:a9fe]", BadUrl::Metadata),
            ("http://metadata.google.internal", BadUrl::Metadata),
            ("http://0.0.0.0", BadUrl::Unusable),
        ] {
            assert_eq!(BaseUrl::parse(text), Err(expected), "{text}");
        }
        assert!(matches!(BaseUrl::parse("http://host/a/../b"), Err(BadUrl::Path(_))));
        assert!(matches!(BaseUrl::parse("http://host\\@evil"), Err(BadUrl::Path(_))));
    }
}
