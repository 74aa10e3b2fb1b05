//! The users of a document.

use tollgate_core::resource::TenantSlug;

use super::apply::Applying;
use super::validity::Seen;
use crate::api::UserView;
use crate::edit::{EditError, Replaced};

impl Applying<'_> {
    pub(super) async fn users(&mut self) -> Result<(), EditError> {
        let mut seen = Seen::new("users");
        for (index, draft) in self.document.users.iter().enumerate() {
            let entry = format!("users[{index}]");
            if self.principal.tenant().is_some() {
                self.found.add(entry, "only a platform administrator may write users")?;
                continue;
            }
            let spec = self.found.check_parsed(&entry, draft.parse())?;
            // Whatever else is wrong; a slug that is none is told of already.
            let tenant = draft.tenant.as_deref().and_then(|slug| TenantSlug::parse(slug).ok());
            let role = self.edit.role(tenant.as_ref());
            let role = self.found.check_parsed(&entry, role)?;
            let Some((spec, role)) = spec.zip(role) else { continue };
            if !seen.is_first(&mut self.found, index, "username", spec.username.as_str().to_owned())? {
                continue;
            }
            // Hashed with the others, since it parses.
            let Some(hash) = self.hashes.remove(&index) else { continue };
            let Some(before) = self.edit.read().user(&spec.username).await? else {
                self.edit.create_user(spec, hash).await?;
                self.applied.users.created += 1;
                continue;
            };
            let held = &before.value;
            // A password that was changed meanwhile is changed back.
            let unseen = (held.password_hash != hash).then_some("password");
            if unseen.is_none() && held.role == role {
                self.applied.users.unchanged += 1;
                continue;
            }
            self.edit.replace_user(held, spec, hash).await?;
            self.applied.users.updated += 1;
            let (at, after) = ((&*entry, &held.username), self.edit.read().user(&held.username));
            let changed = Some(Replaced::Changed);
            self.applied.changes.note::<_, UserView>(changed, at, &before, after, unseen).await?;
        }
        Ok(())
    }
}
