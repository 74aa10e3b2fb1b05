//! From a document to an edit: entry by entry, what is referred to first. All problems are found before the
//! edit is given up.

use tollgate_core::Problems;
use tollgate_core::resource::{Referring, TenantId};
use tollgate_store::Stored;

use super::key_sets;
use super::passwords::{self, Hashes};
use super::tenancy::{Tenancy, UNTOLD};
use super::validity::{Found, Outcome, Seen};
use super::{Applied, Document, Tally};
use crate::api::{PlanView, ServiceView, TenantView};
use crate::control_plane::ControlPlane;
use crate::edit::{Edit, EditError, Named, Parsed, References, Replaced, WrittenService};
use crate::principal::Principal;

pub async fn run(
    plane: &ControlPlane,
    principal: &Principal,
    document: &Document,
) -> Result<(Edit, Applied), EditError> {
    key_sets::check(plane, principal, document).await?;
    let hashes = passwords::hash(plane, principal, document).await?;
    let mut applying = Applying {
        principal,
        document,
        hashes,
        edit: Edit::begin_as(plane, principal).await?,
        references: References::default(),
        found: Found::default(),
        applied: Applied::default(),
    };
    applying.tenants().await?;
    applying.plans().await?;
    applying.services().await?;
    applying.routes().await?;
    applying.consumers().await?;
    applying.keys().await?;
    applying.users().await?;
    let Applying { edit, found, mut applied, .. } = applying;
    found.finish()?;
    applied.revision = edit.revision();
    Ok((edit, applied))
}

pub(super) struct Applying<'d> {
    pub(super) principal: &'d Principal,
    pub(super) document: &'d Document,
    pub(super) hashes: Hashes,
    pub(super) edit: Edit,
    pub(super) references: References,
    pub(super) found: Found,
    pub(super) applied: Applied,
}

