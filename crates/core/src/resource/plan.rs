//! A plan: the limits that a key or consumer has.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

#[cfg(feature = "openapi")]
use super::forms;
use super::limit::{Limit, LimitDraft, Subscribed, parse_limits};
use super::{Counting, DisplayName, OnUnavailable, PlanId, PlanSlug, TenantId};
use crate::problem::Problems;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub id: PlanId,
    pub tenant: TenantId,
    pub slug: PlanSlug,
    pub name: DisplayName,
    pub limits: Vec<Limit>,
    /// Most requests at once.
    pub concurrency: Option<NonZeroU32>,
    pub counting: Counting,
    pub on_unavailable: OnUnavailable,
}

/// A plan as it is written.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::ToSchema),
    schema(examples(json!({
        "slug": "basic",
        "limits": [{ "requests": 60, "per": "minute", "burst": 20 }, { "requests": 10_000, "per": "month" }],
    })))
)]
#[serde(deny_unknown_fields)]
pub struct PlanDraft {
    #[cfg_attr(feature = "openapi", schema(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$"))]
    pub slug: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub name: Option<String>,
    /// Any number of limits over different periods; a request must pass all of them.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_items = 8))]
    pub limits: Vec<LimitDraft>,
    /// Most requests that one caller may have under way at once; any number where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub concurrency: Option<u32>,
    /// Where several nodes share a counter store: `leased` (where left out), each node decides by itself out of slices
    /// that the store grants; `exact`, the store decides on every request; `local`, each node counts alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<forms::CountingWord>, inline))]
    pub counting: Option<String>,
    /// While the store cannot be reached: `local` (where left out), each node keeps to its share; `allow` or `deny`
    /// every request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<forms::OnUnavailableWord>, inline))]
    pub on_unavailable: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanSpec {
    pub slug: PlanSlug,
    pub name: DisplayName,
    pub limits: Vec<Limit>,
    /// Most requests at once.
    pub concurrency: Option<NonZeroU32>,
    pub counting: Counting,
    pub on_unavailable: OnUnavailable,
}

impl PlanDraft {
    pub fn parse(&self) -> Result<PlanSpec, Problems> {
        let mut problems = Problems::default();
        let slug = problems.check("slug", PlanSlug::parse(&self.slug));
        let fallback = slug.as_ref().map(PlanSlug::as_str);
        let name = DisplayName::given_or(&mut problems, self.name.as_deref(), fallback);
        let limits = parse_limits("limits", &self.limits, Subscribed::Yes, &mut problems);
        let concurrency = self.concurrency.and_then(|most| {
            problems.check("concurrency", NonZeroU32::new(most).ok_or("must be at least 1"))
        });
        let counting = Counting::given(&mut problems, self.counting.as_deref());
        let on_unavailable = OnUnavailable::given(&mut problems, self.on_unavailable.as_deref());
        let spec = slug.zip(name).zip(counting.zip(on_unavailable)).map(
            |((slug, name), (counting, on_unavailable))| PlanSpec {
                slug,
                name,
                limits,
                concurrency,
                counting,
                on_unavailable,
            },
        );
        problems.finish(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Algorithm;

    fn limit(requests: u64, per: &str) -> LimitDraft {
        LimitDraft { requests, per: per.into(), ..LimitDraft::default() }
    }

    fn plan(limits: Vec<LimitDraft>) -> PlanDraft {
        PlanDraft {
            slug: "basic".into(),
            name: None,
            limits,
            concurrency: None,
            counting: None,
            on_unavailable: None,
        }
    }

    #[test]
    fn durations_are_buckets_and_calendar_periods_windows() {
        let spec = plan(vec![limit(5, "minute"), limit(100, "month")]).parse().unwrap();
        assert_eq!(spec.limits[0].algorithm, Algorithm::TokenBucket { burst: 5 });
        assert_eq!(spec.limits[1].algorithm, Algorithm::FixedWindow);
    }

    #[test]
    fn every_problem_is_reported_with_its_place() {
        let odd = LimitDraft {
            requests: 0,
            per: "fortnight".into(),
            burst: Some(0),
            algorithm: Some("leaky".into()),
            anchor: Some("birthday".into()),
            thresholds: vec![0],
            overage: Some("perhaps".into()),
        };
        let problems = plan(vec![limit(5, "minute"), odd, limit(6, "60s")]).parse().unwrap_err();
        let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "limits[1].requests",
                "limits[1].per",
                "limits[1].burst",
                "limits[1].algorithm",
                "limits[1].anchor",
                "limits[1].thresholds[0]",
                "limits[1].overage",
                "limits[2].per"
            ]
        );
    }

    #[test]
    fn no_requests_at_once_are_no_plan() {
        let draft = PlanDraft { concurrency: Some(0), ..plan(Vec::new()) };
        assert_eq!(draft.parse().unwrap_err().iter().next().unwrap().field, "concurrency");
    }

    #[test]
    fn a_plan_says_where_it_is_counted_and_what_happens_without_the_store() {
        let written = |counting: &str, on_unavailable: &str| PlanDraft {
            counting: Some(counting.into()),
            on_unavailable: Some(on_unavailable.into()),
            ..plan(Vec::new())
        };
        let default = plan(Vec::new()).parse().unwrap();
        assert_eq!((default.counting, default.on_unavailable), (Counting::Leased, OnUnavailable::Local));
        let exact = written("exact", "deny").parse().unwrap();
        assert_eq!((exact.counting, exact.on_unavailable), (Counting::Exact, OnUnavailable::Deny));
        let problems = written("Exact", "leased").parse().unwrap_err().into_vec();
        let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, ["counting", "on_unavailable"]);
    }
}
