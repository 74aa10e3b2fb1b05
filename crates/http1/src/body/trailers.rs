//! The fields behind a chunked body (RFC 9112 7.1.2).

use super::decoder::BodyError;
use crate::head::field_id::FieldId;
use crate::head::fields::{Field, Fields};
use crate::head::grammar::is_same_variable;
use crate::head::limits::{HeadError, HeadLimits};
use crate::head::scan::{HeadScan, StartLineLimit};

/// A trailer section being read, held to the same grammar as header fields.
#[derive(Debug)]
pub(super) struct TrailerReader {
    section: Vec<u8>,
    scan: HeadScan,
}

const MAX_FIELDS: usize = 64;

const LIMITS: HeadLimits = HeadLimits { request_line_bytes: 0, head_bytes: 8192, fields: MAX_FIELDS };

/// Never met: the scan starts behind it.
const NO_START_LINE: StartLineLimit = StartLineLimit { bytes: 0, error: HeadError::HeadTooLarge };

/// What a piece of input brought.
pub(super) enum TrailerStep {
    /// It was taken whole, and the section goes on.
    NeedMore,
    /// The section ended after `consumed` bytes of the piece.
    End { consumed: usize, trailers: Fields },
}

impl TrailerReader {
    pub(super) fn new() -> Self {
        Self { section: Vec::new(), scan: HeadScan::of_fields() }
    }

    /// Takes a line at a time, so as not to swallow what follows the section.
    pub(super) fn read(&mut self, input: &[u8]) -> Result<TrailerStep, BodyError> {
        let mut consumed = 0;
        for piece in input.split_inclusive(|&byte| byte == b'\n') {
            self.section.extend_from_slice(piece);
            consumed += piece.len();
            if self.scan.advance(&self.section, NO_START_LINE, &LIMITS).map_err(refusal)?.is_some() {
                return Ok(TrailerStep::End { consumed, trailers: self.permitted_fields()? });
            }
        }
        Ok(TrailerStep::NeedMore)
    }

    fn permitted_fields(&self) -> Result<Fields, BodyError> {
        let mut storage = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let Ok(httparse::Status::Complete((_, headers))) =
            httparse::parse_headers(&self.section, &mut storage)
        else {
            return Err(BodyError::Malformed("trailer field"));
        };
        let mut trailers = Fields::new();
        for header in headers {
            let (name, value) = (header.name.as_bytes(), header.value);
            if may_trail(Field { id: FieldId::of(name), name, value }) {
                trailers.append(name, value);
            }
        }
        Ok(trailers)
    }
}

/// Whether a field may be sent behind a body (RFC 9110 6.5.1).
///
/// Of the names the gateway knows, which frame, route, authenticate or identify, only `Proxy-Status`
/// may (RFC 9209 2). Of the others, those may not that a recipient has to know before the body. What
/// some recipients cannot tell from a name counts as that name.
pub fn may_trail(field: Field<'_>) -> bool {
    const HEADER_ONLY: [&[u8]; 17] = [
        b"content-encoding",
        b"content-range",
        b"expires",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"location",
        b"max-forwards",
        b"pragma",
        b"range",
        b"vary",
        b"warning",
        b"www-authenticate",
        b"x-http-method-override",
        b"x-real-ip",
    ];
    let id = if field.id == FieldId::Other { FieldId::imitated_by(field.name) } else { field.id };
    match id {
        FieldId::Other => !HEADER_ONLY.iter().any(|name| is_same_variable(name, field.name)),
        known => known == FieldId::ProxyStatus,
    }
}

fn refusal(error: HeadError) -> BodyError {
    match error {
        HeadError::Malformed(what) => BodyError::Malformed(what),
        HeadError::RequestLineTooLong | HeadError::HeadTooLarge | HeadError::TooManyFields => {
            BodyError::TrailersTooLarge
        }
    }
}
