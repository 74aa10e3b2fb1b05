//! Reads any head whose end the scan has found: `httparse`, and the checks that it leaves to others.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use memchr::memchr;

use super::authority::Authority;
use super::field_id::FieldId;
use super::limits::{HeadError, HeadLimits};
use super::method::Version;
use super::problem;
use super::request::RequestHead;
use super::response::ResponseHead;
use super::target::TargetForm;

/// Reads the request head that `input` consists of. Accepts line ends that the scan refuses.
pub(super) fn read_request(input: &[u8], head: &mut RequestHead) -> Result<(), HeadError> {
    let line = start_line(input);
    let digit_at = line.len().checked_sub(1).filter(|&at| line[..at].ends_with(b" HTTP/1."));
    let input = &in_known_version(input, digit_at);
    let mut storage = [const { MaybeUninit::uninit() }; HeadLimits::MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    complete(request.parse_with_uninit_headers(input, &mut storage), input)?;
    let (Some(method_name), Some(target), Some(minor_version)) =
        (request.method, request.path, request.version)
    else {
        return Err(HeadError::Malformed("request line"));
    };
    head.set(method_name.as_bytes(), target.as_bytes(), version(minor_version)?)?;
    head.fields.load_normalised(request.headers);
    check_host(head)
}

/// Of `HTTP/1.1 200 `: httparse admits no other spacing.
pub(super) const BYTES_BEFORE_REASON: usize = 13;

/// As [`read_request`].
pub(super) fn read_response(input: &[u8], head: &mut ResponseHead) -> Result<(), HeadError> {
    let digit_at = input.starts_with(b"HTTP/1.").then_some(b"HTTP/1.".len());
    let input = &in_known_version(input, digit_at);
    let mut storage = [const { MaybeUninit::uninit() }; HeadLimits::MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        input,
        &mut storage,
    );
    complete(parsed, input)?;
    let (Some(status), Some(minor_version)) = (response.code, response.version) else {
        return Err(HeadError::Malformed("status line"));
    };
    if status < 100 {
        return Err(HeadError::Malformed("status"));
    }
    head.fields.load_normalised(response.headers);
    // httparse hides reasons that hold bytes from 0x80; they are forwarded as received.
    head.set(
        status,
        version(minor_version)?,
        start_line(input).get(BYTES_BEFORE_REASON..).unwrap_or_default(),
    );
    Ok(())
}

fn start_line(input: &[u8]) -> &[u8] {
    &input[..memchr(b'\r', input).unwrap_or(input.len())]
}

/// The same with a digit for HTTP/1.1 in the place of a later one, which `httparse` does not know.
fn in_known_version(input: &[u8], digit_at: Option<usize>) -> Cow<'_, [u8]> {
    match digit_at {
        Some(at) if matches!(input.get(at), Some(b'2'..=b'9')) => {
            let mut known = input.to_vec();
            known[at] = b'1';
            Cow::Owned(known)
        }
        Some(_) | None => Cow::Borrowed(input),
    }
}

/// The scan and `httparse` have to agree on where the head ends.
fn complete(parsed: httparse::Result<usize>, input: &[u8]) -> Result<(), HeadError> {
    match parsed {
        Ok(httparse::Status::Complete(bytes)) if bytes == input.len() => Ok(()),
        Ok(httparse::Status::Complete(_) | httparse::Status::Partial) => {
            Err(HeadError::Malformed("end of the head"))
        }
        Err(error) => Err(match error {
            // Also white space before the colon, and folded lines (obs-fold).
            httparse::Error::HeaderName => HeadError::Malformed(problem::of_field_names(input)),
            httparse::Error::HeaderValue => HeadError::Malformed("field value"),
            httparse::Error::NewLine => HeadError::Malformed("line end"),
            httparse::Error::Status => HeadError::Malformed("status"),
            httparse::Error::Token => HeadError::Malformed("request line"),
            httparse::Error::TooManyHeaders => HeadError::TooManyFields,
            httparse::Error::Version => HeadError::Malformed(problem::of_version(input)),
        }),
    }
}

fn version(minor: u8) -> Result<Version, HeadError> {
    Version::of_minor(b'0' + minor).ok_or(HeadError::Malformed("HTTP version"))
}

/// RFC 9112 3.2: one `Host`, a valid one, in every HTTP/1.1 request. It may be empty only where the
/// authority is not taken from it, since http and https URIs have none that are empty (RFC 9110 4.2).
pub(super) fn check_host(head: &RequestHead) -> Result<(), HeadError> {
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
            None => Err(HeadError::Malformed("Host is not one host, with a port or without")),
        },
    }
}
