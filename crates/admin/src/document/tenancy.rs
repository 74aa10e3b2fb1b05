//! Which tenant an entry of a document is of.

use tollgate_core::resource::{Role, TenantId};

use super::Document;

/// Where an entry stands; whether there is such a tenant is asked elsewhere.
pub(super) enum Tenancy<'d> {
    Named(&'d str),
    /// The author's own.
    Own(TenantId),
    /// The entry names none, and the document does not list exactly one.
    Untold,
}

/// What is said of [`Tenancy::Untold`].
pub(super) const UNTOLD: &str = "must name the tenant: the document does not list exactly one";

impl Document {
    /// The tenant that an entry names, else the author's own, else the document's only one.
    pub(super) fn tenancy<'d>(&'d self, given: Option<&'d str>, author: Role) -> Tenancy<'d> {
        match (given, author, self.tenants.as_slice()) {
            (Some(slug), _, _) => Tenancy::Named(slug),
            (None, Role::TenantUser(own), _) => Tenancy::Own(own),
            (None, Role::PlatformAdministrator, [only]) => Tenancy::Named(&only.slug),
            (None, Role::PlatformAdministrator, _) => Tenancy::Untold,
        }
    }
}
