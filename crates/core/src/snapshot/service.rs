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
    pub id: ServiceId,
    /// `None` where all of it is as usual.
    particulars: Option<Box<Particulars>>,
    /// `None` where it has one target and nothing about it was written.
    pub traffic: Option<Box<Traffic>>,
    pub targets: Targets,
}

/// What few services have.
#[derive(Debug, Clone)]
struct Particulars {
    /// `None` where it is the usual one.
    auth_header: Option<HeaderName>,
    /// Where they differ from the gateway's own.
    timeouts: Option<Timeouts>,
    max_body_bytes: Option<u64>,
    issuers: Option<Arc<TokenIssuers>>,
    limits: Option<Box<ServiceLimits>>,
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
        self.particulars.as_deref().and_then(|own| own.auth_header.as_ref()).unwrap_or(USUAL)
    }

    /// Its own, where any is written.
    pub fn timeouts(&self) -> Option<&Timeouts> {
        self.particulars.as_deref()?.timeouts.as_ref()
    }

    /// Its own, where it is written.
    pub fn max_body_bytes(&self) -> Option<u64> {
        self.particulars.as_deref()?.max_body_bytes
    }

    /// Whose tokens it takes beside keys.
    pub fn issuers(&self) -> Option<&TokenIssuers> {
        self.particulars.as_deref()?.issuers.as_deref()
    }

    /// `None` where it limits nothing by itself.
    pub fn limits(&self) -> Option<&ServiceLimits> {
        self.particulars.as_deref()?.limits.as_deref()
    }

    /// Reads a little of both cache lines, so that they come from memory at once while the caller is looked up, and not
    /// one after the other as they are needed.
    pub fn fetch_ahead(&self) {
        black_box((self.traffic.is_some(), self.targets.first().map(|target| target.authority.len())));
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
    pub fn health_check(&self) -> Option<&Arc<resource::HealthCheck>> {
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
            slug: service.slug.clone(),
            id: service.id,
            particulars: Particulars::compile(service),
            traffic: Traffic::compile(service),
            targets: service.targets.iter().map(Target::from).collect(),
        }
    }
}

impl Particulars {
    fn compile(service: &resource::Service) -> Option<Box<Self>> {
        let own = Self {
            auth_header: Some(&service.auth_header).filter(|name| **name != HeaderName::USUAL).cloned(),
            timeouts: Some(service.timeouts).filter(|timeouts| *timeouts != Timeouts::default()),
            max_body_bytes: service.max_body_bytes,
            issuers: TokenIssuers::compile(&service.jwt),
            limits: ServiceLimits::compile(service),
        };
        (!own.is_empty()).then(|| Box::new(own))
    }

    const fn is_empty(&self) -> bool {
        let Self { auth_header, timeouts, max_body_bytes, issuers, limits } = self;
        auth_header.is_none()
            && timeouts.is_none()
            && max_body_bytes.is_none()
            && issuers.is_none()
            && limits.is_none()
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
        // From its id on, little is asked of a target.
        assert!(offset_of!(Service, targets) + offset_of!(Target, id) <= 128);
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
