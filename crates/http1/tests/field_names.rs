//! Known field names are told apart from all others, in any letter case.

use proptest::collection::vec;
use proptest::prelude::*;
use tollgate_http1::{FieldId, is_same_variable};

#[test]
fn underscores_imitate_hyphens() {
    for (name, id) in [
        ("X_Tenant_ID", FieldId::XTenantId),
        ("x-TENANT_id", FieldId::XTenantId),
        ("Content_Length", FieldId::ContentLength),
        ("X-Tenant-ID", FieldId::Other),
        ("X_Tenant_IDs", FieldId::Other),
        ("X_Tenant", FieldId::Other),
        ("_", FieldId::Other),
        ("a_name_that_is_longer_than_any_known_one", FieldId::Other),
        ("", FieldId::Other),
    ] {
        assert_eq!(FieldId::imitated_by(name.as_bytes()), id, "{name}");
    }
    assert!(is_same_variable(b"X-Shop_Token", b"x_SHOP-token"));
    assert!(!is_same_variable(b"X-Shop-Token", b"X-Shop-Tokens") && !is_same_variable(b"X-a", b"X-b"));
}

proptest! {
    #[test]
    fn unknown_names_are_other(name in vec(any::<u8>(), 0..24)) {
        prop_assert_eq!(FieldId::of(&name), naive_id(&name));
    }

    #[test]
    fn known_names_are_known_in_any_letter_case(
        known in prop::sample::select(KNOWN_NAMES), cases in vec(any::<bool>(), 24), at in 0_usize..24, bit in 0_u8..8,
    ) {
        let mut name: Vec<u8> = known.0.bytes().zip(cases)
            .map(|(byte, upper)| if upper { byte.to_ascii_uppercase() } else { byte })
            .collect();
        prop_assert_eq!(FieldId::of(&name), known.1);
        // And only letter case may differ.
        if let Some(byte) = name.get_mut(at) {
            *byte ^= 1 << bit;
        }
        prop_assert_eq!(FieldId::of(&name), naive_id(&name), "{}", name.escape_ascii());
    }
}

fn naive_id(name: &[u8]) -> FieldId {
    KNOWN_NAMES
        .iter()
        .find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name))
        .map_or(FieldId::Other, |(_, id)| *id)
}

const KNOWN_NAMES: &[(&str, FieldId)] = &[
    ("Accept", FieldId::Accept),
    ("Age", FieldId::Age),
    ("Authorization", FieldId::Authorization),
    ("Cache-Control", FieldId::CacheControl),
    ("Connection", FieldId::Connection),
    ("Content-Length", FieldId::ContentLength),
    ("Content-Type", FieldId::ContentType),
    ("Cookie", FieldId::Cookie),
    ("Date", FieldId::Date),
    ("Expect", FieldId::Expect),
    ("Forwarded", FieldId::Forwarded),
    ("Host", FieldId::Host),
    ("Keep-Alive", FieldId::KeepAlive),
    ("Proxy-Authenticate", FieldId::ProxyAuthenticate),
    ("Proxy-Authorization", FieldId::ProxyAuthorization),
    ("Proxy-Connection", FieldId::ProxyConnection),
    ("Proxy-Status", FieldId::ProxyStatus),
    ("RateLimit", FieldId::RateLimit),
    ("RateLimit-Policy", FieldId::RateLimitPolicy),
    ("Retry-After", FieldId::RetryAfter),
    ("Server", FieldId::Server),
    ("Set-Cookie", FieldId::SetCookie),
    ("TE", FieldId::Te),
    ("Traceparent", FieldId::Traceparent),
    ("Tracestate", FieldId::Tracestate),
    ("Trailer", FieldId::Trailer),
    ("Transfer-Encoding", FieldId::TransferEncoding),
    ("Upgrade", FieldId::Upgrade),
    ("User-Agent", FieldId::UserAgent),
    ("Via", FieldId::Via),
    ("X-API-Key", FieldId::XApiKey),
    ("X-Client-ID", FieldId::XClientId),
    ("X-Consumer-ID", FieldId::XConsumerId),
    ("X-Forwarded-For", FieldId::XForwardedFor),
    ("X-Forwarded-Host", FieldId::XForwardedHost),
    ("X-Forwarded-Port", FieldId::XForwardedPort),
    ("X-Forwarded-Proto", FieldId::XForwardedProto),
    ("X-Organization-ID", FieldId::XOrganizationId),
    ("X-Plan-Tier", FieldId::XPlanTier),
    ("X-Request-ID", FieldId::XRequestId),
    ("X-Tenant-ID", FieldId::XTenantId),
];
