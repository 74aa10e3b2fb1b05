//! The response head that a client gets.

use tollgate_core::time::UnixMicros;
use tollgate_http1::{BodyLength, FieldId, HeadWriter, ResponseHead, Version};

use super::hidden::Hidden;
use super::nominations::Nominations;
use super::{TimeTexts, push_limit_lines};
use crate::admit::Limits;
use crate::identity::RequestId;

/// Whether the client's connection outlives the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    KeepAlive,
    Close,
}

impl Persistence {
    pub const fn unless(self, is_ending: bool) -> Self {
        if is_ending { Self::Close } else { self }
    }

    /// What has to be said of it: HTTP/1.1 keeps a connection, HTTP/1.0 closes it, unless told otherwise.
    pub const fn connection_option(self, version: Version) -> Option<&'static [u8]> {
        match (self, version) {
            (Self::KeepAlive, Version::Http11) => None,
            (Self::KeepAlive, Version::Http10) => Some(b"keep-alive"),
            (Self::Close, Version::Http10 | Version::Http11) => Some(b"close"),
        }
    }
}

pub(crate) struct ClientHead<'x, 's> {
    pub response: &'x ResponseHead,
    /// How the body is framed for the client.
    pub body: BodyLength,
    pub persistence: Persistence,
    pub version: Version,
    pub limits: &'x Limits<'s>,
    /// A field that is between the upstream and the gateway alone.
    pub hidden: Hidden<'x>,
    pub request_id: &'x RequestId,
    pub now: UnixMicros,
    pub times: &'x TimeTexts,
}

/// A final response, or the `101` that opens a tunnel.
pub(crate) fn write_response(out: &mut Vec<u8>, head: &ClientHead<'_, '_>) {
    let response = head.response;
    let fields = &response.fields;
    let is_limited = !head.limits.is_empty();
    let nominated = Nominations::of(fields);
    let bodiless = matches!(response.status, 101 | 204);
    let mut writer = HeadWriter::response_with_reason(out, response.status, response.reason());
    writer.fields(fields, |field| {
        let kept = match field.id {
            FieldId::XRequestId => false,
            FieldId::RateLimit | FieldId::RateLimitPolicy => !is_limited,
            FieldId::ContentLength => !bodiless,
            FieldId::Trailer => head.body == BodyLength::Chunked,
            FieldId::Other => !is_limited || !is_limit_field(field.name),
            other => !other.is_hop_by_hop(),
        };
        kept && !head.hidden.is(field.name) && !nominated.contain(field.id, field.name)
    });
    // What is switched to, and what the upstream insists on (RFC 9110 section 15.5.22).
    if response.status == 101 || response.status == 426 && fields.contains(FieldId::Upgrade) {
        writer.field(b"Connection", b"Upgrade");
        for upgrade in fields.all(FieldId::Upgrade) {
            writer.field(b"Upgrade", upgrade);
        }
    }
    if response.status != 101
        && let Some(option) = head.persistence.connection_option(head.version)
    {
        writer.field(b"Connection", option);
    }
    // RFC 9110 section 6.6.1: who forwards a response without one adds it.
    if !fields.contains(FieldId::Date) || nominated.contain(FieldId::Date, b"date") {
        writer.field(b"Date", &head.times.date(head.now));
    }
    if head.body == BodyLength::Chunked {
        writer.field(b"Transfer-Encoding", b"chunked");
    }
    writer.field(b"X-Request-ID", head.request_id.as_bytes());
    push_limit_lines(writer.out(), head.limits, head.now, head.times);
    writer.finish();
}

/// A `1xx` other than `101`: as it came, but for what belongs to the connection, and what the gateway alone says.
pub(crate) fn write_interim(out: &mut Vec<u8>, response: &ResponseHead, hidden: Hidden<'_>) {
    let nominated = Nominations::of(&response.fields);
    let mut writer = HeadWriter::response_with_reason(out, response.status, response.reason());
    writer.fields(&response.fields, |field| {
        let is_gateways = match field.id {
            FieldId::ContentLength | FieldId::RateLimit | FieldId::RateLimitPolicy | FieldId::XRequestId => {
                true
            }
            FieldId::Other => is_limit_field(field.name),
            other => other.is_hop_by_hop(),
        };
        !is_gateways && !hidden.is(field.name) && !nominated.contain(field.id, field.name)
    });
    writer.finish();
}

/// The upstream's own limits would be taken for the gateway's.
pub(crate) fn is_limit_field(name: &[u8]) -> bool {
    name.len() > 12 && name[..12].eq_ignore_ascii_case(b"x-ratelimit-")
}
