//! What a request is called, and where it came from.

use std::borrow::Cow;
use std::net::IpAddr;

use tollgate_core::address::Network;
use tollgate_http1::{FieldId, Fields, list_tokens};

use crate::worker::Worker;

/// 128 random bits as 32 hexadecimal digits, or what a trusted proxy called the request.
#[derive(Clone)]
pub(crate) struct RequestId {
    text: [u8; LONGEST_ID],
    length: usize,
    span: [u8; 16],
}

const LONGEST_ID: usize = 64;
const OWN_ID: usize = 32;

impl RequestId {
    pub fn random(worker: &Worker) -> Self {
        let mut text = [0; LONGEST_ID];
        text[..16].copy_from_slice(&hex(worker.random()));
        text[16..OWN_ID].copy_from_slice(&hex(worker.random()));
        Self { text, length: OWN_ID, span: hex(worker.random() | 1) }
    }

    /// The id that a trusted proxy gave, where it is a plain one.
    pub fn of(worker: &Worker, fields: &Fields, peer: Trust) -> Self {
        let own = Self::random(worker);
        let is_plain = |id: &&[u8]| {
            (1..=LONGEST_ID).contains(&id.len())
                && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        };
        match (peer, fields.first(FieldId::XRequestId).filter(is_plain)) {
            (Trust::Trusted, Some(given)) => {
                let mut text = own.text;
                text[..given.len()].copy_from_slice(given);
                Self { text, length: given.len(), span: own.span }
            }
            (Trust::Trusted, None) | (Trust::Untrusted, _) => own,
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }

    /// A trace that begins here (W3C Trace Context section 3.2.2). The trace id is the request id where
    /// Tollgate made that, so that one leads to the other.
    pub fn traceparent(&self) -> [u8; 55] {
        let mut value = *b"00-00000000000000000000000000000000-0000000000000000-01";
        if self.length == OWN_ID
            && self.as_bytes().iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        {
            value[3..35].copy_from_slice(self.as_bytes());
        } else {
            value[3..19].copy_from_slice(&self.span);
            value[19..35].copy_from_slice(&self.span);
        }
        value[36..52].copy_from_slice(&self.span);
        value
    }
}

/// Eight digits at a time: each nibble in a byte of its own, then all made letters or digits at once.
fn hex(bits: u64) -> [u8; 16] {
    let spread = |half: u64| {
        let pairs = (half | half << 16) & 0x0000_ffff_0000_ffff;
        let bytes = (pairs | pairs << 8) & 0x00ff_00ff_00ff_00ff;
        let nibbles = (bytes | bytes << 4) & 0x0f0f_0f0f_0f0f_0f0f;
        let letters = ((nibbles + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
        (nibbles + 0x3030_3030_3030_3030 + letters * 0x27).to_be_bytes()
    };
    let mut text = [0; 16];
    text[..8].copy_from_slice(&spread(bits >> 32));
    text[8..].copy_from_slice(&spread(bits & 0xffff_ffff));
    text
}

/// Whether what a peer says of others is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    Trusted,
    Untrusted,
}

/// The other end of a client's connection.
pub(crate) struct Peer {
    pub ip: IpAddr,
    pub text: Box<str>,
    pub trust: Trust,
}

impl Peer {
    pub fn new(ip: IpAddr, trusted: &[Network]) -> Self {
        let ip = ip.to_canonical();
        Self { ip, text: ip.to_string().into(), trust: trust(ip, trusted) }
    }
}

fn trust(ip: IpAddr, trusted: &[Network]) -> Trust {
    if trusted.iter().any(|network| network.contains(ip)) { Trust::Trusted } else { Trust::Untrusted }
}

/// Where a request came from, as far as it can be believed.
pub(crate) struct Origin<'r> {
    peer: &'r Peer,
    fields: &'r Fields,
    /// The client itself: the peer, or whom trusted proxies name.
    pub client_ip: Cow<'r, str>,
}

impl<'r> Origin<'r> {
    pub fn of(peer: &'r Peer, fields: &'r Fields, trusted: &[Network]) -> Self {
        let client_ip = match peer.trust {
            Trust::Untrusted => Cow::Borrowed(peer.text.as_ref()),
            Trust::Trusted => last_untrusted(fields, trusted)
                .map_or(Cow::Borrowed(peer.text.as_ref()), |ip| Cow::Owned(ip.to_string())),
        };
        Self { peer, fields, client_ip }
    }

