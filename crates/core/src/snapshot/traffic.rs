//! How a service's requests are spread, ready to use.

use std::sync::Arc;

use crate::balance::{Duty, Rendezvous, SlowStart};
use crate::breaker::{BreakerRules, Per};
use crate::cause::Causes;
use crate::channel::ChannelRules;
use crate::hedge::HedgeRules;
use crate::outlier::OutlierRules;
use crate::resource::{self, BalancerAlgorithm, HashOn, HealthCheck, Setting};
use crate::retry::RetryRules;

#[derive(Debug, Clone)]
pub struct Traffic {
    pub picking: Picking,
    pub slow_start: Option<SlowStart>,
    pub failures: Causes,
    pub circuits: Circuits,
    /// `None` where there is but one target: it would be left out for nothing.
    pub outlier: Option<OutlierRules>,
    pub retries: Option<RetryRules>,
    pub health_check: Option<Arc<HealthCheck>>,
    pub channel: Option<ChannelRules>,
    pub hedging: Option<HedgeRules>,
}

/// Who has circuit breakers.
#[derive(Debug, Clone, Copy)]
pub enum Circuits {
    Nobody,
    Service(BreakerRules),
    EachTarget(BreakerRules),
}

#[derive(Debug, Clone)]
pub enum Picking {
    RoundRobin,
    LeastRequests,
    LowestLatency,
    Hash { rendezvous: Rendezvous, on: HashOn, most_load_percent: u32 },
}

impl Traffic {
    /// Of a service with one target about which nothing was written, where a route asks for more than that.
    pub const OF_ONE_TARGET: &Self = &Self {
        picking: Picking::RoundRobin,
        slow_start: None,
        failures: Causes::FAILURES,
        circuits: Circuits::Service(BreakerRules::DEFAULT),
        outlier: None,
        retries: None,
        health_check: None,
        channel: None,
        hedging: None,
    };

    pub(super) fn compile(service: &resource::Service) -> Option<Box<Self>> {
        let has_several_targets = service.targets.len() > 1;
        let takes_requests = service.targets.iter().all(|target| target.duty == Duty::Serving);
        let written = &*service.traffic;
        if !has_several_targets && takes_requests && *written == resource::Traffic::default() {
            return None;
        }
        let usual_retries = if has_several_targets { Some(RetryRules::DEFAULT) } else { None };
        Some(Box::new(Self {
            picking: Picking::compile(service),
            slow_start: written.balancer.slow_start,
            // A control plane of an earlier build may say more.
            failures: written.failures.failures(),
            circuits: Circuits::compile(&written.breaker),
            outlier: service.outlier_rules(),
            retries: match &written.retries {
                Setting::Usual => usual_retries,
                Setting::Off => None,
                Setting::On(rules) => Some(rules.clone()),
            },
            health_check: match &written.health_check {
                Setting::Usual | Setting::Off => None,
                Setting::On(check) => Some(Arc::new(check.within_bounds())),
            },
            hedging: match written.hedging {
                Setting::Usual | Setting::Off => None,
                Setting::On(rules) => Some(rules),
            },
            channel: match written.channel {
                Setting::Usual | Setting::Off => None,
                Setting::On(rules) => Some(rules),
            },
        }))
    }
}

impl Circuits {
    fn compile(breaker: &Setting<BreakerRules>) -> Self {
        match breaker.or_usual(BreakerRules::DEFAULT) {
            None => Self::Nobody,
            Some(rules @ BreakerRules { per: Per::Service, .. }) => Self::Service(rules),
            Some(rules @ BreakerRules { per: Per::Target, .. }) => Self::EachTarget(rules),
        }
    }
}

impl Picking {
    fn compile(service: &resource::Service) -> Self {
        match &service.traffic.balancer.algorithm {
            BalancerAlgorithm::RoundRobin => Self::RoundRobin,
            BalancerAlgorithm::LeastRequests => Self::LeastRequests,
            BalancerAlgorithm::Latency => Self::LowestLatency,
            BalancerAlgorithm::Hash { on, most_load_percent } => {
                let targets: Vec<_> =
                    service.targets.iter().map(|target| (target.id, target.weight)).collect();
                let rendezvous = Rendezvous::new(&targets);
                Self::Hash { rendezvous, on: on.clone(), most_load_percent: *most_load_percent }
            }
        }
    }
}
