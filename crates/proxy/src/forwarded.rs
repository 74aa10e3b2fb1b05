//! What trusted proxies say of where a request came from: `X-Forwarded-*`, and `Forwarded` (RFC 7239).

use std::net::IpAddr;

use tollgate_http1::{FieldId, Fields, is_same_variable, list_tokens};

/// Fields that are not in every proxy's vocabulary, and say of the client or of its request what only a proxy can know.
const OTHERS: [&[u8]; 8] = [
    b"forwarded",
    b"true-client-ip",
    b"x-client-ip",
    b"x-cluster-client-ip",
    b"x-original-host",
    b"x-original-url",
    b"x-real-ip",
    b"x-rewrite-url",
];
const PREFIX: &[u8] = b"x-forwarded-";

/// Whether a field is a proxy's to write, and nobody else is believed.
pub(crate) fn is_a_proxys(name: &[u8]) -> bool {
    name.get(..PREFIX.len()).is_some_and(|start| is_same_variable(start, PREFIX))
        || OTHERS.iter().any(|other| is_same_variable(name, other))
}

/// Each hop's address, the farthest first; `None` for one that is no address. `X-Forwarded-For` says it, else `Forwarded`.
pub(crate) fn hops(fields: &Fields) -> Vec<Option<IpAddr>> {
    if is_listed(fields) {
        let listed = fields.all(FieldId::XForwardedFor).flat_map(list_tokens);
        return nearest(listed, UNKNOWN_ADDRESS).into_iter().map(parse_node).collect();
    }
    elements(fields).into_iter().map(node).collect()
}

/// Whether `X-Forwarded-For` names anybody. One that is empty takes nothing from what `Forwarded` says.
pub(crate) fn is_listed(fields: &Fields) -> bool {
    fields.all(FieldId::XForwardedFor).any(|line| list_tokens(line).next().is_some())
}

/// What a client asked, as far as trusted proxies say it in `Forwarded`.
pub(crate) struct ClientAsked<'f> {
    pub proto: Option<&'f [u8]>,
    pub host: Option<&'f [u8]>,
}

/// What stands beside the client's address; where nothing does, what the nearest proxy to it says. Of several proxies in a row each says
/// what the one before it asked.
pub(crate) fn client_asked(fields: &Fields, is_trusted: impl Fn(IpAddr) -> bool) -> ClientAsked<'_> {
    let elements = elements(fields);
    let is_proxys = |element: &&[u8]| node(element).is_some_and(&is_trusted);
    let of_proxies = elements.iter().rev().take_while(|element| is_proxys(element)).count();
    let from_client = &elements[elements.len().saturating_sub(of_proxies + 1)..];
    let said = |name| {
        let mut values = from_client.iter().filter_map(|element| parameter(element, name));
        values.next().filter(|value| !value.contains(&b'\\'))
    };
    ClientAsked { proto: said(b"proto"), host: said(b"host") }
}

/// Whom an element is about.
fn node(element: &[u8]) -> Option<IpAddr> {
    parse_node(parameter(element, b"for")?)
}

/// Whether `Forwarded` says anything that can be read.
pub(crate) fn is_said(fields: &Fields) -> bool {
    fields.all(FieldId::Forwarded).any(|line| is_balanced(line) && members(line).next().is_some())
}

/// The lines of `X-Forwarded-For` that name anybody, with as many hops as [`hops`] has.
pub(crate) fn listed_lines(fields: &Fields) -> impl Iterator<Item = &[u8]> {
    let lines = || fields.all(FieldId::XForwardedFor).filter(|line| list_tokens(line).next().is_some());
    bounded(lines, list_tokens, UNKNOWN_ADDRESS)
}

/// The lines of `Forwarded`, with as many hops as [`hops`] has where it goes by them.
pub(crate) fn lines(fields: &Fields) -> impl Iterator<Item = &[u8]> {
    let lines = || fields.all(FieldId::Forwarded).map(readable).filter(|line| members(line).next().is_some());
    bounded(lines, members, UNKNOWN)
}

