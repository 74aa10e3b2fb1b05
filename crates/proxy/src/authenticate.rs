//! The credential that a request shows, and whose it is: a key of the service's tenant, or a token for one; or none,
//! where the service lets such callers through.

use std::net::IpAddr;

use tollgate_core::credential::{KeyHash, is_key_shaped};
use tollgate_core::resource::HeaderName;
use tollgate_core::snapshot::{Consumer, Key, Snapshot, Tenant};
use tollgate_core::token::is_token_shaped;
use tollgate_http1::{FieldId, Fields};

use crate::caller::{Caller, Speaker, anonymous, identify};
use crate::gateway::Gateway;
use crate::message::Hidden;
use crate::rejection::Rejection;
use crate::route::Selected;

/// Credentials that a request carries.
struct Presented<'r> {
    /// In the service's own header.
    own: Option<&'r [u8]>,
    /// As `Authorization: Bearer`.
    bearer: Option<&'r [u8]>,
}

/// What a credential turned out to be.
pub(crate) enum Found<'s, 'r> {
    Caller(Caller<'s>),
    /// No key: a token, which is still to be verified.
    Token(Token<'r>),
}

/// A credential that reads like a token.
pub(crate) struct Token<'r> {
    pub text: &'r [u8],
    pub hash: KeyHash,
}

/// The credential that stands where the gateway's own resources and most services look for it, and the key that it is. It
/// is found before it is known whether a service looks there too: its key and its service come from memory at once
/// that way, and not one after the other.
pub(crate) struct Usual<'s, 'r> {
    credential: &'r [u8],
    found: Hashed<'s>,
}

/// A credential's hash, and the key that has it.
#[derive(Clone, Copy)]
struct Hashed<'s> {
    hash: KeyHash,
    key: Option<&'s Key>,
}

impl<'s> Hashed<'s> {
    fn of(snapshot: &'s Snapshot, credential: &[u8]) -> Self {
        let hash = KeyHash::of(credential);
        Self { hash, key: snapshot.key(&hash) }
    }
}

impl<'s, 'r> Usual<'s, 'r> {
    pub fn find(snapshot: &'s Snapshot, fields: &'r Fields) -> Option<Self> {
        let own = fields.first(FieldId::XApiKey);
        let credential = own.or_else(|| fields.first(FieldId::Authorization).and_then(bearer))?;
        Some(Self { credential, found: Hashed::of(snapshot, credential) })
    }
}

/// What a request shows, in the header of this name or as `Bearer`.
pub(crate) fn credential<'r>(fields: &'r Fields, header: &[u8]) -> Option<&'r [u8]> {
    let presented = presented(fields, header);
    presented.own.or(presented.bearer)
}

/// The caller of a service, by the credential in the header of this name.
pub(crate) fn caller<'s, 'r>(
    snapshot: &'s Snapshot,
    selected: &Selected<'s, '_>,
    header: &HeaderName,
    fields: &'r Fields,
    usual: Option<&Usual<'s, 'r>>,
    client: IpAddr,
    now_secs: u64,
) -> Result<Found<'s, 'r>, Rejection> {
    let header = header.as_str().as_bytes();
    let presented = presented(fields, header);
    let Some(credential) = presented.own.or(presented.bearer) else {
        return anonymous(selected, fields, client).map(Found::Caller);
    };
    if is_repeated(fields, if presented.own.is_some() { header } else { b"authorization" }) {
        // Whoever reads the other one takes the request for somebody else's.
        return Err(Rejection::Malformed("more than one credential"));
    }
    let usual = usual.filter(|usual| std::ptr::eq(usual.credential, credential));
    let Hashed { hash, key } = usual.map_or_else(|| Hashed::of(snapshot, credential), |usual| usual.found);
    // What became of another tenant's key is nobody's business here.
    let Some(key) = key else { return token(credential, hash) };
    if key.tenant() != selected.tenant.id {
        return Err(Rejection::UnknownKey);
    }
    check_in_force(key, now_secs)?;
    let bound = bound_consumer(selected.tenant, key)?;
    identify(selected.tenant, Speaker::Key(key, bound), fields).map(Found::Caller)
}

