//! Reads heads from bytes as they arrive.

use super::grammar::is_token_byte;
use super::limits::{HeadError, HeadLimits};
use super::method::Method;
use super::request::RequestHead;
use super::response::ResponseHead;
use super::scan::{HeadScan, StartLineLimit};
use super::{plain, read, salvage};

/// Reads request heads (RFC 9112 3 and 5), one after another.
#[derive(Clone, Debug, Default)]
pub struct RequestParser {
    scan: HeadScan,
}

impl RequestParser {
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets a head of which only a part has been seen.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Reads a head from the start of `input`. Returns the bytes it takes, or `None` when it isn't
    /// complete: then call again with the same bytes and more behind them. The bytes already seen
    /// are not searched again. `head` holds copies, and nothing of worth unless a head was returned.
    ///
    /// After an error the parser has to be [`reset`](Self::reset), and the input is of no more use. `head` has no fields
    /// then, and method and target as far as they could be read.
    ///
    /// # Panics
    /// When called again with less input than before and no `reset` in between.
    pub fn parse(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
        head: &mut RequestHead,
    ) -> Result<Option<usize>, HeadError> {
        let parsed = self.parse_valid(input, limits, head);
        if parsed.is_err() {
            self.salvage(input, limits, head);
        }
        parsed
    }

    /// Leaves in `head` no fields, and method and target as far as they can be read: of a head that is refused, or no longer
    /// waited for.
    pub fn salvage(&self, input: &[u8], limits: &HeadLimits, head: &mut RequestHead) {
        salvage::request_line(input.get(self.scan.start..).unwrap_or_default(), limits, head);
    }

    fn parse_valid(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
        head: &mut RequestHead,
    ) -> Result<Option<usize>, HeadError> {
        if self.scan.is_untouched()
            && let Some(end) = plain::read_request(input, limits, head)
        {
            return Ok(Some(end));
        }
        if self.scan.fields_start.is_none() {
            self.scan.skip_empty_lines(input);
            check_method_start(&input[self.scan.start..])?;
        }
        let request_line =
            StartLineLimit { bytes: limits.request_line_bytes, error: HeadError::RequestLineTooLong };
        let Some(end) = self.scan.advance(input, request_line, limits)? else { return Ok(None) };
        read::read_request(&input[self.scan.start..end], head)?;
        self.reset();
        Ok(Some(end))
    }
}

/// Reads response heads (RFC 9112 4 and 5), one after another.
#[derive(Clone, Debug, Default)]
pub struct ResponseParser {
    scan: HeadScan,
}

impl ResponseParser {
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets a head of which only a part has been seen.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// As [`RequestParser::parse`], but without tolerance for empty lines in front, for which no
    /// server has a reason.
    pub fn parse(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
        head: &mut ResponseHead,
    ) -> Result<Option<usize>, HeadError> {
        if self.scan.is_untouched()
            && let Some(end) = plain::read_response(input, limits, head)
        {
            return Ok(Some(end));
        }
        if self.scan.fields_start.is_none() {
            check_status_line_start(input)?;
        }
        let status_line = StartLineLimit { bytes: limits.head_bytes, error: HeadError::HeadTooLarge };
        let Some(end) = self.scan.advance(input, status_line, limits)? else { return Ok(None) };
        read::read_response(&input[..end], head)?;
        self.reset();
        Ok(Some(end))
    }
}

/// Tells a TLS handshake and other foreign protocols from a slow client, from the first bytes.
fn check_method_start(input: &[u8]) -> Result<(), HeadError> {
    if input == b"\r" {
        // An empty line to skip, once its other half is here.
        return Ok(());
    }
    let name_bytes =
        input.iter().take(Method::MAX_NAME_BYTES + 1).take_while(|&&byte| is_token_byte(byte)).count();
    match input.get(name_bytes) {
        Some(b' ') if (1..=Method::MAX_NAME_BYTES).contains(&name_bytes) => Ok(()),
        None if name_bytes <= Method::MAX_NAME_BYTES => Ok(()),
        Some(_) | None => Err(HeadError::Malformed("method")),
    }
}

fn check_status_line_start(input: &[u8]) -> Result<(), HeadError> {
    const START: &[u8] = b"HTTP/1.";
    let seen = input.len().min(START.len());
    if input[..seen] == START[..seen] { Ok(()) } else { Err(HeadError::Malformed("status line")) }
}
