//! The field names the gateway acts upon, recognised once when a field is stored.

/// A field name the gateway knows; every other name is [`FieldId::Other`].
///
/// Fewer than 64, so that the set of names present in a header section is one `u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FieldId {
    Accept,
    Age,
    Authorization,
    CacheControl,
    Connection,
    ContentLength,
    ContentType,
    Cookie,
    Date,
    Expect,
    Forwarded,
    Host,
    KeepAlive,
    ProxyAuthenticate,
    ProxyAuthorization,
    ProxyConnection,
    ProxyStatus,
    RateLimit,
    RateLimitPolicy,
    RetryAfter,
    Server,
    SetCookie,
    Te,
    Traceparent,
    Tracestate,
    Trailer,
    TransferEncoding,
    Upgrade,
    UserAgent,
    Via,
    XApiKey,
    XClientId,
    XConsumerId,
    XForwardedFor,
    XForwardedHost,
    XForwardedPort,
    XForwardedProto,
    XOrganizationId,
    XPlanTier,
    XRequestId,
    XTenantId,
    Other,
}

impl FieldId {
    /// Field names are case-insensitive (RFC 9110 5.1).
    pub fn of(name: &[u8]) -> Self {
        known_names_of_length(name.len())
            .iter()
            .find(|(known, _)| equal_in_any_case(known, name))
            .map_or(Self::Other, |&(_, id)| id)
    }

    /// Whether the field is meant for the next hop alone and so is never forwarded.
    ///
    /// RFC 9110 7.6.1 names all but the two proxy authentication fields. Those belong to the hop
    /// that asked for them (11.7), which is never an upstream behind this gateway: passing them on
    /// would hand a client's proxy password to a service.
    pub fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::KeepAlive
                | Self::ProxyAuthenticate
                | Self::ProxyAuthorization
                | Self::ProxyConnection
                | Self::Te
                | Self::Trailer
                | Self::TransferEncoding
                | Self::Upgrade
        )
    }

    /// This id as a set of one.
    pub(crate) fn bit(self) -> u64 {
        1 << (self as u8)
    }
}

const _: () = assert!((FieldId::Other as u8) < 64);

/// Compares with a known name, which consists of small letters and hyphens, of the same length.
///
/// Every field of every message comes through here. The first letter rules out nearly all wrong
/// names; from there, a loop that stops at the first difference costs more in mispredicted branches
/// than the few bytes that it may save.
fn equal_in_any_case(known: &[u8], name: &[u8]) -> bool {
    known[0] == name[0].to_ascii_lowercase()
        && known.iter().zip(name).fold(0, |bits, (&known, &byte)| bits | differing_bits(known, byte)) == 0
}

/// Bit 5 tells a letter's cases apart; in a hyphen it has to be as it is.
fn differing_bits(known: u8, byte: u8) -> u8 {
    let compared = if known == b'-' { 0xff } else { 0xdf };
    (known ^ byte) & compared
}

/// A name's length alone leaves five candidates at most.
fn known_names_of_length(bytes: usize) -> &'static [(&'static [u8], FieldId)] {
    match bytes {
        2 => &[(b"te", FieldId::Te)],
        3 => &[(b"age", FieldId::Age), (b"via", FieldId::Via)],
        4 => &[(b"host", FieldId::Host), (b"date", FieldId::Date)],
        6 => &[
            (b"accept", FieldId::Accept),
            (b"cookie", FieldId::Cookie),
            (b"server", FieldId::Server),
            (b"expect", FieldId::Expect),
        ],
        7 => &[(b"trailer", FieldId::Trailer), (b"upgrade", FieldId::Upgrade)],
        9 => &[
            (b"x-api-key", FieldId::XApiKey),
            (b"forwarded", FieldId::Forwarded),
            (b"ratelimit", FieldId::RateLimit),
        ],
        10 => &[
            (b"connection", FieldId::Connection),
            (b"user-agent", FieldId::UserAgent),
            (b"set-cookie", FieldId::SetCookie),
            (b"keep-alive", FieldId::KeepAlive),
            (b"tracestate", FieldId::Tracestate),
        ],
        11 => &[
            (b"traceparent", FieldId::Traceparent),
            (b"retry-after", FieldId::RetryAfter),
            (b"x-client-id", FieldId::XClientId),
            (b"x-plan-tier", FieldId::XPlanTier),
            (b"x-tenant-id", FieldId::XTenantId),
        ],
        12 => &[
            (b"content-type", FieldId::ContentType),
            (b"x-request-id", FieldId::XRequestId),
            (b"proxy-status", FieldId::ProxyStatus),
        ],
        13 => &[
            (b"authorization", FieldId::Authorization),
            (b"cache-control", FieldId::CacheControl),
            (b"x-consumer-id", FieldId::XConsumerId),
        ],
        14 => &[(b"content-length", FieldId::ContentLength)],
        15 => &[(b"x-forwarded-for", FieldId::XForwardedFor)],
        16 => &[
            (b"x-forwarded-host", FieldId::XForwardedHost),
            (b"x-forwarded-port", FieldId::XForwardedPort),
            (b"ratelimit-policy", FieldId::RateLimitPolicy),
            (b"proxy-connection", FieldId::ProxyConnection),
        ],
        17 => &[
            (b"transfer-encoding", FieldId::TransferEncoding),
            (b"x-forwarded-proto", FieldId::XForwardedProto),
            (b"x-organization-id", FieldId::XOrganizationId),
        ],
        18 => &[(b"proxy-authenticate", FieldId::ProxyAuthenticate)],
        19 => &[(b"proxy-authorization", FieldId::ProxyAuthorization)],
        _ => &[],
    }
}
