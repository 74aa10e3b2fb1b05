//! What a service limits by itself, whoever calls: its own limits, its rules, and what requests cost.

use serde::{Deserialize, Serialize};

use super::limit::{MOST_LIMITS, Subscribed, parse_limits};
use super::{HeaderName, Limit, LimitDraft, Rule, RuleDraft};
use crate::problem::Problems;

const MOST_RULES: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServiceLimits {
    /// Counted over all callers together.
    pub all: Vec<Limit>,
    /// Counted for each client address: IPv4 whole, IPv6 by its first 64 bits.
    pub per_ip: Vec<Limit>,
    /// The first that a request matches applies.
    pub rules: Vec<Rule>,
    /// Set where requests without a credential are let through.
    pub anonymous: Option<Anonymous>,
    /// The response field that says what the request has cost; clients never see it.
    pub cost_header: Option<HeaderName>,
    pub failed: FailedRequests,
}

/// What callers without a credential may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anonymous {
    /// Counted for each client address.
    pub limits: Vec<Limit>,
}

/// What becomes of the charge of a request that ends with a 5xx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum FailedRequests {
    #[default]
    Charged,
    Refunded,
}

/// The same as it is written: fields of a service's draft.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ServiceLimitsDraft {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitDraft>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_limits: Vec<LimitDraft>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleDraft>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous: Option<AnonymousDraft>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_header: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund_on_failure: Option<bool>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AnonymousDraft {
    /// Limits of each client address.
    #[serde(default)]
    pub limits: Vec<LimitDraft>,
}

impl ServiceLimitsDraft {
    pub fn parse(&self) -> Result<ServiceLimits, Problems> {
        let mut problems = Problems::default();
        let limits = ServiceLimits {
            all: parse_limits("limits", &self.limits, Subscribed::No, &mut problems),
            per_ip: parse_address_limits("ip_limits", &self.ip_limits, &mut problems),
            rules: self.parse_rules(&mut problems),
            anonymous: self.anonymous.as_ref().map(|anonymous| Anonymous {
                limits: parse_address_limits("anonymous.limits", &anonymous.limits, &mut problems),
            }),
            cost_header: self
                .cost_header
                .as_deref()
                .and_then(|name| problems.check("cost_header", HeaderName::parse(name))),
            failed: match self.refund_on_failure {
                Some(true) => FailedRequests::Refunded,
                Some(false) | None => FailedRequests::Charged,
            },
        };
        problems.finish(Some(limits))
    }

    fn parse_rules(&self, problems: &mut Problems) -> Vec<Rule> {
        let drafts = problems.check_length("rules", &self.rules, 0..=MOST_RULES);
        let mut rules: Vec<Rule> = Vec::with_capacity(drafts.len());
        for (index, draft) in drafts.iter().enumerate() {
            let entry = format!("rules[{index}]");
            let Some(rule) = problems.check_nested(&entry, draft.parse()) else { continue };
            if rules.iter().any(|earlier| earlier.name == rule.name) {
                problems.add(format!("{entry}.name"), "is the name of an earlier rule");
            }
            rules.push(rule);
        }
        rules
    }
}

/// Limits of whoever calls from an address. Nobody is told of them: there are as many addresses as a stranger likes.
fn parse_address_limits(field: &str, drafts: &[LimitDraft], problems: &mut Problems) -> Vec<Limit> {
    // Those beyond are told by whoever parses them.
    for (index, draft) in drafts.iter().take(MOST_LIMITS).enumerate() {
        if !draft.thresholds.is_empty() {
            problems.add(
                format!("{field}[{index}].thresholds"),
                "only limits of plans, keys, rules, services and tenants have thresholds",
            );
        }
    }
    parse_limits(field, drafts, Subscribed::No, problems)
}

