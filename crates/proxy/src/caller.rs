//! Who is calling: a key of a tenant, or a consumer that a credential speaks for; or nobody that is known. And who is
//! counted for it, by which plan.

use std::net::IpAddr;

use tollgate_core::credential::KeyHash;
use tollgate_core::limit::{Calendar, Demand, LevelLimits, Subject};
use tollgate_core::resource::KeyId;
use tollgate_core::snapshot::{Consumer, Key, Plan, Tenant};
use tollgate_core::token::Grant;
use tollgate_http1::{FieldId, Fields};
use uuid::Uuid;

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

    /// Whether the same is counted, and the same key shown, as for one that was found before.
    pub fn is_the_same_as(&self, before: &Caller<'_>) -> bool {
        self.subject == before.subject && self.key.map(|key| key.id) == before.key.map(|key| key.id)
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

/// Whoever shows no credential, where the service lets such callers through.
pub(crate) fn anonymous<'s>(
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
