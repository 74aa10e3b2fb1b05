//! Routes and the services that share their requests: one row a service, read together.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, query};
use tollgate_core::Problems;
use tollgate_core::resource::{
    DisplayName, Route, RouteDraft, RouteId, RouteRules, ServiceId, ServiceSlug, TenantId,
};
use tollgate_core::routing::{Split, Sticky};

use crate::error::{StoreError, Unique, taken};
use crate::page::{Page, Paged};
use crate::row::{Fields, integer};
use crate::store::{Read, Write};
use crate::stored::Stored;

/// A route beside the slugs of its services, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRecord {
    pub route: Route,
    pub services: Vec<ServiceSlug>,
}

/// A row for each service.
const SELECT: &str = "SELECT r.*, rs.service_id, rs.weight, s.slug AS service
FROM routes r JOIN route_services rs ON rs.route_id = r.id JOIN services s ON s.id = rs.service_id ";

impl Read {
    pub async fn route(
        &mut self,
        tenant: TenantId,
        id: RouteId,
    ) -> Result<Option<Stored<RouteRecord>>, StoreError> {
        let mut select = QueryBuilder::<Sqlite>::new(SELECT);
        select.push("WHERE r.id = ").push_bind(id.0).push(" AND r.tenant_id = ").push_bind(tenant.0);
        select.push(" ORDER BY rs.position");
        Ok(self.fetch_routes(select).await?.pop())
    }

    pub async fn route_by_name(
        &mut self,
        tenant: TenantId,
        name: &DisplayName,
    ) -> Result<Option<Stored<RouteRecord>>, StoreError> {
        let mut select = QueryBuilder::<Sqlite>::new(SELECT);
        select.push("WHERE r.tenant_id = ").push_bind(tenant.0);
        select.push(" AND r.name = ").push_bind(name.as_str().to_owned());
        select.push(" ORDER BY rs.position");
        Ok(self.fetch_routes(select).await?.pop())
    }

    pub async fn routes(
        &mut self,
        tenant: TenantId,
        page: Page,
    ) -> Result<Paged<Stored<RouteRecord>>, StoreError> {
        let mut select = QueryBuilder::<Sqlite>::new(SELECT);
        select.push("WHERE r.id IN (SELECT id FROM routes WHERE tenant_id = ").push_bind(tenant.0);
        select.push(" AND id > ").push_bind(page.after_or_first());
        select.push(" ORDER BY id LIMIT ").push_bind(page.rows());
        select.push(") ORDER BY r.id, rs.position");
        Ok(page.cut(self.fetch_routes(select).await?, |stored| stored.value.route.id.0))
    }

    /// At most `rows` routes of all tenants, after the one given.
    pub(crate) async fn routes_after(&mut self, after: RouteId, rows: u32) -> Result<Vec<Route>, StoreError> {
        let mut select = QueryBuilder::<Sqlite>::new(SELECT);
        select.push("WHERE r.id IN (SELECT id FROM routes WHERE id > ").push_bind(after.0);
        select.push(" ORDER BY id LIMIT ").push_bind(rows);
        select.push(") ORDER BY r.id, rs.position");
        Ok(self.fetch_routes(select).await?.into_iter().map(|stored| stored.value.route).collect())
    }

    async fn fetch_routes(
        &mut self,
        mut select: QueryBuilder<Sqlite>,
    ) -> Result<Vec<Stored<RouteRecord>>, StoreError> {
        records(&select.build().fetch_all(self.connection()).await?)
    }
}

impl Write {
    pub async fn insert_route(&mut self, route: &Route) -> Result<(), StoreError> {
        let now = integer(self.now_secs());
        query(
            "INSERT INTO routes (id, tenant_id, name, sticky, rules, version, created_at, updated_at)
             VALUES (?, ?, ?, ?, ?, 1, ?, ?)",
        )
        .bind(route.id.0)
        .bind(route.tenant.0)
        .bind(route.name.as_str())
        .bind(route.split.sticky.as_ref().map(ToString::to_string))
        .bind(rules_json(&route.rules)?)
        .bind(now)
        .bind(now)
        .execute(self.connection())
        .await
        .map_err(taken(Unique::RouteName))?;
        self.insert_route_services(route).await
    }

    pub async fn update_route(&mut self, route: &Route) -> Result<(), StoreError> {
        let now = integer(self.now_secs());
        query(
            "UPDATE routes SET name = ?, sticky = ?, rules = ?, version = version + 1, updated_at = ? WHERE id = ?",
        )
        .bind(route.name.as_str())
        .bind(route.split.sticky.as_ref().map(ToString::to_string))
        .bind(rules_json(&route.rules)?)
        .bind(now)
        .bind(route.id.0)
        .execute(self.connection())
        .await
        .map_err(taken(Unique::RouteName))?;
        query("DELETE FROM route_services WHERE route_id = ?")
            .bind(route.id.0)
            .execute(self.connection())
            .await?;
        self.insert_route_services(route).await
    }

    pub async fn delete_route(&mut self, id: RouteId) -> Result<(), StoreError> {
        query("DELETE FROM routes WHERE id = ?").bind(id.0).execute(self.connection()).await?;
        Ok(())
    }

    async fn insert_route_services(&mut self, route: &Route) -> Result<(), StoreError> {
        for (position, (service, weight)) in (0_i64..).zip(&route.split.shares) {
            query("INSERT INTO route_services (route_id, position, service_id, weight) VALUES (?, ?, ?, ?)")
                .bind(route.id.0)
                .bind(position)
                .bind(service.0)
                .bind(weight)
                .execute(self.connection())
                .await?;
        }
        Ok(())
    }
}

/// Rows of one route stand together, in the order of its services.
fn records(rows: &[SqliteRow]) -> Result<Vec<Stored<RouteRecord>>, StoreError> {
    let mut records: Vec<Stored<RouteRecord>> = Vec::new();
    for row in rows {
        let fields = Fields { table: "routes", row };
        let id = fields.id("id", RouteId)?;
        let share = (fields.id("service_id", ServiceId)?, fields.value("weight")?);
        let service = fields.parsed("service", ServiceSlug::parse)?;
        match records.last_mut() {
            Some(last) if last.value.route.id == id => {
                last.value.route.split.shares.push(share);
                last.value.services.push(service);
            }
            Some(_) | None => {
                let route = route(&fields, id, share)?;
                records.push(fields.stored(RouteRecord { route, services: vec![service] })?);
            }
        }
    }
    Ok(records)
}

fn route(fields: &Fields<'_>, id: RouteId, first: (ServiceId, u32)) -> Result<Route, StoreError> {
    Ok(Route {
        id,
        tenant: fields.id("tenant_id", TenantId)?,
        name: fields.parsed("name", DisplayName::parse)?,
        split: Split { shares: vec![first], sticky: fields.optional_parsed("sticky", Sticky::parse)? },
        rules: fields.parsed("rules", parse_rules)?,
    })
}

fn rules_json(rules: &RouteRules) -> Result<String, StoreError> {
    serde_json::to_string(&RouteDraft::from(rules))
        .map_err(|error| StoreError::Corrupt { table: "routes", problem: error.to_string() })
}

fn parse_rules(json: &str) -> Result<RouteRules, String> {
    let draft: RouteDraft = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let mut problems = Problems::default();
    let rules = draft.parse_rules(&mut problems);
    problems.finish(Some(rules)).map_err(|problems| problems.to_string())
}
