//! How a service's requests are spread over its targets, and what becomes of them when targets fail.

mod balancer;
mod breaker;
mod channel;
mod health_check;
mod hedging;
mod outlier;
mod parts;
mod retries;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use balancer::{Algorithm, Balancer, BalancerDraft, HashOn, SlowStartDraft};
pub use breaker::BreakerDraft;
pub use channel::{AdaptiveDraft, ChannelDraft};
pub use health_check::{HealthCheck, HealthCheckDraft};
pub use hedging::HedgingDraft;
pub use outlier::OutlierDraft;
pub use retries::{BackoffDraft, RetriesDraft};

use crate::breaker::BreakerRules;
use crate::cause::{CausePattern, Causes};
use crate::channel::ChannelRules;
use crate::hedge::HedgeRules;
use crate::outlier::OutlierRules;
use crate::problem::Problems;
use crate::retry::RetryRules;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    pub balancer: Balancer,
    /// What counts as a failure: of a target, and of the service.
    pub failures: Causes,
    pub breaker: Setting<BreakerRules>,
    pub outlier: Setting<OutlierRules>,
    pub retries: Setting<RetryRules>,
    pub health_check: Setting<HealthCheck>,
    pub channel: Setting<ChannelRules>,
    pub hedging: Setting<HedgeRules>,
}

/// What was not written is as it is usual for the service's number of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Setting<T> {
    #[default]
    Usual,
    Off,
    On(T),
}

impl<T: Copy> Setting<T> {
    /// What is in force, where `usual` is what is usual.
    pub fn or_usual(&self, usual: T) -> Option<T> {
        match self {
            Self::Usual => Some(usual),
            Self::Off => None,
            Self::On(rules) => Some(*rules),
        }
    }
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            balancer: Balancer::default(),
            failures: Causes::FAILURES,
            breaker: Setting::Usual,
            outlier: Setting::Usual,
            retries: Setting::Usual,
            health_check: Setting::Usual,
            channel: Setting::Usual,
            hedging: Setting::Usual,
        }
    }
}

/// The same as it is written: fields of a service's draft.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TrafficDraft {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balancer: Option<BalancerDraft>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_on: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerDraft>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlier: Option<OutlierDraft>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<RetriesDraft>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheckDraft>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelDraft>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedging: Option<HedgingDraft>,
}

impl TrafficDraft {
    /// As it could be written today: what an earlier build took and kept is brought within the bounds that came since, so
    /// that it loads.
    #[must_use]
    pub fn within_bounds(self) -> Self {
        let counts = |text: &String| CausePattern::parse(text).ok().is_none_or(CausePattern::may_be_failure);
        Self {
            failure_on: self.failure_on.map(|list| list.into_iter().filter(counts).collect()),
            health_check: self.health_check.map(HealthCheckDraft::within_bounds),
            ..self
        }
    }

    pub fn parse(&self) -> Result<Traffic, Problems> {
        let mut problems = Problems::default();
        let balancer = self.balancer.as_ref().map_or_else(|| Ok(Balancer::default()), BalancerDraft::parse);
        let balancer = problems.check_nested("balancer", balancer);
        let failures = match &self.failure_on {
            None => Some(Causes::FAILURES),
            Some(list) => problems.check_nested("failure_on", parse_failures(list)),
        };
        let breaker = self.breaker.as_ref().map_or_else(|| Ok(Setting::Usual), BreakerDraft::parse);
        let breaker = problems.check_nested("breaker", breaker);
        let outlier = self.outlier.as_ref().map_or_else(|| Ok(Setting::Usual), OutlierDraft::parse);
        let outlier = problems.check_nested("outlier", outlier);
        let retries = self.retries.as_ref().map_or_else(|| Ok(Setting::Usual), RetriesDraft::parse);
        let retries = problems.check_nested("retries", retries);
        let check = self.health_check.as_ref().map_or_else(|| Ok(Setting::Usual), HealthCheckDraft::parse);
        let check = problems.check_nested("health_check", check);
        let channel = self.channel.as_ref().map_or_else(|| Ok(Setting::Usual), ChannelDraft::parse);
        let channel = problems.check_nested("channel", channel);
        let hedging = self.hedging.as_ref().map_or_else(|| Ok(Setting::Usual), HedgingDraft::parse);
        let hedging = problems.check_nested("hedging", hedging);
        if let (Some(Setting::Off), Some(Setting::On(_))) = (&retries, &hedging) {
            problems.add("hedging", "needs `retries`: second copies are paid for by their budget");
        }
        let traffic = balancer
            .zip(failures)
            .zip(breaker)
            .zip(outlier)
            .zip(retries)
            .zip(check)
            .zip(channel)
            .zip(hedging)
            .map(
                |(
                    ((((((balancer, failures), breaker), outlier), retries), health_check), channel),
                    hedging,
                )| {
                    Traffic { balancer, failures, breaker, outlier, retries, health_check, channel, hedging }
                },
            );
        problems.finish(traffic)
    }
}

impl From<&Traffic> for TrafficDraft {
    fn from(traffic: &Traffic) -> Self {
        let usual = Traffic::default();
        Self {
            balancer: (traffic.balancer != usual.balancer).then(|| BalancerDraft::from(&traffic.balancer)),
            failure_on: (traffic.failures != usual.failures).then(|| causes_as_written(&traffic.failures)),
            breaker: traffic.breaker.written(BreakerDraft::off),
            outlier: traffic.outlier.written(OutlierDraft::off),
            retries: traffic.retries.written(RetriesDraft::off),
            health_check: traffic.health_check.written(HealthCheckDraft::off),
            channel: traffic.channel.written(ChannelDraft::off),
            hedging: traffic.hedging.written(HedgingDraft::off),
        }
    }
}

impl<T> Setting<T> {
    fn written<D: for<'r> From<&'r T>>(&self, off: fn() -> D) -> Option<D> {
        match self {
            Self::Usual => None,
            Self::Off => Some(off()),
            Self::On(rules) => Some(D::from(rules)),
        }
    }
}

fn parse_causes(list: &[String]) -> Result<Causes, Problems> {
    parse_patterns(list, CausePattern::parse)
}

/// As many as there are.
const MOST_PATTERNS: usize = 3 + 400 + 4;

/// Each entry once.
fn parse_patterns<E: fmt::Display>(
    list: &[String],
    parse: impl Fn(&str) -> Result<CausePattern, E>,
) -> Result<Causes, Problems> {
    let mut problems = Problems::default();
    let list = problems.check_length("", list, 0..=MOST_PATTERNS);
    let mut patterns: Vec<CausePattern> = Vec::with_capacity(list.len());
    for (index, text) in list.iter().enumerate() {
        let field = format!("[{index}]");
        match problems.check(&field, parse(text)) {
            Some(pattern) if patterns.contains(&pattern) => problems.add(field, "is there already"),
            Some(pattern) => patterns.push(pattern),
            None => {}
        }
    }
    problems.finish(Some(Causes::new(patterns)))
}

fn parse_failures(list: &[String]) -> Result<Causes, Problems> {
    let failures = parse_causes(list)?;
    let mut problems = Problems::default();
    for (index, pattern) in failures.patterns().enumerate() {
        if !pattern.may_be_failure() {
            problems
                .add(format!("[{index}]"), "is no failure: a status must be from 400 on, a class 4xx or 5xx");
        }
    }
    problems.finish(Some(failures))
}

fn causes_as_written(causes: &Causes) -> Vec<String> {
    causes.patterns().map(|pattern| pattern.to_string()).collect()
}

#[cfg(test)]
mod tests;