impl From<&ServiceLimits> for ServiceLimitsDraft {
    fn from(limits: &ServiceLimits) -> Self {
        let drafts = |limits: &[Limit]| limits.iter().map(LimitDraft::from).collect();
        Self {
            limits: drafts(&limits.all),
            ip_limits: drafts(&limits.per_ip),
            rules: limits.rules.iter().map(RuleDraft::from).collect(),
            anonymous: limits
                .anonymous
                .as_ref()
                .map(|anonymous| AnonymousDraft { limits: drafts(&anonymous.limits) }),
            cost_header: limits.cost_header.as_ref().map(ToString::to_string),
            refund_on_failure: match limits.failed {
                FailedRequests::Refunded => Some(true),
                FailedRequests::Charged => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"limits":[{"requests":9,"per":"minute","burst":9,"algorithm":"token_bucket"}],
        "ip_limits":[{"requests":5,"per":"day","algorithm":"fixed_window","anchor":"calendar"}],
        "rules":[{"name":"search","paths":["/search/*"],"methods":["GET"],"cost":5,
            "limits":[{"requests":2,"per":"month","algorithm":"fixed_window","anchor":"calendar"}]}],
        "anonymous":{"limits":[]},"cost_header":"X-Cost","refund_on_failure":true}"#;

    #[test]
    fn what_is_written_parses_back() {
        let draft: ServiceLimitsDraft = serde_json::from_str(WHOLE).unwrap();
        let parsed = draft.parse().unwrap();
        assert_eq!(parsed.rules[0].cost.get(), 5);
        let written = ServiceLimitsDraft::from(&parsed);
        let expected: serde_json::Value = serde_json::from_str(WHOLE).unwrap();
        assert_eq!(serde_json::to_value(&written).unwrap(), expected);
        assert_eq!(written.parse().unwrap(), parsed);
    }

    #[test]
    fn limits_of_addresses_that_are_too_many_are_refused_without_a_look_at_those_beyond() {
        let limit: LimitDraft =
            serde_json::from_str(r#"{"requests":1,"per":"minute","thresholds":[50]}"#).unwrap();
        let draft: ServiceLimitsDraft = serde_json::from_str("{}").unwrap();
        let anonymous = Some(AnonymousDraft { limits: vec![limit.clone(); 100_000] });
        let problems =
            ServiceLimitsDraft { ip_limits: vec![limit; 100_000], anonymous, ..draft }.parse().unwrap_err();
        // Their thresholds, periods that they share, and the length.
        let most = 2 * (MOST_LIMITS + MOST_LIMITS - 1 + 1);
        assert!(problems.iter().count() <= most, "{}", problems.iter().count());
        for field in ["ip_limits", "anonymous.limits"] {
            assert!(problems.iter().any(|problem| problem.field == field), "{field}");
        }
    }

    #[test]
    fn rules_that_are_too_many_are_refused_without_a_look_at_those_beyond() {
        let rule: RuleDraft = serde_json::from_str(r#"{"name":"a"}"#).unwrap();
        let draft: ServiceLimitsDraft = serde_json::from_str("{}").unwrap();
        let problems = ServiceLimitsDraft { rules: vec![rule; 100_000], ..draft }.parse().unwrap_err();
        assert_eq!(
            (problems.iter().next().unwrap().field.as_str(), problems.iter().count()),
            ("rules", MOST_RULES)
        );
    }

    #[test]
    fn every_problem_is_named() {
        let json = r#"{"limits":[{"requests":1,"per":"day"},{"requests":2,"per":"day"}],
            "ip_limits":[{"requests":0,"per":"minute"},{"requests":1,"per":"day","anchor":"subscription","thresholds":[80]}],
            "rules":[{"name":"a"},{"name":"a"},{"name":"b","paths":["x"]}],
            "anonymous":{"limits":[{"requests":1,"per":"never"}]},"cost_header":"Date"}"#;
        let draft: ServiceLimitsDraft = serde_json::from_str(json).unwrap();
        let problems = draft.parse().unwrap_err();
        let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "limits[1].per",
                "ip_limits[1].thresholds",
                "ip_limits[0].requests",
                "ip_limits[1].anchor",
                "rules[1].name",
                "rules[2].paths[0]",
                "anonymous.limits[0].per",
                "cost_header"
            ]
        );
    }
}
