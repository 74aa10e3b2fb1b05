//! A service as it is written.

use serde::{Deserialize, Serialize};

use super::bounds::{parse_body_limit, parse_weight};
#[cfg(feature = "openapi")]
use super::forms;
use super::jwt::{JwtIssuerDraft, JwtIssuerSpec, parse_issuers};
use super::traffic::{
    BalancerDraft, BreakerDraft, ChannelDraft, HealthCheckDraft, HedgingDraft, OutlierDraft, RetriesDraft,
    Traffic, TrafficDraft,
};
use super::{
    AnonymousDraft, BaseUrl, DisplayName, HeaderName, LimitDraft, RuleDraft, ServiceLimits,
    ServiceLimitsDraft, ServiceSlug, Timeouts, TimeoutsDraft,
};
use crate::balance::Duty;
use crate::problem::Problems;

/// Of one service.
pub const MOST_TARGETS: usize = 256;

#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::ToSchema),
    schema(examples(json!({
        "slug": "orders",
        "targets": [{ "url": "https://orders-1.example" }, { "url": "https://orders-2.example", "weight": 2 }],
        "timeouts": { "connect": "2s" },
    })))
)]
#[serde(deny_unknown_fields)]
pub struct ServiceDraft {
    /// Second segment of every proxied path.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$"))]
    pub slug: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub name: Option<String>,
    /// The one target, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 256))]
    pub targets: Option<Vec<TargetDraft>>,
    /// The header that carries the API key; `X-API-Key` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_header: Option<String>,
    #[serde(default, skip_serializing_if = "TimeoutsDraft::is_empty")]
    pub timeouts: TimeoutsDraft,
    /// Largest request body, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body_bytes: Option<u64>,
    /// Issuers whose tokens open the service beside keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 8))]
    pub jwt: Vec<JwtIssuerDraft>,
    /// Limits over all callers together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 8))]
    pub limits: Vec<LimitDraft>,
    /// Limits of each client address (IPv4 /32, IPv6 /64).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 8))]
    pub ip_limits: Vec<LimitDraft>,
    /// Costs and limits of some requests; the first rule that a request matches applies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleDraft>,
    /// Lets requests without a credential through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous: Option<AnonymousDraft>,
    /// The response field in which the upstream says what the request has cost; clients never see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_header: Option<String>,
    /// Gives the charge back where the answer is a 5xx; `false` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund_on_failure: Option<bool>,
    /// Which target a request goes to; round robin where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balancer: Option<BalancerDraft>,
    /// What counts as a failure of a target and of the service: `connect`, `reset`, `timeout`, statuses from 400 on
    /// such as `503`, the classes `4xx` and `5xx`; `connect`, `reset`, `timeout` and `5xx` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<forms::Failure>>, inline, max_items = 407))]
    pub failure_on: Option<Vec<String>>,
    /// The circuit breaker; the usual one where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerDraft>,
    /// When a target that fails is left out for a while; where left out, the usual for services of several targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlier: Option<OutlierDraft>,
    /// When a request that failed goes out again; where left out, the usual for services of several targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<RetriesDraft>,
    /// How targets are asked whether they are well; not at all where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheckDraft>,
    /// How many requests it has at once, and how many wait; as many as come where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelDraft>,
    /// When a second copy of a GET or HEAD goes to another target; never where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedging: Option<HedgingDraft>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TargetDraft {
    /// `http://` or `https://`, host, port, perhaps a path; no credentials.
    pub url: String,
    /// Share of the requests relative to the other targets: 1 to 65535; 1 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 65_535))]
    pub weight: Option<u32>,
    /// Takes no new requests; `false` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    pub slug: ServiceSlug,
    pub name: DisplayName,
    pub auth_header: HeaderName,
    pub targets: Vec<TargetSpec>,
    pub timeouts: Timeouts,
    pub max_body_bytes: Option<u64>,
    pub jwt: Vec<JwtIssuerSpec>,
    pub limits: ServiceLimits,
    pub traffic: Box<Traffic>,
}

