//! The one tenant that a request is about.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use tollgate_core::Problems;
use tollgate_core::resource::{Role, TenantId, TenantSlug};
use utoipa::IntoParams;

use super::authenticate::Caller;
use super::refusal::Refusal;
use crate::control_plane::ControlPlane;
use crate::edit::Edit;
use crate::principal::Principal;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TenantQuery {
    /// Slug of the tenant. A platform administrator must give it; a tenant's user may leave it out.
    #[param(example = "acme")]
    tenant: Option<String>,
}

/// A caller, and the tenant that it may act in.
pub struct Scope {
    pub principal: Principal,
    pub tenant: TenantId,
    pub slug: TenantSlug,
}

impl FromRequestParts<ControlPlane> for Scope {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, plane: &ControlPlane) -> Result<Self, Refusal> {
        let Caller { principal, .. } = Caller::from_request_parts(parts, plane).await?;
        let Query(TenantQuery { tenant: asked }) =
            Query::try_from_uri(&parts.uri).map_err(|error| Problems::one("", error.body_text()))?;
        let snapshot = plane.0.snapshot.load();
        let tenant = match (principal.role, asked) {
            (Role::PlatformAdministrator, None) => {
                return Err(Problems::one("tenant", "must name the tenant: add ?tenant=<slug>").into());
            }
            (Role::PlatformAdministrator, Some(slug)) => snapshot.tenant(&slug),
            (Role::TenantUser(own), None) => snapshot.tenant_by_id(own),
            // Whether another tenant exists is not told.
            (Role::TenantUser(own), Some(slug)) => snapshot.tenant(&slug).filter(|tenant| tenant.id == own),
        };
        let tenant = tenant.ok_or(Refusal::NotFound("tenant"))?;
        Ok(Self { principal, tenant: tenant.id, slug: tenant.slug.clone() })
    }
}

impl Scope {
    /// An edit in this tenant, which may have gone since the request came in.
    pub async fn edit(&self, plane: &ControlPlane) -> Result<Edit, Refusal> {
        let edit = Edit::begin_as(plane, &self.principal).await?;
        if edit.has_tenant(self.tenant) { Ok(edit) } else { Err(Refusal::NotFound("tenant")) }
    }

    /// Where the caller finds a thing of this tenant.
    pub fn location(&self, path: &str) -> String {
        match self.principal.role {
            Role::PlatformAdministrator => format!("{path}?tenant={}", self.slug),
            Role::TenantUser(_) => path.to_owned(),
        }
    }
}
