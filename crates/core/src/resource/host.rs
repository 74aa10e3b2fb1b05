//! Whom a URL names: an IP address, or a name of DNS.

use std::fmt;
use std::net::IpAddr;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    Address(IpAddr),
    Name(HostName),
}

/// A DNS name in lower case. A dot at its end says that it is whole. With one and without are two names: by a search list
/// they may lead to two machines.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostName(Box<str>);

impl HostName {
    pub(super) fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// As it was written: only so can a resolver tell whether it is whole.
    pub const fn to_look_up(&self) -> &str {
        &self.0
    }

    /// As certificates and TLS (RFC 6066 section 3) have it, and what decides who it is.
    pub fn without_dot(&self) -> &str {
        self.0.strip_suffix('.').unwrap_or(&self.0)
    }

    pub(super) fn is_localhost(&self) -> bool {
        let name = self.without_dot();
        name == "localhost" || name.ends_with(".localhost")
    }
}

/// As it stands in a URL.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Name(name) => f.write_str(name.to_look_up()),
        }
    }
}
