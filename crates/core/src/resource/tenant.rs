//! A tenant: an organisation with services, plans, consumers and keys of its own.

use serde::{Deserialize, Serialize};

use super::{DisplayName, TenantId, TenantSlug};
use crate::problem::Problems;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    pub id: TenantId,
    pub slug: TenantSlug,
    pub name: DisplayName,
}

/// A tenant as it is written.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TenantDraft {
    /// First segment of every proxied path: lower-case letters, digits, hyphens, underscores.
    pub slug: String,
    /// A name for people; the slug where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSpec {
    pub slug: TenantSlug,
    pub name: DisplayName,
}

impl TenantDraft {
    pub fn parse(&self) -> Result<TenantSpec, Problems> {
        let mut problems = Problems::default();
        let slug = problems.check("slug", TenantSlug::parse(&self.slug));
        let fallback = slug.as_ref().map(TenantSlug::as_str);
        let name = DisplayName::given_or(&mut problems, self.name.as_deref(), fallback);
        let spec = slug.zip(name).map(|(slug, name)| TenantSpec { slug, name });
        problems.finish(spec)
    }
}
