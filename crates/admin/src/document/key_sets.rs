//! The key sets that a document names anew, asked before its edit begins: nobody else's should wait for them.

use tollgate_core::resource::{ServiceSlug, TenantId};

use super::Document;
use super::tenancy::Tenancy;
use crate::control_plane::ControlPlane;
use crate::edit::{EditError, WrittenService};
use crate::key_sets::{self, NewKeySet};
use crate::principal::Principal;

/// Nothing for entries that do not parse, nor for those of tenants that are not the author's: applying says so.
pub async fn check(
    plane: &ControlPlane,
    principal: &Principal,
    document: &Document,
) -> Result<(), EditError> {
    let mut new = Vec::new();
    for (index, given) in document.services.iter().enumerate() {
        if given.draft.jwt.is_empty() {
            continue;
        }
        let Ok(written) = WrittenService::parse(&given.draft, principal) else { continue };
        let Some(place) = place(plane, principal, document, given.beside.tenant.as_deref()) else { continue };
        let before = match place {
            Place::New => None,
            Place::Held(tenant) => held(plane, tenant, written.slug()).await?,
        };
        let sets = written.new_key_sets(plane, before.as_ref());
        new.extend(
            sets.into_iter()
                .map(|set| NewKeySet { field: format!("services[{index}].{}", set.field), ..set }),
        );
    }
    // An administrator's document is of no one tenant.
    key_sets::check(plane, principal.tenant(), new).await
}

enum Place {
    /// A tenant that the document itself makes.
    New,
    Held(TenantId),
}

fn place(
    plane: &ControlPlane,
    principal: &Principal,
    document: &Document,
    given: Option<&str>,
) -> Option<Place> {
    let slug = match document.tenancy(given, principal.role) {
        Tenancy::Named(slug) => slug,
        Tenancy::Own(own) => return Some(Place::Held(own)),
        Tenancy::Untold => return None,
    };
    let held = plane.0.snapshot.load().tenant(slug).map(|tenant| tenant.id);
    match (held, principal.tenant()) {
        (Some(held), None) => Some(Place::Held(held)),
        (Some(held), Some(own)) => (held == own).then_some(Place::Held(held)),
        (None, Some(_)) => None,
        (None, None) => Some(Place::New),
    }
}

async fn held(
    plane: &ControlPlane,
    tenant: TenantId,
    slug: &ServiceSlug,
) -> Result<Option<tollgate_core::resource::Service>, EditError> {
    let stored = plane.0.store.read().await?.service_by_slug(tenant, slug).await?;
    Ok(stored.map(|stored| stored.value))
}
