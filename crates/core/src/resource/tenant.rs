//! A tenant: an organisation with services, plans, consumers and keys of its own.

use serde::{Deserialize, Serialize};

use super::limit::{Subscribed, parse_limits};
use super::{DisplayName, Limit, LimitDraft, TenantId, TenantSlug, TimeZone};
use crate::problem::Problems;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    pub id: TenantId,
    pub slug: TenantSlug,
    pub name: DisplayName,
    /// Where its days and months begin and end.
    pub time_zone: TimeZone,
    /// Counted over everything that the tenant has.
    pub limits: Vec<Limit>,
}

/// A tenant as it is written.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::ToSchema),
    schema(examples(json!({ "slug": "acme", "name": "Acme Corp", "time_zone": "Europe/Berlin" })))
)]
#[serde(deny_unknown_fields)]
pub struct TenantDraft {
    /// First segment of every proxied path: lower-case letters, digits, hyphens, underscores.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$"))]
    pub slug: String,
    /// A name for people; the slug where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub name: Option<String>,
    /// IANA name of the zone whose days and months limits count; `UTC` where left out. A period that runs is not cut
    /// short or drawn out by a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Limits over everything that the tenant has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 8))]
    pub limits: Vec<LimitDraft>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSpec {
    pub slug: TenantSlug,
    pub name: DisplayName,
    pub time_zone: TimeZone,
    /// Counted over everything that the tenant has.
    pub limits: Vec<Limit>,
}

impl TenantDraft {
    pub fn parse(&self) -> Result<TenantSpec, Problems> {
        let mut problems = Problems::default();
        let slug = problems.check("slug", TenantSlug::parse(&self.slug));
        let fallback = slug.as_ref().map(TenantSlug::as_str);
        let name = DisplayName::given_or(&mut problems, self.name.as_deref(), fallback);
        let time_zone = match self.time_zone.as_deref() {
            Some(name) => problems.check("time_zone", TimeZone::parse(name)),
            None => Some(TimeZone::UTC),
        };
        let limits = parse_limits("limits", &self.limits, Subscribed::No, &mut problems);
        let spec = slug.zip(name).zip(time_zone);
        let spec = spec.map(|((slug, name), time_zone)| TenantSpec { slug, name, time_zone, limits });
        problems.finish(spec)
    }
}
