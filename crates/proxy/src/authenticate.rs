//! Who is calling: a key of the service's tenant, perhaps speaking for a consumer.

use tollgate_core::credential::KeyHash;
use tollgate_core::limit::Subject;
use tollgate_core::resource::HeaderName;
use tollgate_core::snapshot::{Consumer, Key, Plan, Snapshot, Tenant};
use tollgate_http1::{FieldId, Fields};

use crate::rejection::Rejection;
use crate::route::Selected;

/// A caller that is known and may use the service.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'s> {
    pub tenant: &'s Tenant,
    pub key: &'s Key,
    /// Whom the key speaks for.
    pub consumer: Option<&'s Consumer>,
    pub plan: Option<&'s Plan>,
    /// Who is counted.
    pub subject: Subject,
}

/// Credentials that a request carries.
struct Presented<'r> {
    /// In the service's own header.
    own: Option<&'r [u8]>,
    /// As `Authorization: Bearer`.
    bearer: Option<&'r [u8]>,
}

/// Where a service has no header of its own to look in: the gateway's own resources.
const DEFAULT_HEADER: &[u8] = b"X-API-Key";

/// The caller of a service.
pub(crate) fn caller<'s>(
    snapshot: &'s Snapshot,
    selected: &Selected<'s, '_>,
    fields: &Fields,
    now_secs: u64,
) -> Result<Caller<'s>, Rejection> {
    let presented = presented(fields, selected.service.auth_header.as_str().as_bytes());
    let credential = presented.own.or(presented.bearer).ok_or(Rejection::NoCredential)?;
    // What became of another tenant's key is nobody's business here.
    let key = find(snapshot, credential)?;
    if key.tenant != selected.tenant.id {
        return Err(Rejection::UnknownKey);
    }
    check_in_force(key, now_secs)?;
    if !key.opens(selected.service.id) {
        return Err(Rejection::KeyNotForService);
    }
    identify(selected.tenant, key, fields)
}

/// The caller of a resource of the gateway itself, which no tenant's name stands in.
pub(crate) fn caller_of_gateway<'s>(
    snapshot: &'s Snapshot,
    fields: &Fields,
    now_secs: u64,
) -> Result<Caller<'s>, Rejection> {
    let presented = presented(fields, DEFAULT_HEADER);
    let credential = presented.own.or(presented.bearer).ok_or(Rejection::NoCredential)?;
    let key = find(snapshot, credential)?;
    check_in_force(key, now_secs)?;
    let tenant = snapshot.tenant_by_id(key.tenant).ok_or(Rejection::UnknownKey)?;
    identify(tenant, key, fields)
}

/// Whether this field carries a credential of Tollgate's, which the upstream must not see. A bearer token
/// of somebody else's goes through beside a key in the service's own header.
pub(crate) fn is_credential(
    snapshot: &Snapshot,
    header: &HeaderName,
    fields: &Fields,
    id: FieldId,
    name: &[u8],
    value: &[u8],
) -> bool {
    if name.eq_ignore_ascii_case(header.as_str().as_bytes()) {
        return true;
    }
    if id == FieldId::XApiKey && snapshot.key(&KeyHash::of(value)).is_some() {
        // Who mistakes one service's header for another's must not give the key away by it.
        return true;
    }
    id == FieldId::Authorization
        && bearer(value).is_some_and(|token| {
            fields.find(header.as_str().as_bytes()).is_none() || snapshot.key(&KeyHash::of(token)).is_some()
        })
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

/// Looks the credential's hash up: no part of the key is ever compared.
fn find<'s>(snapshot: &'s Snapshot, credential: &[u8]) -> Result<&'s Key, Rejection> {
    snapshot.key(&KeyHash::of(credential)).ok_or(Rejection::UnknownKey)
}

fn check_in_force(key: &Key, now_secs: u64) -> Result<(), Rejection> {
    if key.is_expired(now_secs) { Err(Rejection::KeyExpired) } else { Ok(()) }
}

fn identify<'s>(tenant: &'s Tenant, key: &'s Key, fields: &Fields) -> Result<Caller<'s>, Rejection> {
    let bound = match key.consumer {
        Some(id) => Some(tenant.consumer(id).ok_or(Rejection::ConsumerNotAllowed)?),
        None => None,
    };
    let mut names = fields.all(FieldId::XClientId);
    let named = names.next();
    if names.next().is_some() {
        // The upstream gets all of them, and might take another than the one that was checked.
        return Err(Rejection::Malformed("more than one X-Client-ID"));
    }
    let consumer = match (named, bound) {
        (None, bound) => bound,
        (Some(named), Some(bound)) if bound.client_id.as_str().as_bytes() == named => Some(bound),
        (Some(_), Some(_)) => return Err(Rejection::ConsumerNotAllowed),
        (Some(named), None) => {
            let named = std::str::from_utf8(named).map_err(|_| Rejection::UnknownConsumer)?;
            Some(tenant.consumer_by_client_id(named).ok_or(Rejection::UnknownConsumer)?)
        }
    };
    let plan = match consumer.and_then(|consumer| consumer.plan).or(key.plan) {
        // A plan that is missing must not read as no limits.
        Some(id) => Some(tenant.plan(id).ok_or(Rejection::NoPlan)?),
        None => None,
    };
    let subject = consumer.map_or_else(|| Subject::from(key.id), |consumer| Subject::from(consumer.id));
    Ok(Caller { tenant, key, consumer, plan, subject })
}
