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
        if name.is_empty() || name.len() > LONGEST {
            return Self::Other;
        }
        match KNOWN.get(usize::from(SLOTS[slot(name)])) {
            Some(&(known, id)) if known.len() == name.len() && equal_in_any_case(known, name) => id,
            Some(_) | None => Self::Other,
        }
    }

    /// The known field that a recipient behind CGI, WSGI or PHP takes a name with underscores for (see
    /// [`is_same_variable`](crate::is_same_variable)).
    pub fn imitated_by(name: &[u8]) -> Self {
        let mut hyphenated = [0; LONGEST];
        match hyphenated.get_mut(..name.len()) {
            Some(hyphenated) if name.contains(&b'_') => {
                for (to, &from) in hyphenated.iter_mut().zip(name) {
                    *to = if from == b'_' { b'-' } else { from };
                }
                Self::of(hyphenated)
            }
            Some(_) | None => Self::Other,
        }
    }

    /// Whether the field is meant for the next hop alone and so is never forwarded.
    ///
    /// RFC 9110 7.6.1 names all but the two proxy authentication fields. Those belong to the hop
    /// that asked for them (11.7), which is never an upstream behind this gateway: passing them on
    /// would hand a client's proxy password to a service, and have a service ask for it in the place
    /// of the client's own proxy.
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

/// Every known name, in small letters.
const KNOWN: [(&[u8], FieldId); 41] = [
    (b"accept", FieldId::Accept),
    (b"age", FieldId::Age),
    (b"authorization", FieldId::Authorization),
    (b"cache-control", FieldId::CacheControl),
    (b"connection", FieldId::Connection),
    (b"content-length", FieldId::ContentLength),
    (b"content-type", FieldId::ContentType),
    (b"cookie", FieldId::Cookie),
    (b"date", FieldId::Date),
    (b"expect", FieldId::Expect),
    (b"forwarded", FieldId::Forwarded),
    (b"host", FieldId::Host),
    (b"keep-alive", FieldId::KeepAlive),
    (b"proxy-authenticate", FieldId::ProxyAuthenticate),
    (b"proxy-authorization", FieldId::ProxyAuthorization),
    (b"proxy-connection", FieldId::ProxyConnection),
    (b"proxy-status", FieldId::ProxyStatus),
    (b"ratelimit", FieldId::RateLimit),
    (b"ratelimit-policy", FieldId::RateLimitPolicy),
    (b"retry-after", FieldId::RetryAfter),
    (b"server", FieldId::Server),
    (b"set-cookie", FieldId::SetCookie),
    (b"te", FieldId::Te),
    (b"traceparent", FieldId::Traceparent),
    (b"tracestate", FieldId::Tracestate),
    (b"trailer", FieldId::Trailer),
    (b"transfer-encoding", FieldId::TransferEncoding),
    (b"upgrade", FieldId::Upgrade),
    (b"user-agent", FieldId::UserAgent),
    (b"via", FieldId::Via),
    (b"x-api-key", FieldId::XApiKey),
    (b"x-client-id", FieldId::XClientId),
    (b"x-consumer-id", FieldId::XConsumerId),
    (b"x-forwarded-for", FieldId::XForwardedFor),
    (b"x-forwarded-host", FieldId::XForwardedHost),
    (b"x-forwarded-port", FieldId::XForwardedPort),
    (b"x-forwarded-proto", FieldId::XForwardedProto),
    (b"x-organization-id", FieldId::XOrganizationId),
    (b"x-plan-tier", FieldId::XPlanTier),
    (b"x-request-id", FieldId::XRequestId),
    (b"x-tenant-id", FieldId::XTenantId),
];

const LONGEST: usize = 19;

/// Where in [`KNOWN`] the one name is that can be in a slot; other slots hold [`NOBODY`].
static SLOTS: [u8; SLOT_COUNT] = slots();
const SLOT_COUNT: usize = 128;
const NOBODY: u8 = u8::MAX;

/// A perfect hash over the known names, found by trial: every field of every message comes through here, and
/// nearly all names that are unknown end at an empty slot.
const fn slot(name: &[u8]) -> usize {
    let length = name.len();
    let third = if length > 2 { name[2] } else { name[length - 1] };
    let fourth_last = name[length.saturating_sub(4)];
    (length + 5 * (fourth_last | 0x20) as usize + 39 * (third | 0x20) as usize) % SLOT_COUNT
}

const fn slots() -> [u8; SLOT_COUNT] {
    let mut slots = [NOBODY; SLOT_COUNT];
    let mut index = 0;
    while index < KNOWN.len() {
        let (name, id) = KNOWN[index];
        let slot = slot(name);
        assert!(slots[slot] == NOBODY, "two known names share a slot: other factors are needed");
        assert!(id as usize == index && name.len() <= LONGEST);
        slots[slot] = id as u8;
        index += 1;
    }
    slots
}

/// Compares with a known name, which consists of small letters and hyphens, of the same length: as two or
/// three words instead of up to 19 bytes.
fn equal_in_any_case(known: &[u8], name: &[u8]) -> bool {
    match name.len() {
        0..4 => known.eq_ignore_ascii_case(name),
        4..8 => {
            known.first_chunk() == name.first_chunk().map(small::<4>).as_ref()
                && known.last_chunk() == name.last_chunk().map(small::<4>).as_ref()
        }
        _ => {
            let middle = |bytes: &'_ [u8]| bytes.get(8..16).and_then(|bytes| bytes.first_chunk().copied());
            known.first_chunk() == name.first_chunk().map(small::<8>).as_ref()
                && known.last_chunk() == name.last_chunk().map(small::<8>).as_ref()
                && middle(known) == middle(name).as_ref().map(small::<8>)
        }
    }
}

/// Makes letters small: where bit 6 is set, as in letters and not in hyphens or control characters, bit 5 is too.
fn small<const N: usize>(bytes: &[u8; N]) -> [u8; N] {
    bytes.map(|byte| byte | (byte & 0x40) >> 1)
}
