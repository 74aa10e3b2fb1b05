//! Routes.

use tollgate_core::Problems;
use tollgate_core::resource::{Route, RouteId, RouteSpec, TenantId};
use tollgate_core::routing::Split;
use tollgate_core::snapshot::Change;
use uuid::Uuid;

use super::{Edit, EditError, References, Replaced};

impl Edit {
    pub async fn create_route(
        &mut self,
        references: &mut References,
        tenant: TenantId,
        spec: RouteSpec,
    ) -> Result<RouteId, EditError> {
        let route = self.new_route(references, tenant, spec).await?;
        let id = route.id;
        self.put_routes(vec![route])?;
        Ok(id)
    }

    pub async fn replace_route(
        &mut self,
        references: &mut References,
        before: &Route,
        spec: RouteSpec,
    ) -> Result<Replaced, EditError> {
        match self.changed_route(references, before, spec).await? {
            Some(route) => self.put_routes(vec![route]).map(|()| Replaced::Changed),
            None => Ok(Replaced::Unchanged),
        }
    }

    pub async fn delete_route(&mut self, route: &Route) -> Result<(), EditError> {
        self.write.delete_route(route.id).await?;
        self.put(&[Change::DeleteRoute(route.tenant, route.id)])
    }

    /// A route whose row is written; see [`Edit::put_routes`].
    pub async fn new_route(
        &mut self,
        references: &mut References,
        tenant: TenantId,
        spec: RouteSpec,
    ) -> Result<Route, EditError> {
        let route = self.route(references, RouteId(Uuid::now_v7()), tenant, spec).await?;
        self.write.insert_route(&route).await?;
        Ok(route)
    }

    /// A route as it is from now on, its row written; `None` where it is as before. See [`Edit::put_routes`].
    pub async fn changed_route(
        &mut self,
        references: &mut References,
        before: &Route,
        spec: RouteSpec,
    ) -> Result<Option<Route>, EditError> {
        let route = self.route(references, before.id, before.tenant, spec).await?;
        if route == *before {
            return Ok(None);
        }
        self.write.update_route(&route).await?;
        Ok(Some(route))
    }

    /// Compiles routes whose rows are written, all at once: so it does not matter which of them comes first.
    pub fn put_routes(&mut self, routes: Vec<Route>) -> Result<(), EditError> {
        let changes: Vec<Change> = routes.into_iter().map(Change::PutRoute).collect();
        self.put(&changes)
    }

    async fn route(
        &mut self,
        references: &mut References,
        id: RouteId,
        tenant: TenantId,
        spec: RouteSpec,
    ) -> Result<Route, EditError> {
        let mut problems = Problems::default();
        let mut shares = Vec::with_capacity(spec.services.len());
        for (index, (slug, weight)) in spec.services.iter().enumerate() {
            match self.service_id(references, tenant, slug).await? {
                Ok(service) => shares.push((service, *weight)),
                Err(missing) => problems.add(spec.field_of_service(index), missing),
            }
        }
        let split = Split { shares, sticky: spec.sticky };
        Ok(problems.finish(Some(Route { id, tenant, name: spec.name, split, rules: spec.rules }))?)
    }
}
