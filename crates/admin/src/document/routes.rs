//! The routes of a document: compiled all at once, so that their order makes no difference.

use tollgate_core::resource::Route;

use super::apply::Applying;
use super::validity::Seen;
use crate::api::RouteView;
use crate::edit::{EditError, Replaced};

impl Applying<'_> {
    pub(super) async fn routes(&mut self) -> Result<(), EditError> {
        let mut seen = Seen::new("routes");
        let (mut routes, mut entries): (Vec<Route>, Vec<String>) = Default::default();
        for (index, given) in self.document.routes.iter().enumerate() {
            let entry = format!("routes[{index}]");
            let tenant = self.tenant(&entry, given.beside.tenant.as_deref())?;
            let parsed = self.parse(tenant, &given.draft).await;
            let spec = self.found.check(&entry, parsed)?;
            let Some((tenant, spec)) = tenant.zip(spec) else { continue };
            if !seen.is_first(&mut self.found, index, "name", (tenant, spec.name.clone()))? {
                continue;
            }
            let written = match self.edit.read().route_by_name(tenant, &spec.name).await? {
                None => {
                    let created = self.edit.new_route(&mut self.references, tenant, spec).await;
                    self.applied.routes.created += 1;
                    self.found.check(&entry, created)?
                }
                Some(before) => {
                    let held = &before.value.route;
                    let changed = self.edit.changed_route(&mut self.references, held, spec).await;
                    let changed = self.found.check(&entry, changed)?.flatten();
                    let replaced = Some(match &changed {
                        Some(_) => Replaced::Changed,
                        None => Replaced::Unchanged,
                    });
                    self.applied.routes.count(replaced);
                    let at = (&*entry, &held.name);
                    let after = self.edit.read().route_by_name(tenant, &held.name);
                    self.applied.changes.note::<_, RouteView>(replaced, at, &before, after, None).await?;
                    changed
                }
            };
            if let Some(route) = written {
                entries.push(entry);
                routes.push(route);
            }
        }
        let misfits = self.edit.snapshot().misfits(&routes);
        if misfits.is_empty() {
            return self.edit.put_routes(routes);
        }
        for (index, problems) in misfits {
            self.found.nest(entries.get(index).map_or("routes", String::as_str), problems)?;
        }
        Ok(())
    }
}