/// As they are; where they have too many hops, each of the last in a line of its own.
fn bounded<'f, Lines: Iterator<Item = &'f [u8]>, Hops: Iterator<Item = &'f [u8]>>(
    lines: impl Fn() -> Lines,
    hops_of: impl Fn(&'f [u8]) -> Hops,
    unknown: &'static [u8],
) -> impl Iterator<Item = &'f [u8]> {
    let is_bounded = lines().flat_map(&hops_of).nth(MOST_HOPS).is_none();
    let cut = if is_bounded { Vec::new() } else { nearest(lines().flat_map(&hops_of), unknown) };
    lines().filter(move |_| is_bounded).chain(cut)
}

/// A hop of `X-Forwarded-For` of which nothing is known.
const UNKNOWN_ADDRESS: &[u8] = b"unknown";
/// An element of which nothing is known (RFC 7239 section 6.2).
const UNKNOWN: &[u8] = b"for=unknown";

/// Those of `Forwarded`, the farthest first.
fn elements(fields: &Fields) -> Vec<&[u8]> {
    nearest(fields.all(FieldId::Forwarded).map(readable).flat_map(members), UNKNOWN)
}

/// A client may leave a quoted string open for what the proxies behind it append to the same line: nothing in such a line is anybody's
/// word, but somebody has passed it on.
fn readable(line: &[u8]) -> &[u8] {
    if is_balanced(line) { line } else { UNKNOWN }
}

/// Empty ones are none (RFC 9110 section 5.6.1.2).
fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    split_unquoted(line, b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// Longer than any chain of proxies. A hop may take many more bytes in the one field than in the other.
const MOST_HOPS: usize = 64;

/// The last hops of a list; the first of them stands for all before it where there are too many.
fn nearest<'f>(listed: impl Iterator<Item = &'f [u8]>, unknown: &'static [u8]) -> Vec<&'f [u8]> {
    let mut nearest: Vec<_> = listed.collect();
    if nearest.len() > MOST_HOPS {
        nearest.drain(..nearest.len() - MOST_HOPS);
        nearest[0] = unknown;
    }
    nearest
}

fn parameter<'e>(element: &'e [u8], name: &[u8]) -> Option<&'e [u8]> {
    split_unquoted(element, b';').find_map(|pair| {
        let equals = memchr::memchr(b'=', pair)?;
        let is_it = pair[..equals].trim_ascii().eq_ignore_ascii_case(name);
        is_it.then(|| unquoted(pair[equals + 1..].trim_ascii()))
    })
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

/// The pieces between separators that stand in no quoted string.
fn split_unquoted(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoting = Quoting::default();
    text.split(move |&byte| quoting.leaves_out(byte) && byte == separator)
}

/// Whether every quoted string ends: what comes behind one that does not would be read as part of it.
fn is_balanced(line: &[u8]) -> bool {
    let mut quoting = Quoting::default();
    for &byte in line {
        quoting.leaves_out(byte);
    }
    !quoting.is_quoted
}

/// Where a text is in its quoted strings (RFC 9110 section 5.6.4).
#[derive(Default)]
struct Quoting {
    is_quoted: bool,
    is_escaped: bool,
}

impl Quoting {
    /// Whether the next byte is no part of a quoted string.
    fn leaves_out(&mut self, byte: u8) -> bool {
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' if self.is_quoted => self.is_escaped = true,
            b'"' => self.is_quoted = !self.is_quoted,
            _ => return !self.is_quoted,
        }
        false
    }
}

