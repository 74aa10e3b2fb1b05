//! The compiled form of each resource: what a request needs of it, ready to use.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::Map;
use crate::limit::{Level, LevelLimits, Subject, SubjectLimits};
use crate::resource::{self, ClientId, ConsumerId, KeyId, PlanId, ServiceId, TenantId};

#[derive(Debug, Clone)]
pub struct Plan {
    pub id: PlanId,
    pub slug: resource::PlanSlug,
    pub limits: LevelLimits,
    /// The line of `X-Plan-Tier`.
    pub tier_line: Box<str>,
}

#[derive(Debug, Clone)]
pub struct Consumer {
    pub id: ConsumerId,
    pub client_id: ClientId,
    pub plan: Option<PlanId>,
    /// Seconds since the epoch.
    pub subscribed_at_secs: u64,
}

/// Small: there may be a million of them.
///
/// It lies in the table of keys itself, once for each value that stands for it: a pointer to it would cost every request
/// another cache miss. With its hash it fills one cache line. Seconds are since the epoch, in four bytes: until 2106.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub id: KeyId,
    entitlement: Arc<Entitlement>,
    /// The second from which on this value is refused: the key has expired, or the grace after a rotation is over.
    pub ends_at_secs: Option<NonZeroU32>,
    pub subscribed_at_secs: u32,
}

/// Whose a key is and what it is for: the same for most keys of a plan, which share one.
#[derive(Debug, PartialEq, Eq)]
struct Entitlement {
    tenant: TenantId,
    plan: Option<PlanId>,
    consumer: Option<ConsumerId>,
    /// What few keys have: `None` where it has none of it.
    particulars: Option<KeyParticulars>,
}

/// What few keys have: restrictions on what they may be used for, and limits of their own.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyParticulars {
    /// The only services that the key opens; all where `None`.
    services: Option<Box<[ServiceId]>>,
    scope: Option<Box<resource::KeyScope>>,
    /// Besides its plan's.
    limits: Option<Box<SubjectLimits>>,
}

impl KeyParticulars {
    fn compile(key: &resource::Key) -> Option<Self> {
        let limits = SubjectLimits::compile(Subject::key_alone(key.id), Level::Key, &key.limits);
        let has_any = key.services.is_some() || key.scope.is_some() || limits.is_some();
        has_any.then(|| Self { services: key.services.clone(), scope: key.scope.clone(), limits })
    }

    pub fn permits_service(&self, service: ServiceId) -> bool {
        self.services.as_ref().is_none_or(|services| services.contains(&service))
    }

    /// `path` is within the service.
    pub fn permits_route(&self, method: &[u8], path: &str) -> bool {
        self.scope.as_ref().is_none_or(|scope| scope.permits_route(method, path))
    }

    pub fn permits_client(&self, client: IpAddr) -> bool {
        self.scope.as_ref().is_none_or(|scope| scope.permits_client(client))
    }
}

impl Key {
    /// The key for one of its values; `valid_until_secs` is set on a value that a rotation replaced.
    pub fn compile(key: &resource::Key, valid_until_secs: Option<u64>) -> Self {
        let ends_at_secs = key.expires_at_secs.into_iter().chain(valid_until_secs).min();
        Self {
            id: key.id,
            entitlement: Arc::new(Entitlement {
                tenant: key.tenant,
                plan: key.plan,
                consumer: key.consumer,
                particulars: KeyParticulars::compile(key),
            }),
            // What ended in second zero has ended in second one.
            ends_at_secs: ends_at_secs.map(|secs| NonZeroU32::new(short(secs)).unwrap_or(NonZeroU32::MIN)),
            subscribed_at_secs: short(key.subscribed_at_secs),
        }
    }

    #[cfg(test)]
    pub(super) fn of(id: KeyId, tenant: TenantId) -> Self {
        let entitlement = Entitlement { tenant, plan: None, consumer: None, particulars: None };
        Self { id, entitlement: Arc::new(entitlement), ends_at_secs: None, subscribed_at_secs: 0 }
    }

    pub fn tenant(&self) -> TenantId {
        self.entitlement.tenant
    }

    pub fn plan(&self) -> Option<PlanId> {
        self.entitlement.plan
    }

    pub fn consumer(&self) -> Option<ConsumerId> {
        self.entitlement.consumer
    }

    pub fn particulars(&self) -> Option<&KeyParticulars> {
        self.entitlement.particulars.as_ref()
    }

    pub fn is_expired(&self, now_secs: u64) -> bool {
        self.ends_at_secs().is_some_and(|end| now_secs >= end)
    }

    /// When the key, or this former value of it, ends.
    pub fn ends_at_secs(&self) -> Option<u64> {
        self.ends_at_secs.map(|end| end.get().into())
    }

    /// Its own limits, besides its plan's.
    pub fn limits(&self) -> Option<&SubjectLimits> {
        self.particulars()?.limits.as_deref()
    }
}

fn short(secs: u64) -> u32 {
    u32::try_from(secs).unwrap_or(u32::MAX)
}

/// What keys that have nothing of their own have in common.
#[derive(Clone, Default)]
pub(super) struct Entitlements(Arc<Map<OfPlan, Arc<Entitlement>>>);

type OfPlan = (TenantId, Option<PlanId>);

impl Entitlements {
    /// Lets the key share what others have as well.
    pub fn share(&mut self, key: &mut Key) {
        let Entitlement { tenant, plan, consumer, ref particulars } = *key.entitlement;
        if consumer.is_some() || particulars.is_some() {
            return;
        }
        match self.0.get(&(tenant, plan)) {
            Some(shared) => key.entitlement = Arc::clone(shared),
            None => {
                Arc::make_mut(&mut self.0).insert((tenant, plan), Arc::clone(&key.entitlement));
            }
        }
    }

    pub fn forget_plan(&mut self, tenant: TenantId, plan: PlanId) {
        Arc::make_mut(&mut self.0).remove(&(tenant, Some(plan)));
    }

    pub fn forget(&mut self, tenant: TenantId) {
        Arc::make_mut(&mut self.0).retain(|(of, _), _| *of != tenant);
    }
}

impl From<&resource::Plan> for Plan {
    fn from(plan: &resource::Plan) -> Self {
        Self {
            id: plan.id,
            slug: plan.slug.clone(),
            limits: LevelLimits::of_plan(&plan.limits, plan.concurrency)
                .counted(plan.counting, plan.on_unavailable),
            tier_line: format!("X-Plan-Tier: {}\r\n", plan.slug.as_str()).into(),
        }
    }
}

impl From<&resource::Consumer> for Consumer {
    fn from(consumer: &resource::Consumer) -> Self {
        Self {
            id: consumer.id,
            client_id: consumer.client_id.clone(),
            plan: consumer.plan,
            subscribed_at_secs: consumer.subscribed_at_secs,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn keys_with_nothing_of_their_own_share_what_they_have_in_common() {
        let (tenant, other) = (TenantId(Uuid::from_u128(1)), TenantId(Uuid::from_u128(2)));
        let mut entitlements = Entitlements::default();
        let mut shared = |tenant| {
            let mut key = Key::of(KeyId(Uuid::nil()), tenant);
            entitlements.share(&mut key);
            key.entitlement
        };
        let (first, second, of_other) = (shared(tenant), shared(tenant), shared(other));
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!((first.tenant, of_other.tenant), (tenant, other));
        entitlements.forget(tenant);
        assert_eq!(entitlements.0.len(), 1);
    }
}
