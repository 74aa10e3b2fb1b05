//! A service as requests use it.
//!
//! Where there are thousands of services, every request finds its own out of the cache, and waits for memory once for
//! each cache line that it asks for. So all that an ordinary request asks of a service with one target is in two.

use std::hint::black_box;
use std::ops::Deref;
use std::sync::Arc;

use smol_str::SmolStr;

use super::TokenIssuers;
use super::service_limits::ServiceLimits;
use super::traffic::{Circuits, Traffic};
use crate::address::Reach;
use crate::balance::Duty;
use crate::breaker::BreakerRules;
use crate::cause::Causes;
use crate::channel::ChannelRules;
use crate::resource::{self, HeaderName, Host, Scheme, ServiceId, ServiceSlug, TargetId, Timeouts};

/// In the order in which it is read, what is seldom read last.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub struct Service {
    pub slug: ServiceSlug,
    /// `None` where it is the usual one.
    auth_header: Option<Box<HeaderName>>,
    /// `None` where the gateway's own hold.
    bounds: Option<Box<Bounds>>,
    /// Whose tokens it takes beside keys.
    pub issuers: Option<Arc<TokenIssuers>>,
    /// `None` where it limits nothing by itself.
    pub limits: Option<Box<ServiceLimits>>,
    /// `None` where it has one target and nothing about it was written.
    pub traffic: Option<Box<Traffic>>,
    pub targets: Targets,
    pub id: ServiceId,
}

#[derive(Debug, Clone)]
struct Bounds {
    timeouts: Timeouts,
    max_body_bytes: Option<u64>,
}

/// A single one, which is the usual, lies in the service itself: no pointer to follow to it.
#[derive(Debug, Clone)]
pub enum Targets {
    One(Target),
    Several(Box<[Target]>),
}

#[derive(Debug, Clone)]
#[repr(C)]
pub struct Target {
    pub endpoint: Endpoint,
    /// Value of the `Host` field that the target is sent.
    pub authority: SmolStr,
    /// `None` where it is empty; with a box around the text, as that takes a word.
    path_prefix: Option<Box<SmolStr>>,
    pub id: TargetId,
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

impl Service {
    /// The field that carries keys.
    pub fn auth_header(&self) -> &HeaderName {
        const USUAL: &HeaderName = &HeaderName::USUAL;
        self.auth_header.as_deref().unwrap_or(USUAL)
    }

    /// Its own, where any is written.
    pub fn timeouts(&self) -> Option<&Timeouts> {
        self.bounds.as_deref().map(|bounds| &bounds.timeouts)
    }

    /// Its own, where it is written.
    pub fn max_body_bytes(&self) -> Option<u64> {
        self.bounds.as_deref()?.max_body_bytes
    }

    /// Reads a little of both cache lines, so that they come from memory at once while the caller is looked up, and not
    /// one after the other as they are needed.
    pub fn fetch_ahead(&self) {
        black_box((self.limits.is_some(), self.targets.first().map(|target| target.authority.len())));
    }

    /// The service's own; `None` where it was switched off, or its targets have breakers instead.
    pub fn breaker(&self) -> Option<&BreakerRules> {
        const USUAL: &BreakerRules = &BreakerRules::DEFAULT;
        let Some(traffic) = self.traffic.as_deref() else { return Some(USUAL) };
        match &traffic.circuits {
            Circuits::Service(rules) => Some(rules),
            Circuits::Nobody | Circuits::EachTarget(_) => None,
        }
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
            auth_header: (service.auth_header != HeaderName::USUAL)
                .then(|| Box::new(service.auth_header.clone())),
            targets: service.targets.iter().map(Target::from).collect(),
            bounds: Bounds::compile(service),
            issuers: TokenIssuers::compile(&service.jwt),
            limits: ServiceLimits::compile(service),
            traffic: Traffic::compile(service),
        }
    }
}

impl Bounds {
    fn compile(service: &resource::Service) -> Option<Box<Self>> {
        let resource::Service { timeouts, max_body_bytes, .. } = *service;
        let has_any = timeouts != Timeouts::default() || max_body_bytes.is_some();
        has_any.then(|| Box::new(Self { timeouts, max_body_bytes }))
    }
}

impl Target {
    /// Put before the path: empty, or starting with a slash and not ending with one.
    pub fn path_prefix(&self) -> &str {
        self.path_prefix.as_deref().map_or("", SmolStr::as_str)
    }
}

impl Deref for Targets {
    type Target = [Target];

    fn deref(&self) -> &[Target] {
        match self {
            Self::One(target) => std::slice::from_ref(target),
            Self::Several(targets) => targets,
        }
    }
}

impl FromIterator<Target> for Targets {
    fn from_iter<I: IntoIterator<Item = Target>>(targets: I) -> Self {
        let mut targets: Vec<_> = targets.into_iter().collect();
        match (targets.pop(), targets.is_empty()) {
            (Some(only), true) => Self::One(only),
            (last, _) => {
                targets.extend(last);
                Self::Several(targets.into())
            }
        }
    }
}

impl From<&resource::Target> for Target {
    fn from(target: &resource::Target) -> Self {
        Self {
            endpoint: Endpoint {
                scheme: target.url.scheme(),
                host: target.url.host().clone(),
                port: target.url.port(),
                reach: target.reach,
            },
            authority: target.url.authority().into(),
            path_prefix: Some(target.url.path_prefix())
                .filter(|prefix| !prefix.is_empty())
                .map(|prefix| Box::new(prefix.into())),
            id: target.id,
            weight: target.weight,
            duty: target.duty,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn a_service_with_one_target_is_read_in_two_cache_lines() {
        assert_eq!(align_of::<Service>(), 64);
        assert_eq!(offset_of!(Service, targets), 64);
        assert_eq!(offset_of!(Target, id), 64);
        assert_eq!(size_of::<Targets>(), size_of::<Target>());
    }

    #[test]
    fn targets_are_kept_in_their_order() {
        let target = |weight| {
            let text = "http://127.0.0.1:8080/base";
            let url = resource::BaseUrl::parse(text).unwrap();
            let id = TargetId(uuid::Uuid::nil());
            Target::from(&resource::Target { id, url, weight, duty: Duty::Serving, reach: Reach::Public })
        };
        for count in 0..4 {
            let targets: Targets = (0..count).map(target).collect();
            assert!(targets.iter().map(|target| target.weight).eq(0..count));
            assert!(targets.iter().all(|target| target.path_prefix() == "/base"));
        }
    }
}
