//! Who is calling: a key of the service's tenant, or a token for one, perhaps speaking for a consumer; or nobody that
//! is known, where the service lets such callers through.

use std::net::IpAddr;

use tollgate_core::credential::{KeyHash, is_key_shaped};
use tollgate_core::limit::{Calendar, Demand, LevelLimits, Subject};
use tollgate_core::resource::{HeaderName, KeyId};
use tollgate_core::snapshot::{Consumer, Key, KeyParticulars, Plan, Service, Snapshot, Tenant};
use tollgate_core::token::{Grant, is_token_shaped};
use tollgate_http1::{FieldId, Fields};
use uuid::Uuid;

use crate::gateway::Gateway;
use crate::rejection::Rejection;
use crate::route::Selected;

/// A caller that is known and may use the service.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'s> {
    pub tenant: &'s Tenant,
    /// `None` where another issuer vouches for the consumer, and where the caller is anonymous.
    pub key: Option<&'s Key>,
    /// Whom the credential speaks for.
    pub consumer: Option<&'s Consumer>,
    pub plan: Option<&'s Plan>,
    /// Who is counted.
    pub subject: Subject,
    /// What that one is limited by: the plan's limits, or the anonymous ones.
    limits: Option<&'s LevelLimits>,
    /// What days and months of the plan are told by.
    pub calendar: Calendar<'s>,
}

impl<'s> Caller<'s> {
    /// What the limits of its own demand, where it has any.
    pub fn demand(&self) -> Option<Demand<'s>> {
        let limits = self.limits.filter(|limits| !limits.is_empty())?;
        Some(Demand { subject: self.subject, limits, calendar: self.calendar })
    }

    /// What a token for this caller says.
    pub fn grant(&self, key_id: KeyId, key_hash: KeyHash, token_id: Uuid) -> Grant<'s> {
        Grant {
            tenant: self.tenant.slug.as_str(),
            consumer: self.consumer.map(|consumer| consumer.client_id.as_str()),
            plan: self.plan.map(|plan| plan.slug.as_str()),
            key_id,
            key_hash,
            token_id,
        }
    }
}

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

/// The caller of a service.
pub(crate) fn caller<'s, 'r>(
    snapshot: &'s Snapshot,
    selected: &Selected<'s, '_>,
    fields: &'r Fields,
    usual: Option<&Usual<'s, 'r>>,
    client: IpAddr,
    now_secs: u64,
) -> Result<Found<'s, 'r>, Rejection> {
    let header = selected.service.auth_header().as_str().as_bytes();
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

/// Whether the caller's key may be used for this request; another issuer's token is restricted to its service
/// already.
pub(crate) fn permit(
    caller: &Caller<'_>,
    selected: &Selected<'_, '_>,
    method: &[u8],
    client: IpAddr,
) -> Result<(), Rejection> {
    let Some(particulars) = particulars(caller) else { return Ok(()) };
    permit_service(caller, selected.service)?;
    permit_client(particulars, client)?;
    if particulars.permits_route(method, selected.rest) { Ok(()) } else { Err(Rejection::KeyNotForRoute) }
}

/// Whether the caller's key opens the service.
pub(crate) fn permit_service(caller: &Caller<'_>, service: &Service) -> Result<(), Rejection> {
    match particulars(caller) {
        Some(particulars) if !particulars.permits_service(service.id) => Err(Rejection::KeyNotForService),
        Some(_) | None => Ok(()),
    }
}

/// Whether the caller's key may be used from where the client is, for a resource of the gateway itself.
pub(crate) fn permit_here(caller: &Caller<'_>, client: IpAddr) -> Result<(), Rejection> {
    particulars(caller).map_or(Ok(()), |particulars| permit_client(particulars, client))
}

fn permit_client(particulars: &KeyParticulars, client: IpAddr) -> Result<(), Rejection> {
    if particulars.permits_client(client) { Ok(()) } else { Err(Rejection::KeyNotFromHere) }
}

fn particulars<'s>(caller: &Caller<'s>) -> Option<&'s KeyParticulars> {
    caller.key?.particulars()
}

/// Whether this field carries a credential of Tollgate's, which the upstream must not see. A bearer token
/// of somebody else's goes through beside a key in the service's own header.
pub(crate) fn is_credential(
    gateway: &Gateway,
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
    id == FieldId::Authorization
        && match bearer(value) {
            Some(token) => fields.find(header.as_str().as_bytes()).is_none() || is_own(token),
            // Who forgets the scheme must not give the key away by it either.
            None => is_own(value),
        }
}

fn anonymous<'s>(
    selected: &Selected<'s, '_>,
    fields: &Fields,
    client: IpAddr,
) -> Result<Caller<'s>, Rejection> {
    let of_service = selected.service.limits();
    let limits = of_service.and_then(|limits| limits.anonymous.as_ref()).ok_or(Rejection::NoCredential)?;
    // The upstream would take whoever is named for the caller, and no key vouches for it.
    if fields.contains(FieldId::XClientId) {
        return Err(Rejection::NoCredential);
    }
    let subject = Subject::anonymous(selected.service.id, client);
    let tenant = selected.tenant;
    let calendar = Calendar { zone: &tenant.time_zone, subscribed_at_secs: 0 };
    Ok(Caller { tenant, key: None, consumer: None, plan: None, subject, limits: Some(limits), calendar })
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

/// Who speaks, as a credential proves.
#[derive(Clone, Copy)]
pub(crate) enum Speaker<'s> {
    /// A key, and the one consumer that it is bound to, or that the token for it is.
    Key(&'s Key, Option<&'s Consumer>),
    /// A consumer for whom another issuer vouches, and the plan that the token names in place of the consumer's.
    Consumer(&'s Consumer, Option<&'s Plan>),
}

pub(crate) fn identify<'s>(
    tenant: &'s Tenant,
    speaker: Speaker<'s>,
    fields: &Fields,
) -> Result<Caller<'s>, Rejection> {
    let (key, bound, named_plan) = match speaker {
        Speaker::Key(key, bound) => (Some(key), bound, None),
        Speaker::Consumer(consumer, plan) => (None, Some(consumer), plan),
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
    let of_consumer = consumer.and_then(|consumer| Some((consumer.plan?, consumer.subscribed_at_secs)));
    let of_key = || key.and_then(|key| Some((key.plan()?, key.subscribed_at_secs.into())));
    let (plan, subscribed_at_secs) = match (named_plan, of_consumer.or_else(of_key)) {
        (Some(plan), _) => (Some(plan), consumer.map_or(0, |consumer| consumer.subscribed_at_secs)),
        // A plan that is missing must not read as no limits.
        (None, Some((id, since))) => (Some(tenant.plan(id).ok_or(Rejection::NoPlan)?), since),
        (None, None) => (None, 0),
    };
    let calendar = Calendar { zone: &tenant.time_zone, subscribed_at_secs };
    let subject = match (consumer, key) {
        (Some(consumer), _) => Subject::from(consumer.id),
        (None, Some(key)) => Subject::from(key.id),
        // Not without a key: its consumer is bound then.
        (None, None) => return Err(Rejection::UnknownConsumer),
    };
    let limits = plan.map(|plan| &plan.limits);
    Ok(Caller { tenant, key, consumer, plan, subject, limits, calendar })
}
