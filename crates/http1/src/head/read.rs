//! Reads a head that is there as a whole: `httparse`, and the checks that it leaves to others.

use std::mem::MaybeUninit;

use memchr::memchr;

use super::authority::Authority;
use super::field_id::FieldId;
use super::fields::Fields;
use super::limits::{HeadError, HeadLimits};
use super::method::Version;
use super::request::RequestHead;
use super::response::ResponseHead;
use super::target::TargetForm;

/// How a head lies in the input.
pub(super) struct Extent {
    pub(super) bytes: usize,
    start_line_bytes: usize,
    line_ends: LineEnds,
}

enum LineEnds {
    /// Every line ends with CRLF, and the first isn't empty.
    Verified,
    /// `httparse` also accepts bare line feeds and empty lines in front.
    Unverified,
}

impl Extent {
    /// Whether the scan would accept the head, too.
    pub(super) fn is_plain_within(
        &self,
        start_line_bytes: usize,
        limits: &HeadLimits,
        fields: usize,
    ) -> bool {
        matches!(self.line_ends, LineEnds::Verified)
            && self.start_line_bytes <= start_line_bytes
            && self.bytes - self.start_line_bytes - 2 <= limits.head_bytes
            && fields <= limits.fields
    }

    /// The scan and `httparse` have to agree on where the head ends.
    pub(super) fn check_bytes(&self, scanned_bytes: usize) -> Result<(), HeadError> {
        if self.bytes == scanned_bytes { Ok(()) } else { Err(HeadError::Malformed("end of the head")) }
    }
}

/// Reads the request head at the start of `input`. Accepts line ends that the scan refuses.
pub(super) fn read_request(input: &[u8], head: &mut RequestHead) -> Result<Extent, HeadError> {
    let mut storage = [const { MaybeUninit::uninit() }; HeadLimits::MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let bytes = complete(request.parse_with_uninit_headers(input, &mut storage))?;
    let (Some(method_name), Some(target), Some(minor_version)) =
        (request.method, request.path, request.version)
    else {
        return Err(HeadError::Malformed("request line"));
    };
    head.set(method_name.as_bytes(), target.as_bytes(), version(minor_version)?)?;
    let extent = load_fields(&input[..bytes], request.headers, &mut head.fields);
    check_host(head)?;
    Ok(extent)
}

/// As [`read_request`].
pub(super) fn read_response(input: &[u8], head: &mut ResponseHead) -> Result<Extent, HeadError> {
    /// Of `HTTP/1.1 200 `: httparse admits no other spacing.
    const BYTES_BEFORE_REASON: usize = 13;
    let mut storage = [const { MaybeUninit::uninit() }; HeadLimits::MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        input,
        &mut storage,
    );
    let bytes = complete(parsed)?;
    let (Some(status), Some(minor_version)) = (response.code, response.version) else {
        return Err(HeadError::Malformed("status line"));
    };
    if status < 100 {
        return Err(HeadError::Malformed("status"));
    }
    let extent = load_fields(&input[..bytes], response.headers, &mut head.fields);
    // httparse hides reasons that hold bytes from 0x80; they are forwarded as received.
    let reason = input[..extent.start_line_bytes].get(BYTES_BEFORE_REASON..).unwrap_or_default();
    head.set(status, version(minor_version)?, reason);
    Ok(extent)
}

fn load_fields(message: &[u8], headers: &[httparse::Header<'_>], fields: &mut Fields) -> Extent {
    let line_feed = memchr(b'\n', message).unwrap_or(message.len());
    let as_stored = match &message[..line_feed] {
        [_, .., b'\r'] => message
            .get(line_feed + 1..message.len() - 2)
            .is_some_and(|section| fields.load_as_stored(section, headers)),
        _ => false,
    };
    let line_ends = if as_stored {
        LineEnds::Verified
    } else {
        fields.load_normalised(headers);
        LineEnds::Unverified
    };
    Extent { bytes: message.len(), start_line_bytes: line_feed.saturating_sub(1), line_ends }
}

fn complete(parsed: httparse::Result<usize>) -> Result<usize, HeadError> {
    match parsed {
        Ok(httparse::Status::Complete(bytes)) => Ok(bytes),
        Ok(httparse::Status::Partial) => Err(HeadError::Malformed("end of the head")),
        Err(error) => Err(match error {
            // Also white space before the colon, and folded lines (obs-fold, RFC 9112 5.2).
            httparse::Error::HeaderName => HeadError::Malformed("field name"),
            httparse::Error::HeaderValue => HeadError::Malformed("field value"),
            httparse::Error::NewLine => HeadError::Malformed("line end"),
            httparse::Error::Status => HeadError::Malformed("status"),
            httparse::Error::Token => HeadError::Malformed("request line"),
            httparse::Error::TooManyHeaders => HeadError::TooManyFields,
            httparse::Error::Version => HeadError::Malformed("version"),
        }),
    }
}

fn version(minor: u8) -> Result<Version, HeadError> {
    match minor {
        0 => Ok(Version::Http10),
        1 => Ok(Version::Http11),
        _ => Err(HeadError::Malformed("version")),
    }
}

/// RFC 9112 3.2: one `Host`, a valid one, in every HTTP/1.1 request. It may be empty only where the
/// authority is not taken from it, since http and https URIs have none that are empty (RFC 9110 4.2).
fn check_host(head: &RequestHead) -> Result<(), HeadError> {
    let mut hosts = head.fields.all(FieldId::Host);
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(HeadError::Malformed("more than one Host"));
    }
    let host_decides = match head.target_form() {
        TargetForm::Origin | TargetForm::Asterisk => true,
        TargetForm::Absolute { .. } | TargetForm::Authority => false,
    };
    match (first, head.version) {
        (None, Version::Http11) => Err(HeadError::Malformed("no Host")),
        (Some(b""), Version::Http11) if host_decides => Err(HeadError::Malformed("empty Host")),
        (None, Version::Http10) | (Some(b""), Version::Http10 | Version::Http11) => Ok(()),
        (Some(host), Version::Http10 | Version::Http11) => match Authority::parse(host) {
            Some(_) => Ok(()),
            None => Err(HeadError::Malformed("Host")),
        },
    }
}