/// A target before it has an identity and a reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSpec {
    pub url: BaseUrl,
    pub weight: u32,
    pub duty: Duty,
}

impl ServiceDraft {
    pub fn parse(&self) -> Result<ServiceSpec, Problems> {
        let mut problems = Problems::default();
        let slug = problems.check("slug", ServiceSlug::parse(&self.slug));
        let fallback = slug.as_ref().map(ServiceSlug::as_str);
        let name = DisplayName::given_or(&mut problems, self.name.as_deref(), fallback);
        let targets = self.parse_targets(&mut problems);
        let auth_header = self.auth_header.as_deref().map_or(Ok(HeaderName::USUAL), HeaderName::parse);
        let auth_header = problems.check("auth_header", auth_header);
        let timeouts = problems.check_nested("timeouts", self.timeouts.parse());
        let max_body_bytes = parse_body_limit(self.max_body_bytes, &mut problems);
        let jwt = parse_issuers(&self.jwt, &mut problems);
        let limits = problems.check_nested("", self.limits_draft().parse());
        let traffic = problems.check_nested("", self.traffic_draft().parse());
        let spec = slug.zip(name).zip(auth_header).zip(timeouts).zip(limits).zip(traffic).map(
            |(((((slug, name), auth_header), timeouts), limits), traffic)| ServiceSpec {
                slug,
                name,
                auth_header,
                targets,
                timeouts,
                max_body_bytes,
                jwt,
                limits,
                traffic: Box::new(traffic),
            },
        );
        problems.finish(spec)
    }

    fn traffic_draft(&self) -> TrafficDraft {
        TrafficDraft {
            balancer: self.balancer.clone(),
            failure_on: self.failure_on.clone(),
            breaker: self.breaker.clone(),
            outlier: self.outlier.clone(),
            retries: self.retries.clone(),
            health_check: self.health_check.clone(),
            channel: self.channel.clone(),
            hedging: self.hedging.clone(),
        }
    }

    fn limits_draft(&self) -> ServiceLimitsDraft {
        ServiceLimitsDraft {
            limits: self.limits.clone(),
            ip_limits: self.ip_limits.clone(),
            rules: self.rules.clone(),
            anonymous: self.anonymous.clone(),
            cost_header: self.cost_header.clone(),
            refund_on_failure: self.refund_on_failure,
        }
    }

    fn parse_targets(&self, problems: &mut Problems) -> Vec<TargetSpec> {
        match (&self.url, &self.targets) {
            (Some(_), Some(_)) => {
                problems.add("url", "give either `url` or `targets`");
                Vec::new()
            }
            (None, None) => {
                problems.add("targets", "must name at least one target");
                Vec::new()
            }
            (Some(url), None) => {
                let url = problems.check("url", BaseUrl::parse(url));
                url.map(|url| TargetSpec { url, weight: 1, duty: Duty::Serving }).into_iter().collect()
            }
            (None, Some(drafts)) => parse_target_list(drafts, problems),
        }
    }
}

fn parse_target_list(drafts: &[TargetDraft], problems: &mut Problems) -> Vec<TargetSpec> {
    let drafts = problems.check_length("targets", drafts, 1..=MOST_TARGETS);
    let mut targets: Vec<TargetSpec> = Vec::with_capacity(drafts.len());
    for (index, draft) in drafts.iter().enumerate() {
        let weight = parse_weight(draft.weight, &format!("targets[{index}].weight"), problems);
        let field = format!("targets[{index}].url");
        let Some(url) = problems.check(&field, BaseUrl::parse(&draft.url)) else { continue };
        if targets.iter().any(|earlier| earlier.url == url) {
            problems.add(field, "is the URL of an earlier target");
        }
        let duty = if draft.drain == Some(true) { Duty::Draining } else { Duty::Serving };
        targets.push(TargetSpec { url, weight, duty });
    }
    targets
}

#[cfg(test)]
mod tests;
