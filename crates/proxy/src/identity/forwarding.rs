//! What a target is told of where a request came from: `X-Forwarded-*` and `Forwarded` (RFC 7239), which say the same.

use std::borrow::Cow;
use std::iter;
use std::net::IpAddr;

use tollgate_http1::{FieldId, HeadWriter, is_token};

use super::{Origin, Trust, trust};
use crate::forwarded;

impl Origin<'_> {
    /// Begun here, or carried on from a trusted proxy.
    pub fn write_forwarding(&self, writer: &mut HeadWriter<'_>, authority: Option<&[u8]>) {
        match self.peer.trust {
            Trust::Untrusted => self.begin_forwarding(writer, authority),
            Trust::Trusted => self.carry_on_forwarding(writer, authority),
        }
    }

    fn begin_forwarding(&self, writer: &mut HeadWriter<'_>, authority: Option<&[u8]>) {
        writer.lines(&self.peer.lines);
        if let Some(host) = authority {
            writer.field(b"X-Forwarded-Host", host);
        }
        self.push_forwarded(writer.out(), iter::empty::<&[u8]>(), authority);
    }

    /// What one of the two ways of saying it lacks, the other may have (RFC 7239 section 7.4).
    fn carry_on_forwarding(&self, writer: &mut HeadWriter<'_>, authority: Option<&[u8]>) {
        let said = |id| self.fields.first(id);
        let (said_proto, said_host) = (said(FieldId::XForwardedProto), said(FieldId::XForwardedHost));
        let (mut proto, mut host) = (said_proto, said_host);
        // Proxies mostly say both in fields of their own, and the whole of `Forwarded` has to be read else.
        if proto.is_none() || host.is_none() {
            let is_trusted = |ip| trust(ip, self.trusted) == Trust::Trusted;
            let asked = forwarded::client_asked(self.fields, is_trusted);
            (proto, host) = (proto.or(asked.proto), host.or(asked.host));
        }
        let hops = || forwarded::hops(self.fields).into_iter();

        let out = writer.out();
        if forwarded::is_listed(self.fields) {
            push_list(out, b"X-Forwarded-For: ", forwarded::listed_lines(self.fields));
        } else {
            push_list(out, b"X-Forwarded-For: ", hops().map(|hop| address(hop).into_bytes()));
        }
        out.extend_from_slice(self.peer.text.as_bytes());
        out.extend_from_slice(b"\r\n");
        writer.field(b"X-Forwarded-Proto", proto.unwrap_or(b"http"));
        if let Some(host) = host.or(authority) {
            writer.field(b"X-Forwarded-Host", host);
        }
        match said(FieldId::XForwardedPort) {
            Some(port) => writer.field(b"X-Forwarded-Port", port),
            None => writer.field(b"X-Forwarded-Port", self.port_of(proto, host).as_bytes()),
        };
        if forwarded::is_said(self.fields) {
            self.push_forwarded(writer.out(), forwarded::lines(self.fields), authority);
        } else {
            let mut nodes: Vec<String> = hops().map(node).collect();
            add_said(&mut nodes, said_proto, said_host);
            self.push_forwarded(writer.out(), nodes.into_iter().map(String::into_bytes), authority);
        }
    }

    /// The port that the client asked, as far as a proxy says what it asked.
    fn port_of(&self, proto: Option<&[u8]>, host: Option<&[u8]>) -> Cow<'_, str> {
        let in_host = host.and_then(|host| std::str::from_utf8(host).ok()?.rsplit_once(':'));
        let is_port = |port: &str| port.parse::<u16>().is_ok();
        match (in_host, proto) {
            (Some((_, port)), _) if is_port(port) => Cow::Owned(port.to_owned()),
            (_, Some(proto)) if proto.eq_ignore_ascii_case(b"https") => Cow::Borrowed("443"),
            (_, Some(proto)) if proto.eq_ignore_ascii_case(b"http") && host.is_some() => Cow::Borrowed("80"),
            (_, _) => Cow::Owned(self.peer.port.to_string()),
        }
    }

    /// The line of `Forwarded`: the elements that there are, and `for=…;host="…";proto=http`.
    fn push_forwarded(
        &self,
        out: &mut Vec<u8>,
        before: impl Iterator<Item = impl AsRef<[u8]>>,
        authority: Option<&[u8]>,
    ) {
        push_list(out, b"Forwarded: ", before);
        out.extend_from_slice(&self.peer.element);
        if let Some(host) = authority {
            out.extend_from_slice(b";host=\"");
            out.extend_from_slice(host);
            out.push(b'"');
        }
        out.extend_from_slice(b";proto=http\r\n");
    }
}

/// The start of a list field with the members that it has; one more is to follow.
fn push_list(out: &mut Vec<u8>, name: &[u8], members: impl Iterator<Item = impl AsRef<[u8]>>) {
    out.extend_from_slice(name);
    for member in members {
        out.extend_from_slice(member.as_ref());
        out.extend_from_slice(b", ");
    }
}

/// As `X-Forwarded-For` names a hop.
fn address(hop: Option<IpAddr>) -> String {
    hop.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string())
}

/// As `Forwarded` names it (RFC 7239 section 6).
fn node(hop: Option<IpAddr>) -> String {
    match hop {
        Some(ip @ IpAddr::V6(_)) => format!("for=\"[{ip}]\""),
        other => format!("for={}", address(other)),
    }
}

/// What was said of the client's own request goes with the first element, which is the client's.
fn add_said(elements: &mut Vec<String>, proto: Option<&[u8]>, host: Option<&[u8]>) {
    let text = |value| std::str::from_utf8(value).ok();
    let host = host.and_then(text).filter(|host| !host.contains(['"', '\\']));
    let proto = proto.filter(|proto| is_token(proto)).and_then(text);
    let pairs = [host.map(|host| format!("host=\"{host}\"")), proto.map(|proto| format!("proto={proto}"))];
    let said = pairs.into_iter().flatten().collect::<Vec<_>>().join(";");
    match elements.first_mut() {
        _ if said.is_empty() => {}
        Some(first) => *first = format!("{first};{said}"),
        None => elements.push(said),
    }
}
