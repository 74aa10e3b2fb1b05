//! Protocol versions and methods.

/// The HTTP/1 minor versions. A later one counts as the last known (RFC 9110 2.5); any other major version is refused while
/// parsing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    Http10,
    #[default]
    Http11,
}

impl Version {
    /// By the digit behind `HTTP/1.`.
    pub(crate) fn of_minor(digit: u8) -> Option<Self> {
        match digit {
            b'0' => Some(Self::Http10),
            b'1'..=b'9' => Some(Self::Http11),
            _ => None,
        }
    }
}

/// The registered methods the gateway tells apart (RFC 9110 9.3, RFC 5789).
///
/// Method names are case-sensitive: `get` is [`Method::Other`], and its name is in the head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    Other,
}

impl Method {
    /// Longest method name accepted, in bytes; the longest registered one has 17.
    pub(crate) const MAX_NAME_BYTES: usize = 32;

    pub fn of(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }

    /// Whether doing it twice is the same as doing it once (RFC 9110 9.2.2). Unknown methods are
    /// not assumed to be.
    pub fn is_idempotent(self) -> bool {
        match self {
            Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options | Self::Trace => true,
            Self::Post | Self::Connect | Self::Patch | Self::Other => false,
        }
    }
}
