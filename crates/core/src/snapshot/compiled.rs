//! The compiled form of each resource: what a request needs of it, ready to use.

use std::hint::black_box;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;

use smallvec::SmallVec;
use smol_str::SmolStr;

use super::TokenIssuers;
use super::service_limits::ServiceLimits;
use super::traffic::Traffic;
use crate::address::Reach;
use crate::balance::Duty;
use crate::breaker::BreakerRules;
use crate::cause::Causes;
use crate::channel::ChannelRules;
use crate::limit::{Level, LevelLimits, Subject, SubjectLimits};
use crate::resource::{
    self, ClientId, ConsumerId, HeaderName, Host, KeyId, PlanId, Scheme, ServiceId, ServiceSlug, TargetId,
    TenantId, Timeouts,
};

#[derive(Debug, Clone)]
pub struct Service {
    pub id: ServiceId,
    pub slug: ServiceSlug,
    pub auth_header: HeaderName,
    /// A single one, which is the usual, lies in the service itself: no pointer to follow to it.
    pub targets: SmallVec<[Target; 1]>,
    /// Apart, as few services have any.
    pub timeouts: Option<Box<Timeouts>>,
    pub max_body_bytes: Option<u64>,
    /// Whose tokens it takes beside keys.
    pub issuers: Option<Arc<TokenIssuers>>,
    /// `None` where it limits nothing by itself.
    pub limits: Option<Box<ServiceLimits>>,
    /// `None` where it has one target and nothing about it was written.
    pub traffic: Option<Box<Traffic>>,
}

#[derive(Debug, Clone)]
pub struct Target {
    pub id: TargetId,
    pub endpoint: Endpoint,
    /// Value of the `Host` field that the target is sent.
    pub authority: SmolStr,
    /// Put before the path: empty, or starting with a slash and not ending with one.
    pub path_prefix: SmolStr,
    pub weight: u32,
    pub duty: Duty,
}

/// Where connections go. Targets of different services with the same endpoint share connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub scheme: Scheme,
    pub host: Host,
    pub port: u16,
    /// Part of the identity: a connection that one reach permits must not serve another.
    pub reach: Reach,
}

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

impl Service {
    /// `None` where it was switched off.
    pub fn breaker(&self) -> Option<&BreakerRules> {
        const USUAL: &BreakerRules = &BreakerRules::DEFAULT;
        self.traffic.as_deref().map_or(Some(USUAL), |traffic| traffic.breaker.as_ref())
    }

    /// How its targets are asked whether they are well, where they are.
    pub fn health_check(&self) -> Option<&resource::HealthCheck> {
        self.traffic.as_deref()?.health_check.as_ref()
    }

    /// How many requests it has at once, where there is a bound.
    pub fn channel(&self) -> Option<&ChannelRules> {
        self.traffic.as_deref()?.channel.as_ref()
    }

    /// What counts as a failure.
    pub fn failures(&self) -> &Causes {
        const USUAL: &Causes = &Causes::FAILURES;
        self.traffic.as_deref().map_or(USUAL, |traffic| &traffic.failures)
    }
}

impl From<&resource::Service> for Service {
    fn from(service: &resource::Service) -> Self {
        Self {
            id: service.id,
            slug: service.slug.clone(),
            auth_header: service.auth_header.clone(),
            targets: service.targets.iter().map(Target::from).collect(),
            timeouts: (service.timeouts != Timeouts::default()).then(|| Box::new(service.timeouts)),
            max_body_bytes: service.max_body_bytes,
            issuers: TokenIssuers::compile(&service.jwt),
            limits: ServiceLimits::compile(service),
            traffic: Traffic::compile(service),
        }
    }
}

impl Service {
    /// Reads a little of every part, so that all that a request needs of the service comes from memory at once while
    /// the caller is looked up, and not part by part as it is needed.
    pub fn fetch_ahead(&self) {
        let target = self.targets.first();
        black_box((
            target.map(|target| {
                (target.weight, target.endpoint.port, target.authority.len(), target.path_prefix.len())
            }),
            self.auth_header.as_str().len(),
            self.limits.is_some(),
        ));
    }
}

impl From<&resource::Target> for Target {
    fn from(target: &resource::Target) -> Self {
        Self {
            id: target.id,
            endpoint: Endpoint {
                scheme: target.url.scheme(),
                host: target.url.host().clone(),
                port: target.url.port(),
                reach: target.reach,
            },
            authority: target.url.authority().into(),
            path_prefix: target.url.path_prefix().into(),
            weight: target.weight,
            duty: target.duty,
        }
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