impl Applying<'_> {
    async fn tenants(&mut self) -> Result<(), EditError> {
        let mut seen = Seen::new("tenants");
        for (index, draft) in self.document.tenants.iter().enumerate() {
            let entry = format!("tenants[{index}]");
            let spec = self.check_named(&entry, draft.parse(), Some(Named::Tenant), &draft.slug)?;
            let Some(spec) = spec else { continue };
            if !seen.is_first(&mut self.found, index, "slug", spec.slug.clone())? {
                continue;
            }
            let before = self.edit.read().tenant(&spec.slug).await?;
            if let Some(own) = self.principal.tenant() {
                // A tenant's user may name its own tenant, as it is.
                let is_as_it_is = before.is_some_and(|Stored { value: before, .. }| {
                    before.id == own
                        && (draft.name.is_none() || spec.name == before.name)
                        && (draft.time_zone.is_none() || spec.time_zone == before.time_zone)
                        && (draft.limits.is_empty() || spec.limits == before.limits)
                });
                if is_as_it_is {
                    self.applied.tenants.unchanged += 1;
                } else {
                    self.found.add(entry, "only a platform administrator may add or change a tenant")?;
                }
                continue;
            }
            match before {
                None => {
                    let outcome = self.edit.create_tenant(spec).await;
                    self.check_named(&entry, outcome, Some(Named::Tenant), &draft.slug)?;
                    self.applied.tenants.created += 1;
                }
                Some(before) => {
                    let slug = &before.value.slug;
                    let outcome = self.edit.replace_tenant(&before.value, spec).await;
                    let replaced = self.found.check(&entry, outcome)?;
                    self.applied.tenants.count(replaced);
                    let (at, after) = ((&*entry, slug), self.edit.read().tenant(slug));
                    self.applied.changes.note::<_, TenantView>(replaced, at, &before, after, None).await?;
                }
            }
        }
        Ok(())
    }

    async fn plans(&mut self) -> Result<(), EditError> {
        let mut seen = Seen::new("plans");
        for (index, given) in self.document.plans.iter().enumerate() {
            let entry = format!("plans[{index}]");
            let tenant = self.tenant(&entry, given.beside.tenant.as_deref())?;
            let (named, slug) = (tenant.map(Named::Plan), &given.draft.slug);
            let spec = self.check_named(&entry, given.draft.parse(), named, slug)?;
            let Some((tenant, spec)) = tenant.zip(spec) else { continue };
            if !seen.is_first(&mut self.found, index, "slug", (tenant, spec.slug.clone()))? {
                continue;
            }
            match self.edit.read().plan(tenant, &spec.slug).await? {
                None => {
                    let outcome = self.edit.create_plan(tenant, spec).await;
                    self.check_named(&entry, outcome, named, slug)?;
                    self.applied.plans.created += 1;
                }
                Some(before) => {
                    let slug = &before.value.slug;
                    let outcome = self.edit.replace_plan(&before.value, spec).await;
                    let replaced = self.found.check(&entry, outcome)?;
                    self.applied.plans.count(replaced);
                    let (at, after) = ((&*entry, slug), self.edit.read().plan(tenant, slug));
                    self.applied.changes.note::<_, PlanView>(replaced, at, &before, after, None).await?;
                }
            }
        }
        Ok(())
    }

    async fn services(&mut self) -> Result<(), EditError> {
        let mut seen = Seen::new("services");
        for (index, given) in self.document.services.iter().enumerate() {
            let entry = format!("services[{index}]");
            let tenant = self.tenant(&entry, given.beside.tenant.as_deref())?;
            let written = WrittenService::parse(&given.draft, self.principal);
            let (named, slug) = (tenant.map(Named::Service), &given.draft.slug);
            let written = self.check_named(&entry, written, named, slug)?;
            let Some((tenant, written)) = tenant.zip(written) else { continue };
            if !seen.is_first(&mut self.found, index, "slug", (tenant, written.slug().clone()))? {
                continue;
            }
            match self.edit.read().service_by_slug(tenant, written.slug()).await? {
                None => {
                    let outcome = self.edit.create_service(&mut self.references, tenant, written).await;
                    self.check_named(&entry, outcome, named, slug)?;
                    self.applied.services.created += 1;
                }
                Some(before) => {
                    let slug = &before.value.slug;
                    let outcome =
                        self.edit.replace_service(&mut self.references, &before.value, written).await;
                    let replaced = self.found.check(&entry, outcome)?;
                    self.applied.services.count(replaced);
                    let (at, after) = ((&*entry, slug), self.edit.read().service_by_slug(tenant, slug));
                    self.applied.changes.note::<_, ServiceView>(replaced, at, &before, after, None).await?;
                }
            }
        }
        Ok(())
    }

    /// What an entry says; its names are looked up where its tenant is known.
    pub(super) async fn parse<D: Referring>(
        &mut self,
        tenant: Option<TenantId>,
        draft: &D,
    ) -> Result<D::Spec, EditError> {
        match tenant {
            Some(tenant) => self.edit.spec(&mut self.references, tenant, Parsed::of(draft)).await,
            None => Ok(draft.parse()?),
        }
    }

    /// Notes what is wrong with an entry, for those too that name it; nobody can where its tenant is not known.
    pub(super) fn check_named<T>(
        &mut self,
        entry: &str,
        outcome: Result<T, impl Into<EditError>>,
        named: Option<Named>,
        name: &str,
    ) -> Outcome<T> {
        let checked = self.found.check(entry, outcome.map_err(Into::into))?;
        if let (None, Some(named)) = (&checked, named) {
            self.references.refuse(named, name, entry);
        }
        Ok(checked)
    }

    /// The tenant of an entry: the one it names, else the file's only one, else the author's own.
    pub(super) fn tenant(&mut self, entry: &str, given: Option<&str>) -> Outcome<TenantId> {
        let outcome = self.find_tenant(given);
        Ok(self.found.check_parsed(entry, outcome)?)
    }

    fn find_tenant(&self, given: Option<&str>) -> Result<TenantId, Problems> {
        let slug = match self.document.tenancy(given, self.principal.role) {
            Tenancy::Named(slug) => slug,
            Tenancy::Own(own) => {
                // It may have gone since its user was known.
                let own = self.edit.has_tenant(own).then_some(own);
                return own.ok_or_else(|| Problems::one("tenant", "does not exist"));
            }
            Tenancy::Untold => return Err(Problems::one("tenant", UNTOLD)),
        };
        let tenant = self.edit.snapshot().tenant(slug).map(|tenant| tenant.id);
        // Another tenant's existence is not told to a tenant's user.
        let visible = tenant.filter(|id| self.principal.tenant().is_none_or(|own| own == *id));
        visible.ok_or_else(|| Problems::one("tenant", self.references.missing(Named::Tenant, slug)))
    }
}

impl Tally {
    pub(super) fn count(&mut self, replaced: Option<Replaced>) {
        match replaced {
            Some(Replaced::Changed) => self.updated += 1,
            Some(Replaced::Unchanged) => self.unchanged += 1,
            None => {}
        }
    }
}
