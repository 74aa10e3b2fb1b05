//! The compiled form of each resource: what a request needs of it, ready to use.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;

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
/// another cache miss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub id: KeyId,
    pub tenant: TenantId,
    pub plan: Option<PlanId>,
    pub consumer: Option<ConsumerId>,
    /// What few keys have: `None` where it has none of it.
    pub particulars: Option<Arc<KeyParticulars>>,
    /// The second from which on this value is refused: the key has expired, or the grace after a rotation is over.
    pub ends_at_secs: Option<NonZeroU64>,
    /// Seconds since the epoch; in four bytes, which lie where there would be padding.
    pub subscribed_at_secs: u32,
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
    fn compile(key: &resource::Key) -> Option<Arc<Self>> {
        let limits = SubjectLimits::compile(Subject::key_alone(key.id), Level::Key, &key.limits);
        let has_any = key.services.is_some() || key.scope.is_some() || limits.is_some();
        has_any.then(|| Arc::new(Self { services: key.services.clone(), scope: key.scope.clone(), limits }))
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
            tenant: key.tenant,
            plan: key.plan,
            consumer: key.consumer,
            particulars: KeyParticulars::compile(key),
            // What ended in second zero has ended in second one.
            ends_at_secs: ends_at_secs.map(|secs| NonZeroU64::new(secs).unwrap_or(NonZeroU64::MIN)),
            subscribed_at_secs: u32::try_from(key.subscribed_at_secs).unwrap_or(u32::MAX),
        }
    }

    pub fn is_expired(&self, now_secs: u64) -> bool {
        self.ends_at_secs.is_some_and(|end| now_secs >= end.get())
    }

    /// Its own limits, besides its plan's.
    pub fn limits(&self) -> Option<&SubjectLimits> {
        self.particulars.as_ref()?.limits.as_deref()
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