/// An address as it stands in either field, perhaps with a port (RFC 7239 section 6).
fn parse_node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(unquoted(text)).ok()?;
    let in_brackets = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (address, port) = match (in_brackets, text.rsplit_once(':')) {
        (Some((address, behind)), _) => {
            (address, behind.strip_prefix(':').or(behind.is_empty().then_some("0"))?)
        }
        (None, Some((address, port))) if !address.contains(':') => (address, port),
        (None, _) => (text, "0"),
    };
    // A port may be hidden behind a name.
    let is_port = port.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    let ip: IpAddr = address.parse().ok().filter(|_| is_port)?;
    Some(ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<String> {
        parse_node(text.as_bytes()).map(|ip| ip.to_string())
    }

    #[test]
    fn addresses_are_read_with_and_without_a_port() {
        for (text, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7:99", "192.0.2.7"),
            ("192.0.2.7:_hidden", "192.0.2.7"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("\"[2001:db8::1]:80\"", "2001:db8::1"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
        ] {
            assert_eq!(address(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["unknown", "_hidden", "", "192.0.2", "[2001:db8::1]80", "[2001:db8::1", "192.0.2.7:8 0"]
        {
            assert_eq!(address(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_quoted_separates_nothing() {
        let line: &[u8] = b"for=\"[2001:db8::1]:80\";by=\"a,\\\",b\";Proto=https, for=192.0.2.7;host=\"x;y\"";
        let elements: Vec<_> = split_unquoted(line, b',').collect();
        assert_eq!(elements.len(), 2);
        assert_eq!(parameter(elements[0], b"proto"), Some(&b"https"[..]));
        assert_eq!(parameter(elements[1], b"host"), Some(&b"x;y"[..]));
        assert_eq!(parameter(elements[1], b"proto"), None);
    }

    #[test]
    fn a_quoted_string_that_does_not_end_is_told_from_one_that_does() {
        for line in ["", "for=192.0.2.7", "for=\"[::1]\"", "host=\"a\\\"b\"", "odd\\\"\""] {
            assert!(is_balanced(line.as_bytes()), "{line}");
        }
        for line in ["\"", "for=\"[::1]", "host=\"a\\\""] {
            assert!(!is_balanced(line.as_bytes()), "{line}");
        }
    }

    fn forwarded(lines: &[&str]) -> Fields {
        let mut fields = Fields::new();
        for line in lines {
            fields.append(b"Forwarded", line.as_bytes());
        }
        fields
    }

    #[test]
    fn a_line_in_which_a_quoted_string_does_not_end_is_a_hop_of_which_nothing_is_known() {
        let fields = forwarded(&["for=192.0.2.7", "for=192.0.2.8;x=\", for=192.0.2.9"]);
        assert_eq!(hops(&fields), [Some(IpAddr::from([192, 0, 2, 7])), None]);
    }

    #[test]
    fn both_fields_go_on_with_as_many_hops_as_are_read() {
        let chain: Vec<_> = (0..100).map(|number| format!("192.0.2.{number}")).collect();
        let mut listed = Fields::new();
        listed.append(b"X-Forwarded-For", chain[..50].join(",").as_bytes());
        listed.append(b"X-Forwarded-For", chain[50..].join(",").as_bytes());
        let elements: Vec<_> = chain.iter().map(|address| format!("for={address}")).collect();
        let said = forwarded(&[&elements[..50].join(", "), &elements[50..].join(", ")]);
        for (fields, lines) in
            [(&listed, listed_lines(&listed).collect::<Vec<_>>()), (&said, lines(&said).collect())]
        {
            let read: Vec<_> = lines.iter().flat_map(|line| list_tokens(line)).collect();
            assert_eq!(read.len(), hops(fields).len());
            assert!(read[0].ends_with(b"unknown") && read[MOST_HOPS - 1].ends_with(b"192.0.2.99"));
        }
        let short = forwarded(&["for=192.0.2.1,for=192.0.2.2"]);
        assert_eq!(lines(&short).collect::<Vec<_>>(), [b"for=192.0.2.1,for=192.0.2.2"]);
    }

    #[test]
    fn only_proxies_write_these() {
        for name in ["X-Forwarded-Ssl", "x_forwarded_prefix", "X-Real-IP", "X_REAL_IP", "X-Original-URL"] {
            assert!(is_a_proxys(name.as_bytes()), "{name}");
        }
        for name in ["X-Forwarde", "X-Custom", "Forwarded-For", "Accept"] {
            assert!(!is_a_proxys(name.as_bytes()), "{name}");
        }
    }
}