/// The caller of a resource of the gateway itself, which no tenant's name stands in.
pub(crate) fn caller_of_gateway<'s, 'r>(
    snapshot: &'s Snapshot,
    fields: &'r Fields,
    now_secs: u64,
) -> Result<Found<'s, 'r>, Rejection> {
    let Usual { credential, found } = Usual::find(snapshot, fields).ok_or(Rejection::NoCredential)?;
    let Hashed { hash, key } = found;
    match key {
        Some(key) => keyholder(snapshot, key, fields, now_secs).map(Found::Caller),
        None => token(credential, hash),
    }
}

/// The caller of a resource that keys alone open, its key, and the hash of the key's value.
pub(crate) fn caller_with_key<'s>(
    snapshot: &'s Snapshot,
    fields: &Fields,
    now_secs: u64,
) -> Result<(Caller<'s>, &'s Key, KeyHash), Rejection> {
    let Usual { found, .. } = Usual::find(snapshot, fields).ok_or(Rejection::NoCredential)?;
    let Hashed { hash, key } = found;
    let key = key.ok_or(Rejection::UnknownKey)?;
    Ok((keyholder(snapshot, key, fields, now_secs)?, key, hash))
}

fn keyholder<'s>(
    snapshot: &'s Snapshot,
    key: &'s Key,
    fields: &Fields,
    now_secs: u64,
) -> Result<Caller<'s>, Rejection> {
    check_in_force(key, now_secs)?;
    let tenant = snapshot.tenant_by_id(key.tenant()).ok_or(Rejection::UnknownKey)?;
    identify(tenant, Speaker::Key(key, bound_consumer(tenant, key)?), fields)
}

/// Whether this field carries a credential of Tollgate's, which the upstream must not see. A bearer token
/// of somebody else's goes through beside a key in the service's own header.
pub(crate) fn is_credential(
    gateway: &Gateway,
    snapshot: &Snapshot,
    header: Hidden<'_>,
    fields: &Fields,
    id: FieldId,
    name: &[u8],
    value: &[u8],
) -> bool {
    if header.is(name) {
        return true;
    }
    let is_own = |credential: &[u8]| {
        // One that was revoked is known no more, and may be given back.
        is_key_shaped(credential)
            || snapshot.key(&KeyHash::of(credential)).is_some()
            || is_token_shaped(credential) && gateway.settings.issuing.is_own(snapshot, credential)
    };
    if id == FieldId::XApiKey && is_own(value) {
        // Who mistakes one service's header for another's must not give the key away by it.
        return true;
    }
    let is_shown = |header: &HeaderName| fields.find(header.as_str().as_bytes()).is_some();
    id == FieldId::Authorization
        && match bearer(value) {
            // Which of the two the key stood in was decided by what the header was called then.
            Some(token) => !header.at_first().is_some_and(is_shown) || is_own(token),
            // Who forgets the scheme must not give the key away by it either.
            None => is_own(value),
        }
}

fn is_repeated(fields: &Fields, name: &[u8]) -> bool {
    fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).nth(1).is_some()
}

fn presented<'r>(fields: &'r Fields, header: &[u8]) -> Presented<'r> {
    let own = fields.find(header).map(|value| {
        // A service may read its key from `Authorization` itself.
        if header.eq_ignore_ascii_case(b"authorization") { bearer(value).unwrap_or(value) } else { value }
    });
    let bearer = fields.first(FieldId::Authorization).and_then(bearer);
    Presented { own, bearer }
}

/// RFC 6750 section 2.1; the scheme's case does not matter (RFC 9110 section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

/// A credential whose hash is no key's: no part of a key is ever compared.
fn token<'s>(credential: &[u8], hash: KeyHash) -> Result<Found<'s, '_>, Rejection> {
    if is_token_shaped(credential) {
        Ok(Found::Token(Token { text: credential, hash }))
    } else {
        Err(Rejection::UnknownKey)
    }
}

fn check_in_force(key: &Key, now_secs: u64) -> Result<(), Rejection> {
    if key.is_expired(now_secs) { Err(Rejection::KeyExpired) } else { Ok(()) }
}

fn bound_consumer<'s>(tenant: &'s Tenant, key: &Key) -> Result<Option<&'s Consumer>, Rejection> {
    match key.consumer() {
        Some(id) => Ok(Some(tenant.consumer(id).ok_or(Rejection::ConsumerNotAllowed)?)),
        None => Ok(None),
    }
}
