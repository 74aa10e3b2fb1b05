//! What requests have in common that go to the same target.

use std::net::IpAddr;

use tollgate_core::balance::hash_key;
use tollgate_core::resource::HashOn;
use tollgate_http1::Fields;

use super::send::Forward;

/// A request that has no such thing counts by its client's address.
pub(super) fn key_of(forward: &Forward<'_, '_>, on: &HashOn) -> u64 {
    let caller = &forward.admitted.caller;
    let fields = &forward.request.head.fields;
    let key = caller.key.map(|key| hash_key(key.id.0.as_bytes()));
    let found = match on {
        HashOn::Key => key,
        HashOn::Consumer => caller.consumer.map(|consumer| hash_key(consumer.id.0.as_bytes())).or(key),
        HashOn::ClientIp => None,
        HashOn::Path => Some(hash_key(forward.request.path.as_str().as_bytes())),
        HashOn::Header(name) => fields.find(name.as_bytes()).map(hash_key),
        HashOn::Cookie(name) => cookie(fields, name.as_bytes()).map(hash_key),
    };
    found.unwrap_or_else(|| hash_address(forward.origin.client))
}

fn hash_address(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => hash_key(&address.octets()),
        IpAddr::V6(address) => hash_key(&address.octets()),
    }
}

/// The value of the first cookie of this name (RFC 6265 section 4.2.1).
fn cookie<'f>(fields: &'f Fields, name: &[u8]) -> Option<&'f [u8]> {
    fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case(b"cookie"))
        .flat_map(|field| field.value.split(|&byte| byte == b';'))
        .map(<[u8]>::trim_ascii)
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut fields = Fields::new();
        fields.append(b"Cookie", b"ab=1; a=2;a=3");
        fields.append(b"cookie", b"session=x=y");
        assert_eq!(cookie(&fields, b"a"), Some(&b"2"[..]));
        assert_eq!(cookie(&fields, b"session"), Some(&b"x=y"[..]));
        assert_eq!(cookie(&fields, b"b"), None);
    }
}
