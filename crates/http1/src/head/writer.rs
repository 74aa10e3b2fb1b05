//! Puts heads on the wire. Everything is a copy: names and values are written as given, and whoever
//! gives them vouches for them (see [`is_token`](crate::is_token) and
//! [`is_field_value`](crate::is_field_value)).

use super::fields::{Field, Fields, push_line};
use super::reason::reason_phrase;

/// Writes one head. The version is always 1.1: it states what the sender can do (RFC 9110 2.5), also in answer
/// to an HTTP/1.0 request.
#[must_use = "a head is complete only after finish"]
pub struct HeadWriter<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> HeadWriter<'a> {
    /// The target is given in parts, so that nobody has to put it together first.
    pub fn request<'p>(
        out: &'a mut Vec<u8>,
        method_name: &[u8],
        target: impl IntoIterator<Item = &'p [u8]>,
    ) -> Self {
        out.extend_from_slice(method_name);
        out.push(b' ');
        for part in target {
            out.extend_from_slice(part);
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        Self { out }
    }

    /// A response with its status's registered phrase.
    pub fn response(out: &'a mut Vec<u8>, status: u16) -> Self {
        Self::response_with_reason(out, status, reason_phrase(status).as_bytes())
    }

    /// A response with another phrase, such as the one an upstream chose.
    pub fn response_with_reason(out: &'a mut Vec<u8>, status: u16, reason: &[u8]) -> Self {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
        out.push(b' ');
        out.extend_from_slice(reason);
        out.extend_from_slice(b"\r\n");
        Self { out }
    }

    #[inline]
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> &mut Self {
        push_line(self.out, name, value);
        self
    }

    /// A field whose value is a decimal number.
    #[inline]
    pub fn field_number(&mut self, name: &[u8], value: u64) -> &mut Self {
        self.field(name, itoa::Buffer::new().format(value).as_bytes())
    }

    /// Whole field lines that were made before, each with its CRLF.
    #[inline]
    pub fn lines(&mut self, lines: &[u8]) -> &mut Self {
        self.out.extend_from_slice(lines);
        self
    }

    /// The fields that `keep` chooses, in their order and letter case. Cheaper than one by one:
    /// neighbours are copied together.
    pub fn fields(&mut self, fields: &Fields, keep: impl FnMut(Field<'_>) -> bool) -> &mut Self {
        fields.write_kept(keep, self.out);
        self
    }

    /// The bytes so far, to write field lines into.
    pub fn out(&mut self) -> &mut Vec<u8> {
        self.out
    }

    pub fn finish(self) {
        self.out.extend_from_slice(b"\r\n");
    }
}
