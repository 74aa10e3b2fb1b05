//! What is wrong with a head that `httparse` has refused, in words that tell its sender where to look. Nothing is decided here: the
//! head is refused already.

use super::grammar::is_token;

/// Of the first field line that cannot be read for its name.
pub(super) fn of_field_names(head: &[u8]) -> &'static str {
    let mut lines = lines(head).skip(1).take_while(|line| !line.is_empty());
    lines.find_map(of_field_name).unwrap_or("field name")
}

fn of_field_name(line: &[u8]) -> Option<&'static str> {
    if line.first().copied().is_some_and(is_blank) {
        // RFC 9112 section 5.2.
        return Some("field line that begins with white space (folding is obsolete)");
    }
    let Some(colon) = memchr::memchr(b':', line) else { return Some("field line without a colon") };
    let name = &line[..colon];
    match name.last() {
        None => Some("field without a name"),
        // RFC 9112 section 5.1.
        Some(&last) if is_blank(last) => Some("white space between a field name and its colon"),
        Some(_) if !is_token(name) => Some("character that no field name has"),
        Some(_) => None,
    }
}

/// Of a request or status line whose version cannot be read.
pub(super) fn of_version(head: &[u8]) -> &'static str {
    let line = lines(head).next().unwrap_or_default();
    let is_request = !line.starts_with(b"HTTP/");
    if is_request && memchr::memchr_iter(b' ', line).nth(2).is_some() {
        "more than two spaces in the request line"
    } else {
        "HTTP version"
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}