    /// `X-Forwarded-*` and `Forwarded` (RFC 7239): begun here, or carried on from a trusted proxy.
    pub fn append_forwarding(
        &self,
        port: u16,
        authority: Option<&[u8]>,
        mut append: impl FnMut(&[u8], &[u8]),
    ) {
        let peer = self.peer.text.as_bytes();
        let before = |id| match self.peer.trust {
            Trust::Trusted => self.fields.first(id),
            Trust::Untrusted => None,
        };
        if before(FieldId::XForwardedFor).is_some() {
            append(b"X-Forwarded-For", &extended(self.fields, FieldId::XForwardedFor, peer));
        } else {
            append(b"X-Forwarded-For", peer);
        }
        append(b"X-Forwarded-Proto", before(FieldId::XForwardedProto).unwrap_or(b"http"));
        if let Some(host) = before(FieldId::XForwardedHost).or(authority) {
            append(b"X-Forwarded-Host", host);
        }
        match before(FieldId::XForwardedPort) {
            Some(before) => append(b"X-Forwarded-Port", before),
            None => append(b"X-Forwarded-Port", itoa::Buffer::new().format(port).as_bytes()),
        }
        let mut element = [0u8; 320];
        let length = self.write_forwarded(authority, &mut element);
        let element = &element[..length];
        if before(FieldId::Forwarded).is_some() {
            append(b"Forwarded", &extended(self.fields, FieldId::Forwarded, element));
        } else {
            append(b"Forwarded", element);
        }
    }

    /// `for=…;host="…";proto=http`; an IPv6 address is quoted and bracketed (RFC 7239 section 6). A host
    /// that does not fit is left out.
    fn write_forwarded(&self, authority: Option<&[u8]>, element: &mut [u8; 320]) -> usize {
        let (open, close): (&[u8], &[u8]) =
            if self.peer.ip.is_ipv6() { (b"for=\"[", b"]\"") } else { (b"for=", b"") };
        let host: [&[u8]; 3] = match authority {
            Some(host) if host.len() <= 200 => [b";host=\"", host, b"\""],
            Some(_) | None => [b"", b"", b""],
        };
        let mut length = 0;
        for part in [open, self.peer.text.as_bytes(), close, host[0], host[1], host[2], b";proto=http"] {
            if let Some(space) = element.get_mut(length..length + part.len()) {
                space.copy_from_slice(part);
                length += part.len();
            }
        }
        length
    }
}

/// All values of a list field, and `last` behind them.
fn extended(fields: &Fields, id: FieldId, last: &[u8]) -> Vec<u8> {
    let mut list = Vec::new();
    for value in fields.all(id) {
        list.extend_from_slice(value);
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(last);
    list
}

fn parse_ip(text: &[u8]) -> Option<IpAddr> {
    let ip: IpAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(ip.to_canonical())
}

/// The nearest address in `X-Forwarded-For` that is no trusted proxy's; the farthest where all are.
fn last_untrusted(fields: &Fields, trusted: &[Network]) -> Option<IpAddr> {
    let mut found = None;
    let hops: Vec<&[u8]> = fields.all(FieldId::XForwardedFor).flat_map(list_tokens).collect();
    for hop in hops.into_iter().rev() {
        // What stands behind something unreadable was said by nobody known.
        let Some(ip) = parse_ip(hop) else { break };
        found = Some(ip);
        if trust(ip, trusted) == Trust::Untrusted {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_are_the_usual_ones() {
        for bits in [0, 1, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX] {
            assert_eq!(hex(bits), format!("{bits:016x}").as_bytes());
        }
    }
}
