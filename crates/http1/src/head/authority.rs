//! `host [ ":" port ]`, in a `Host` field or a request target.

/// A checked authority (RFC 3986 3.2) without user information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// A name or an IPv4 address as sent, or an IP literal with its brackets.
    pub host: &'a [u8],
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Accepts letters, digits and `-._~`, or an IP literal, and an optional decimal port, which RFC
    /// 3986 allows to be empty.
    ///
    /// Narrower than `reg-name`: percent-encoding and `!$&'()*+,;=` occur in no host name, and
    /// readers differ on what they mean.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let host_bytes = match bytes.first()? {
            b'[' => ip_literal_bytes(bytes)?,
            _ => bytes.iter().take_while(|&&byte| is_name_byte(byte)).count(),
        };
        let (host, rest) = bytes.split_at_checked(host_bytes)?;
        if host.is_empty() {
            return None;
        }
        match rest {
            [] | [b':'] => Some(Self { host, port: None }),
            [b':', digits @ ..] => Some(Self { host, port: Some(parse_port(digits)?) }),
            _ => None,
        }
    }
}

/// Length of the IP literal that `bytes` start with, brackets included (RFC 3986 3.2.2). The form for
/// future versions has never been assigned and is refused.
fn ip_literal_bytes(bytes: &[u8]) -> Option<usize> {
    let close = bytes.iter().position(|&byte| byte == b']')?;
    let inside = bytes.get(1..close)?;
    let address = std::str::from_utf8(inside).ok()?;
    address.parse::<std::net::Ipv6Addr>().ok()?;
    Some(close + 1)
}

fn parse_port(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |port, &byte| match byte {
        b'0'..=b'9' => port.checked_mul(10)?.checked_add(u16::from(byte - b'0')),
        _ => None,
    })
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}
