//! A plan: the limits that a key or consumer has.

use serde::{Deserialize, Serialize};

use super::{DisplayName, PlanId, PlanSlug, TenantId};
use crate::limit::Window;
use crate::problem::Problems;

/// Above this, nobody means a limit, and the arithmetic needs no thought.
const MOST_REQUESTS: u64 = 1_000_000_000_000;
const MOST_LIMITS: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub id: PlanId,
    pub tenant: TenantId,
    pub slug: PlanSlug,
    pub name: DisplayName,
    pub limits: Vec<Limit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub requests: u64,
    pub per: Window,
    pub algorithm: Algorithm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// `burst` is what a full bucket holds.
    TokenBucket { burst: u64 },
    /// At most `requests` in each period, which starts at a multiple of its length since the epoch, or with
    /// the calendar's day or month.
    FixedWindow,
}

/// A plan as it is written.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PlanDraft {
    pub slug: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Any number of limits over different periods; a request must pass all of them.
    #[serde(default)]
    pub limits: Vec<LimitDraft>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LimitDraft {
    pub requests: u64,
    /// `second`, `minute`, `hour`, `day`, `month`, or a duration such as `10s`.
    pub per: String,
    /// Size of the bucket; `requests` where left out. Token buckets alone have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u64>,
    /// `token_bucket` (what durations have where left out) or `fixed_window` (what `day` and `month` have).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanSpec {
    pub slug: PlanSlug,
    pub name: DisplayName,
    pub limits: Vec<Limit>,
}

impl PlanDraft {
    pub fn parse(&self) -> Result<PlanSpec, Problems> {
        let mut problems = Problems::default();
        let slug = problems.check("slug", PlanSlug::parse(&self.slug));
        let fallback = slug.as_ref().map(PlanSlug::as_str);
        let name = DisplayName::given_or(&mut problems, self.name.as_deref(), fallback);
        if self.limits.len() > MOST_LIMITS {
            problems.add("limits", format!("must have at most {MOST_LIMITS} entries"));
        }
        let mut limits: Vec<Limit> = Vec::with_capacity(self.limits.len());
        for (index, draft) in self.limits.iter().enumerate() {
            let field = format!("limits[{index}]");
            let Some(limit) = problems.check_nested(&field, draft.parse()) else { continue };
            if limits.iter().any(|earlier| earlier.per == limit.per) {
                problems.add(format!("{field}.per"), "is the period of an earlier limit of this plan");
            }
            limits.push(limit);
        }
        let spec = slug.zip(name).map(|(slug, name)| PlanSpec { slug, name, limits });
        problems.finish(spec)
    }
}

impl LimitDraft {
    pub fn parse(&self) -> Result<Limit, Problems> {
        let mut problems = Problems::default();
        if !(1..=MOST_REQUESTS).contains(&self.requests) {
            problems.add("requests", format!("must be 1 to {MOST_REQUESTS}"));
        }
        let per = problems.check("per", Window::parse(&self.per));
        if self.burst.is_some_and(|burst| !(1..=MOST_REQUESTS).contains(&burst)) {
            problems.add("burst", format!("must be 1 to {MOST_REQUESTS}"));
        }
        let is_calendar = per.is_some_and(Window::is_calendar);
        let algorithm = match self.algorithm.as_deref() {
            Some("token_bucket") if is_calendar => {
                problems.add("algorithm", "a day or month is counted in a fixed_window");
                None
            }
            Some("token_bucket") => Some(self.token_bucket()),
            Some("fixed_window") => self.fixed_window(&mut problems),
            Some(_) => {
                problems.add("algorithm", "must be token_bucket or fixed_window");
                None
            }
            None if is_calendar => self.fixed_window(&mut problems),
            None => Some(self.token_bucket()),
        };
        let limit =
            per.zip(algorithm).map(|(per, algorithm)| Limit { requests: self.requests, per, algorithm });
        problems.finish(limit)
    }

    fn token_bucket(&self) -> Algorithm {
        Algorithm::TokenBucket { burst: self.burst.unwrap_or(self.requests) }
    }

    fn fixed_window(&self, problems: &mut Problems) -> Option<Algorithm> {
        if self.burst.is_some() {
            problems.add("burst", "only a token_bucket has a burst");
            return None;
        }
        Some(Algorithm::FixedWindow)
    }
}

impl From<&Limit> for LimitDraft {
    fn from(limit: &Limit) -> Self {
        let (burst, algorithm) = match limit.algorithm {
            Algorithm::TokenBucket { burst } => (Some(burst), "token_bucket"),
            Algorithm::FixedWindow => (None, "fixed_window"),
        };
        Self {
            requests: limit.requests,
            per: limit.per.to_string(),
            burst,
            algorithm: Some(algorithm.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(requests: u64, per: &str) -> LimitDraft {
        LimitDraft { requests, per: per.into(), burst: None, algorithm: None }
    }

    fn plan(limits: Vec<LimitDraft>) -> PlanDraft {
        PlanDraft { slug: "basic".into(), name: None, limits }
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
                "limits[2].per"
            ]
        );
    }

    #[test]
    fn a_fixed_window_has_no_burst() {
        let draft = LimitDraft { burst: Some(5), ..limit(5, "day") };
        assert_eq!(draft.parse().unwrap_err().iter().next().unwrap().field, "burst");
    }

    #[test]
    fn a_limit_written_out_parses_back() {
        for draft in [limit(5, "minute"), limit(7, "10s"), limit(9, "month")] {
            let parsed = draft.parse().unwrap();
            assert_eq!(LimitDraft::from(&parsed).parse().unwrap(), parsed);
        }
    }
}
