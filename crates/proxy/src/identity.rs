//! What a request is called, and where it came from.

mod forwarding;

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::Range;

use tollgate_core::address::Network;
use tollgate_http1::{FieldId, Fields};

use crate::forwarded;
use crate::worker::Worker;

/// 128 random bits as 32 hexadecimal digits, or what a trusted proxy called the request.
#[derive(Clone)]
pub(crate) struct RequestId {
    /// A trace that begins here (W3C Trace Context section 3.2.2). Its trace id is the request id where that
    /// can be one, so that one leads to the other.
    traceparent: [u8; TRACEPARENT_BYTES],
    /// A trusted proxy's id that is no trace id.
    given: Option<Given>,
}

#[derive(Clone)]
struct Given {
    text: [u8; LONGEST_ID],
    length: usize,
}

const LONGEST_ID: usize = 64;
const TRACEPARENT_BYTES: usize = 55;
const TRACE_ID: Range<usize> = 3..35;
const SPAN_ID: Range<usize> = 36..52;

impl RequestId {
    pub fn random(worker: &Worker) -> Self {
        let mut traceparent = *b"00-00000000000000000000000000000000-0000000000000000-01";
        traceparent[3..19].copy_from_slice(&hex(worker.random()));
        // Neither id may be zero.
        traceparent[19..35].copy_from_slice(&hex(worker.random() | 1));
        traceparent[SPAN_ID].copy_from_slice(&hex(worker.random() | 1));
        Self { traceparent, given: None }
    }

    /// The id that a trusted proxy gave, where it is a plain one.
    pub fn of(worker: &Worker, fields: &Fields, peer: Trust) -> Self {
        let mut own = Self::random(worker);
        if peer == Trust::Trusted
            && let Some(given) = fields.first(FieldId::XRequestId).filter(|id| is_plain(id))
        {
            own.rename(given);
        }
        own
    }

    fn rename(&mut self, given: &[u8]) {
        if given.len() == TRACE_ID.len() && is_id(given) {
            self.traceparent[TRACE_ID].copy_from_slice(given);
        } else {
            let mut text = [0; LONGEST_ID];
            text[..given.len()].copy_from_slice(given);
            self.given = Some(Given { text, length: given.len() });
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        match &self.given {
            Some(given) => &given.text[..given.length],
            None => &self.traceparent[TRACE_ID],
        }
    }

    /// The same for the log; it is ASCII, whoever gave it.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    pub const fn traceparent(&self) -> &[u8; TRACEPARENT_BYTES] {
        &self.traceparent
    }
}

fn is_plain(id: &[u8]) -> bool {
    (1..=LONGEST_ID).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// `00-<32 hex>-<16 hex>-<2 hex>` (W3C Trace Context section 3.2); another version is read as that.
pub(crate) fn is_traceparent(value: &[u8]) -> bool {
    value.len() == TRACEPARENT_BYTES
        && [2, 35, 52].iter().all(|&at| value[at] == b'-')
        && is_hex(&value[..2])
        && &value[..2] != b"ff"
        && is_id(&value[TRACE_ID])
        && is_id(&value[SPAN_ID])
        && is_hex(&value[53..])
}

/// Of a trace or a span: not zero.
fn is_id(text: &[u8]) -> bool {
    is_hex(text) && text.iter().any(|&byte| byte != b'0')
}

fn is_hex(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
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
    ip: IpAddr,
    pub text: Box<str>,
    pub trust: Trust,
    /// The port that it reached the gateway at.
    port: u16,
    /// `X-Forwarded-For`, `-Proto` and `-Port` where nobody is to be carried on from: the same for all
    /// requests of a connection.
    lines: Box<[u8]>,
    /// `for=` and the address, as it stands in `Forwarded`; an IPv6 address is quoted and bracketed (RFC 7239
    /// section 6).
    element: Box<[u8]>,
}

impl Peer {
    pub fn new(ip: IpAddr, port: u16, trusted: &[Network]) -> Self {
        let ip = ip.to_canonical();
        let lines =
            format!("X-Forwarded-For: {ip}\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: {port}\r\n");
        let element = if ip.is_ipv6() { format!("for=\"[{ip}]\"") } else { format!("for={ip}") };
        Self {
            ip,
            text: ip.to_string().into(),
            trust: trust(ip, trusted),
            port,
            lines: lines.into_bytes().into(),
            element: element.into_bytes().into(),
        }
    }
}

fn trust(ip: IpAddr, trusted: &[Network]) -> Trust {
    if trusted.iter().any(|network| network.contains(ip)) { Trust::Trusted } else { Trust::Untrusted }
}

/// Where a request came from, as far as it can be believed.
pub(crate) struct Origin<'r> {
    peer: &'r Peer,
    fields: &'r Fields,
    trusted: &'r [Network],
    /// The client itself: the peer, or whom trusted proxies name.
    pub client: IpAddr,
    /// The same as text.
    pub client_ip: Cow<'r, str>,
}

impl<'r> Origin<'r> {
    pub fn of(peer: &'r Peer, fields: &'r Fields, trusted: &'r [Network]) -> Self {
        let named = match peer.trust {
            Trust::Untrusted => None,
            Trust::Trusted => last_untrusted(fields, trusted),
        };
        let (client, client_ip) = match named {
            Some(ip) => (ip, Cow::Owned(ip.to_string())),
            None => (peer.ip, Cow::Borrowed(peer.text.as_ref())),
        };
        Self { peer, fields, trusted, client, client_ip }
    }

    pub const fn trust_in_peer(&self) -> Trust {
        self.peer.trust
    }

    /// Whether this field is believed: some only a proxy can know the value of.
    pub fn may_say(&self, name: &[u8]) -> bool {
        self.peer.trust == Trust::Trusted || !forwarded::is_a_proxys(name)
    }
}

/// The nearest address that trusted proxies name and that is none of theirs; the farthest where all are.
fn last_untrusted(fields: &Fields, trusted: &[Network]) -> Option<IpAddr> {
    let mut found = None;
    for hop in forwarded::hops(fields).into_iter().rev() {
        // What stands behind something unreadable was said by nobody known.
        let Some(ip) = hop else { break };
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
