//! Reads the usual head in one pass, without `httparse`: it came in one piece, every line ends with CRLF, and between a name
//! and its value there is a colon and one space. Whatever else there is, and everything wrong, gives `None`: the scan,
//! whose verdict doesn't depend on how the input was cut, decides on it then. What is read here reads the same there.

use super::field_id::FieldId;
use super::fields::Fields;
use super::grammar::{is_token, is_token_byte};
use super::limits::HeadLimits;
use super::method::{Method, Version};
use super::read::{BYTES_BEFORE_REASON, check_host};
use super::request::RequestHead;
use super::response::ResponseHead;
use super::words::{first_control, first_of, first_unprintable};

/// Length of a request head at the start of `input`.
pub(super) fn read_request(input: &[u8], limits: &HeadLimits, head: &mut RequestHead) -> Option<usize> {
    let method_bytes = input.iter().take(Method::MAX_NAME_BYTES).position(|&byte| !is_token_byte(byte))?;
    let (method_name, rest) = input.split_at_checked(method_bytes)?;
    let rest = rest.strip_prefix(b" ")?;
    let (target, rest) = rest.split_at_checked(first_unprintable(rest)?)?;
    let (&[b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor, b'\r', b'\n'], section) =
        rest.split_first_chunk()?
    else {
        return None;
    };
    let version = Version::of_minor(minor)?;
    let start_bytes = input.len() - section.len();
    if start_bytes - 2 > limits.request_line_bytes {
        return None;
    }
    let section_bytes = read_section(section, limits, &mut head.fields)?;
    head.set(method_name, target, version).ok()?;
    check_host(head).ok()?;
    Some(start_bytes + section_bytes)
}

/// Length of a response head at the start of `input`.
pub(super) fn read_response(input: &[u8], limits: &HeadLimits, head: &mut ResponseHead) -> Option<usize> {
    let (start, rest) = input.split_first_chunk::<BYTES_BEFORE_REASON>()?;
    let &[b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor, b' ', digits @ .., b' '] = start else {
        return None;
    };
    let version = Version::of_minor(minor)?;
    let status = read_status(digits)?;
    let (reason, rest) = rest.split_at_checked(first_control(rest)?)?;
    let section = rest.strip_prefix(b"\r\n")?;
    let start_bytes = input.len() - section.len();
    if start_bytes - 2 > limits.head_bytes {
        return None;
    }
    let section_bytes = read_section(section, limits, &mut head.fields)?;
    head.set(status, version, reason);
    Some(start_bytes + section_bytes)
}

fn read_status(digits: [u8; 3]) -> Option<u16> {
    let [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9'] = digits else { return None };
    Some(digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0')))
}

/// Length of the header section that `input` starts with, the empty line included.
fn read_section(input: &[u8], limits: &HeadLimits, fields: &mut Fields) -> Option<usize> {
    let most_fields = limits.fields.min(HeadLimits::MAX_FIELDS);
    let mut loading = fields.load();
    let mut rest = input;
    while !rest.starts_with(b"\r\n") {
        let (name, after_name) = rest.split_at_checked(first_of(b':', rest)?)?;
        let id = FieldId::of(name);
        // A known name is one that has been compared with a token.
        if id == FieldId::Other && !is_token(name) {
            return None;
        }
        let after_name = after_name.strip_prefix(b": ")?;
        let (value, after_value) = after_name.split_at_checked(first_control(after_name)?)?;
        if let [b' ', ..] | [.., b' '] = value {
            return None;
        }
        loading.line(id, name.len(), value.len());
        rest = after_value.strip_prefix(b"\r\n")?;
        if loading.len() > most_fields {
            return None;
        }
    }
    let lines_bytes = input.len() - rest.len();
    loading.finish(&input[..lines_bytes]);
    let section_bytes = lines_bytes + 2;
    (section_bytes <= limits.head_bytes).then_some(section_bytes)
}
