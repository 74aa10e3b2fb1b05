//! The consumers of a document.

use super::apply::Applying;
use super::validity::Seen;
use crate::api::ConsumerView;
use crate::edit::{EditError, Named};

impl Applying<'_> {
    pub(super) async fn consumers(&mut self) -> Result<(), EditError> {
        let mut seen = Seen::new("consumers");
        for (index, given) in self.document.consumers.iter().enumerate() {
            let entry = format!("consumers[{index}]");
            let tenant = self.tenant(&entry, given.beside.tenant.as_deref())?;
            let (named, client_id) = (tenant.map(Named::Consumer), &given.draft.client_id);
            let parsed = self.parse(tenant, &given.draft).await;
            let spec = self.check_named(&entry, parsed, named, client_id)?;
            let Some((tenant, spec)) = tenant.zip(spec) else { continue };
            if !seen.is_first(&mut self.found, index, "client_id", (tenant, spec.client_id.clone()))? {
                continue;
            }
            match self.edit.read().consumer(tenant, &spec.client_id).await? {
                None => {
                    let outcome = self.edit.create_consumer(&mut self.references, tenant, spec).await;
                    self.check_named(&entry, outcome, named, client_id)?;
                    self.applied.consumers.created += 1;
                }
                Some(before) => {
                    let held = &before.value.consumer;
                    let outcome = self.edit.replace_consumer(&mut self.references, held, spec).await;
                    let replaced = self.found.check(&entry, outcome)?;
                    self.applied.consumers.count(replaced);
                    let at = (&*entry, &held.client_id);
                    let after = self.edit.read().consumer(tenant, &held.client_id);
                    self.applied.changes.note::<_, ConsumerView>(replaced, at, &before, after, None).await?;
                }
            }
        }
        Ok(())
    }
}
