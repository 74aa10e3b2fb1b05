//! A request whose head has been read and means one thing only: the proof that stages behind it start from.

use std::borrow::Cow;

use tollgate_core::routing::{BadPath, CanonicalPath};
use tollgate_http1::{
    BodyLength, FieldId, FramingError, Method, RequestHead, TargetForm, Version, list_tokens, request_body,
};

use crate::identity::Trust;
use crate::rejection::Rejection;

pub(crate) struct Request<'r> {
    pub head: &'r RequestHead,
    pub path: CanonicalPath<'r>,
    /// From the question mark on; empty where there is none.
    pub query: &'r [u8],
    /// Whom the client asked for, as it stands in `Host`.
    pub authority: Option<&'r [u8]>,
    pub body: BodyLength,
    /// The protocols that the client offers to switch to.
    pub upgrade: Option<Cow<'r, [u8]>>,
    /// How many hops behind this one may still be taken; only `TRACE` and `OPTIONS` are limited (RFC 9110
    /// section 7.6.2).
    pub max_forwards: Option<u32>,
}

pub(crate) const MAX_FORWARDS: &[u8] = b"Max-Forwards";

const ALLOWED_BUT_TRACE: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH";

/// What a well-formed head asks for.
pub(crate) enum Examined<'r> {
    Request(Request<'r>),
    /// `OPTIONS *`: about the gateway itself (RFC 9110 section 9.3.7).
    AboutGateway,
}

impl<'r> Request<'r> {
    /// Checks what is ambiguous or not for a gateway. `via` is this process's own name; `peer` is trusted where it may have ended a
    /// client's TLS.
    pub fn examine(head: &'r RequestHead, via: &[u8], peer: Trust) -> Result<Examined<'r>, Rejection> {
        let body = request_body(head).map_err(malformed_framing)?;
        if has_looped(head, via) {
            return Err(Rejection::Loop);
        }
        if !expects_only_continue(head) {
            return Err(Rejection::ExpectationFailed);
        }
        let (target, authority) = match head.target_form() {
            TargetForm::Origin => (head.target(), head.fields.first(FieldId::Host)),
            // RFC 9110 section 7.4.
            TargetForm::Absolute { scheme, .. }
                if peer == Trust::Untrusted && scheme.eq_ignore_ascii_case(b"https") =>
            {
                return Err(Rejection::Misdirected);
            }
            TargetForm::Absolute { authority, path, .. } => (path, Some(authority)),
            TargetForm::Authority => return Err(Rejection::ConnectRefused),
            TargetForm::Asterisk => return Ok(Examined::AboutGateway),
        };
        if target.is_empty() && head.method == Method::Options {
            return Ok(Examined::AboutGateway);
        }
        let max_forwards = match hops_left(head)? {
            Some(0) if head.method == Method::Options => return Ok(Examined::AboutGateway),
            // The gateway is the last recipient then, and echoes nothing: the request holds credentials.
            Some(0) => return Err(Rejection::MethodNotAllowed(ALLOWED_BUT_TRACE.into())),
            Some(hops) => Some(hops - 1),
            None => None,
        };
        let query_at = memchr::memchr(b'?', target).unwrap_or(target.len());
        let (path, query) = target.split_at(query_at);
        let path = if path.is_empty() { b"/" } else { path };
        let path = CanonicalPath::parse(path).map_err(ambiguous_path)?;
        Ok(Examined::Request(Self {
            head,
            path,
            query,
            authority,
            body,
            upgrade: offered_upgrade(head),
            max_forwards,
        }))
    }

    pub fn has_body(&self) -> bool {
        match self.body {
            BodyLength::None | BodyLength::Exact(0) => false,
            BodyLength::Exact(_) | BodyLength::Chunked | BodyLength::UntilClose => true,
        }
    }
}

fn has_looped(head: &RequestHead, via: &[u8]) -> bool {
    let received_by = |member: &[u8]| {
        // `1.1 name (comment)`: the name is the second word.
        member.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).nth(1) == Some(via)
    };
    head.fields.contains(FieldId::Via) && head.fields.all(FieldId::Via).flat_map(list_tokens).any(received_by)
}

/// RFC 9110 section 10.1.1: `100-continue` is the one expectation there is, and HTTP/1.0 has none.
fn expects_only_continue(head: &RequestHead) -> bool {
    let mut expectations = head.fields.all(FieldId::Expect).flat_map(list_tokens);
    head.version == Version::Http10 || expectations.all(|token| token.eq_ignore_ascii_case(b"100-continue"))
}

/// `Upgrade` counts where `Connection` names it. HTTP/2 in clear is not offered on: a tunnel to it would
/// carry requests past every check (RFC 9113 section 3.1 has given it up).
fn offered_upgrade(head: &RequestHead) -> Option<Cow<'_, [u8]>> {
    let first = head.fields.first(FieldId::Upgrade)?;
    let asks_for_it = |option: &[u8]| option.eq_ignore_ascii_case(b"upgrade");
    if head.version != Version::Http11
        || !head.fields.all(FieldId::Connection).flat_map(list_tokens).any(asks_for_it)
    {
        return None;
    }
    let is_http2 = |token: &[u8]| token.len() >= 3 && token[..3].eq_ignore_ascii_case(b"h2c");
    let offers = || head.fields.all(FieldId::Upgrade).flat_map(list_tokens);
    if head.fields.all(FieldId::Upgrade).count() == 1 && !offers().any(is_http2) {
        return Some(Cow::Borrowed(first));
    }
    let kept: Vec<&[u8]> = offers().filter(|&token| !is_http2(token)).collect();
    (!kept.is_empty()).then(|| Cow::Owned(kept.join(&b", "[..])))
}

/// `Max-Forwards`, where it means something. A larger number than can be counted is as good as the largest.
fn hops_left(head: &RequestHead) -> Result<Option<u32>, Rejection> {
    if !matches!(head.method, Method::Trace | Method::Options) {
        return Ok(None);
    }
    let Some(value) = head.fields.find(MAX_FORWARDS) else { return Ok(None) };
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Rejection::Malformed("invalid Max-Forwards"));
    }
    let digits = value.iter().map(|digit| u32::from(digit - b'0'));
    Ok(Some(digits.fold(0, |number: u32, digit| number.saturating_mul(10).saturating_add(digit))))
}

fn malformed_framing(error: FramingError) -> Rejection {
    Rejection::Malformed(match error {
        FramingError::BothLengths => "both Content-Length and Transfer-Encoding",
        FramingError::RepeatedContentLength => "more than one Content-Length",
        FramingError::InvalidContentLength => "invalid Content-Length",
        FramingError::UnsupportedTransferEncoding => "unsupported Transfer-Encoding",
        FramingError::TransferEncodingInHttp10 => "Transfer-Encoding in an HTTP/1.0 message",
    })
}

fn ambiguous_path(error: BadPath) -> Rejection {
    Rejection::Malformed(match error {
        BadPath::NoSlash => "the path does not start with a slash",
        BadPath::DotSegment => "the path has a dot segment",
        BadPath::EncodedDelimiter => "the path has an encoded slash, backslash, dot segment or NUL",
        BadPath::BadEncoding => "the path has an invalid percent-encoding",
        BadPath::BadByte => "the path has a byte that must be percent-encoded",
    })
}
