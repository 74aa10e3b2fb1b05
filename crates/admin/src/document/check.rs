//! What can be said of a document by itself: every entry alone, and names that are given twice. What an entry
//! refers to may be in the control plane already, and only that can tell.

use std::hash::Hash;

use tollgate_core::Problems;
use tollgate_core::resource::{ClientId, DisplayName, PlanSlug, ServiceSlug, TenantSlug, Username};

use super::Document;
use super::keys::GivenValue;
use super::tenancy::UNTOLD;
use super::validity::{Found, Seen};

impl Document {
    /// Everything that is wrong with the document by itself, in the words of applying it.
    pub fn check(&self) -> Result<(), Problems> {
        let found = &mut Found::default();
        section(
            (found, "tenants", "slug"),
            &self.tenants,
            |draft| draft.parse().map(drop),
            |draft| TenantSlug::parse(&draft.slug).ok(),
        )?;
        section(
            (found, "plans", "slug"),
            &self.plans,
            |entry| self.placed(entry.beside.tenant.as_deref(), entry.draft.parse().map(drop)),
            |entry| self.in_tenant(entry.beside.tenant.as_deref(), PlanSlug::parse(&entry.draft.slug).ok()),
        )?;
        section(
            (found, "services", "slug"),
            &self.services,
            |entry| self.placed(entry.beside.tenant.as_deref(), entry.draft.parse().map(drop)),
            |entry| {
                self.in_tenant(entry.beside.tenant.as_deref(), ServiceSlug::parse(&entry.draft.slug).ok())
            },
        )?;
        section(
            (found, "consumers", "client_id"),
            &self.consumers,
            |entry| self.placed(entry.beside.tenant.as_deref(), entry.draft.parse().map(drop)),
            |entry| {
                self.in_tenant(entry.beside.tenant.as_deref(), ClientId::parse(&entry.draft.client_id).ok())
            },
        )?;
        section(
            (found, "routes", "name"),
            &self.routes,
            |entry| self.placed(entry.beside.tenant.as_deref(), entry.draft.parse().map(drop)),
            |entry| {
                self.in_tenant(entry.beside.tenant.as_deref(), DisplayName::parse(&entry.draft.name).ok())
            },
        )?;
        self.check_keys(found)?;
        section(
            (found, "users", "username"),
            &self.users,
            |draft| draft.parse().map(drop),
            |draft| Username::parse(&draft.username).ok(),
        )?;
        std::mem::take(found).finish()
    }

    fn check_keys(&self, found: &mut Found) -> Result<(), Problems> {
        let (mut names, mut values) = (Seen::new("keys"), Seen::new("keys"));
        for (index, given) in self.keys.iter().enumerate() {
            let entry = format!("keys[{index}]");
            let parsed = given.draft.parse().map(drop);
            found.check_parsed(&entry, self.placed(given.beside.tenant.as_deref(), parsed))?;
            let value = found.check_parsed(&entry, GivenValue::parse(&given.beside))?;
            let name = DisplayName::parse(&given.draft.name).ok();
            if let Some(name) = self.in_tenant(given.beside.tenant.as_deref(), name) {
                names.is_first(found, index, "name", name)?;
            }
            if let Some(value) = value {
                values.is_first(found, index, value.field, value.hash)?;
            }
        }
        Ok(())
    }

    /// What is wrong with an entry, and whether it says where it belongs: no tenant's user lists several tenants, so that
    /// none of them is its author's own.
    fn placed(&self, given: Option<&str>, parsed: Result<(), Problems>) -> Result<(), Problems> {
        if given.is_some() || self.tenants.len() < 2 {
            return parsed;
        }
        let mut problems = parsed.err().unwrap_or_default();
        problems.add("tenant", UNTOLD);
        Err(problems)
    }

    /// A name and the tenant that it stands in, as far as the document tells.
    fn in_tenant<'d, N>(&'d self, given: Option<&'d str>, name: Option<N>) -> Option<(Option<&'d str>, N)> {
        let only = match self.tenants.as_slice() {
            [only] => Some(only.slug.as_str()),
            _ => None,
        };
        Some((given.or(only), name?))
    }
}

/// Checks each entry of a section, and that no two have one name. An entry without a valid name has none.
fn section<'d, E, N: Eq + Hash>(
    (found, section, field): (&mut Found, &'static str, &str),
    entries: &'d [E],
    parse: impl Fn(&E) -> Result<(), Problems>,
    name: impl Fn(&'d E) -> Option<N>,
) -> Result<(), Problems> {
    let mut seen = Seen::new(section);
    for (index, entry) in entries.iter().enumerate() {
        found.check_parsed(&format!("{section}[{index}]"), parse(entry))?;
        if let Some(name) = name(entry) {
            seen.is_first(found, index, field, name)?;
        }
    }
    Ok(())
}
