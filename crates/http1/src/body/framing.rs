//! Where a message's body ends, by its head (RFC 9112 6.3).
//!
//! Whatever two readers could understand in two ways is an error, also where the RFC would let a
//! recipient repair it: that is how requests are smuggled (RFC 9112 11.2).

use thiserror::Error;

use crate::head::field_id::FieldId;
use crate::head::fields::Fields;
use crate::head::grammar::list_tokens;
use crate::head::method::{Method, Version};
use crate::head::request::RequestHead;
use crate::head::response::ResponseHead;

/// What a body or a chunk may say that it has. Many a reader counts in 64 bits with a sign: what is more for us would be less than
/// nothing for it.
pub(crate) const MOST_BYTES: u64 = u64::MAX >> 1;

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    None,
    /// Bytes of the body; 0 when a `Content-Length` says so.
    Exact(u64),
    Chunked,
    /// The body ends with the connection; responses only.
    UntilClose,
}

/// Why the end of a body is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FramingError {
    #[error("both Content-Length and Transfer-Encoding")]
    BothLengths,
    /// More than one field or a list, also when all are the same number.
    #[error("more than one Content-Length")]
    RepeatedContentLength,
    /// Anything but a decimal number below 2^64 without leading zeros.
    #[error("invalid Content-Length")]
    InvalidContentLength,
    /// Anything but `chunked`, in any letter case, once.
    #[error("unsupported Transfer-Encoding")]
    UnsupportedTransferEncoding,
    /// RFC 9112 6.1: an HTTP/1.0 sender that uses it can't be trusted with framing.
    #[error("Transfer-Encoding in an HTTP/1.0 message")]
    TransferEncodingInHttp10,
}

/// The body of a request. Never [`BodyLength::UntilClose`].
pub fn request_body(head: &RequestHead) -> Result<BodyLength, FramingError> {
    Ok(declared_length(head.version, &head.fields)?.unwrap_or(BodyLength::None))
}

/// The body of a response to a request of `request_method`.
///
/// No body follows an answer to `HEAD`, nor 1xx, 204 and 304, nor 2xx to `CONNECT`. Contradictory
/// framing is refused there too: a cache or a client behind us might heed it. What follows a 101 is
/// another protocol, which is the caller's to handle.
pub fn response_body(request_method: Method, head: &ResponseHead) -> Result<BodyLength, FramingError> {
    let declared = declared_length(head.version, &head.fields)?;
    let bodiless = match (request_method, head.status) {
        (Method::Head, _) | (_, 100..=199 | 204 | 304) => true,
        (method, 200..=299) => method == Method::Connect,
        _ => false,
    };
    if bodiless { Ok(BodyLength::None) } else { Ok(declared.unwrap_or(BodyLength::UntilClose)) }
}

/// Whether the sender will take part in another exchange on this connection (RFC 9112 9.3).
pub fn keep_alive(version: Version, fields: &Fields) -> bool {
    let has_option = |option: &[u8]| {
        fields.all(FieldId::Connection).any(|value| {
            value.eq_ignore_ascii_case(option)
                || value.contains(&b',') && list_tokens(value).any(|token| token.eq_ignore_ascii_case(option))
        })
    };
    match version {
        Version::Http11 => !has_option(b"close"),
        Version::Http10 => has_option(b"keep-alive") && !has_option(b"close"),
    }
}

/// What the framing fields say; `None` when there are none.
fn declared_length(version: Version, fields: &Fields) -> Result<Option<BodyLength>, FramingError> {
    match (fields.contains(FieldId::TransferEncoding), fields.contains(FieldId::ContentLength)) {
        (false, false) => Ok(None),
        (false, true) => content_length(fields).map(BodyLength::Exact).map(Some),
        (true, true) => Err(FramingError::BothLengths),
        (true, false) => transfer_encoding(version, fields).map(Some),
    }
}

fn transfer_encoding(version: Version, fields: &Fields) -> Result<BodyLength, FramingError> {
    if version == Version::Http10 {
        return Err(FramingError::TransferEncodingInHttp10);
    }
    let mut codings = fields.all(FieldId::TransferEncoding);
    match (codings.next(), codings.next()) {
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(BodyLength::Chunked),
        _ => Err(FramingError::UnsupportedTransferEncoding),
    }
}

fn content_length(fields: &Fields) -> Result<u64, FramingError> {
    let mut lengths = fields.all(FieldId::ContentLength);
    match (lengths.next(), lengths.next()) {
        (Some(length), None) if length.contains(&b',') => Err(FramingError::RepeatedContentLength),
        (Some(length), None) => parse_length(length).ok_or(FramingError::InvalidContentLength),
        _ => Err(FramingError::RepeatedContentLength),
    }
}

/// Leading zeros are valid by RFC 9110 8.6, but some readers take them to mean octal.
fn parse_length(digits: &[u8]) -> Option<u64> {
    let length = match digits {
        [] | [b'0', _, ..] => None,
        digits => digits.iter().try_fold(0_u64, |length, &byte| match byte {
            b'0'..=b'9' => length.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
            _ => None,
        }),
    };
    length.filter(|&length| length <= MOST_BYTES)
}
