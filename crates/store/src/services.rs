//! Services and their targets: one row a target, read together.

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, query};
use tollgate_core::address::Reach;
use tollgate_core::balance::Duty;
use tollgate_core::resource::{
    BaseUrl, DisplayName, HeaderName, JwtIssuer, JwtIssuerDraft, Service, ServiceId, ServiceSlug, Target,
    TargetId, TenantId, Timeouts, TimeoutsDraft, Traffic, TrafficDraft,
};

use crate::error::{Dependent, StoreError, Unique, taken};
use crate::limits::{parse_service_limits, service_limits_json};
use crate::page::{Page, Paged};
use crate::row::{Fields, integer};
use crate::store::{Read, Write};
use crate::stored::Stored;

/// A row for each target.
const SELECT: &str = "SELECT s.*, t.id AS target_id, t.url, t.weight, t.draining, t.reach
FROM services s JOIN targets t ON t.service_id = s.id ";

impl Read {
    pub async fn service(
        &mut self,
        tenant: TenantId,
        id: ServiceId,
    ) -> Result<Option<Stored<Service>>, StoreError> {
        let mut select = QueryBuilder::<Sqlite>::new(SELECT);
        select.push("WHERE s.id = ").push_bind(id.0).push(" AND s.tenant_id = ").push_bind(tenant.0);
        select.push(" ORDER BY t.position");
        Ok(self.fetch_services(select).await?.pop())
    }

    pub async fn service_by_slug(
        &mut self,
        tenant: TenantId,
        slug: &ServiceSlug,
    ) -> Result<Option<Stored<Service>>, StoreError> {
        let mut select = QueryBuilder::<Sqlite>::new(SELECT);
        select.push("WHERE s.tenant_id = ").push_bind(tenant.0);
        select.push(" AND s.slug = ").push_bind(slug.as_str().to_owned());
        select.push(" ORDER BY t.position");
        Ok(self.fetch_services(select).await?.pop())
    }

    pub async fn services(
        &mut self,
        tenant: TenantId,
        page: Page,
    ) -> Result<Paged<Stored<Service>>, StoreError> {
        let mut select = QueryBuilder::<Sqlite>::new(SELECT);
        select.push("WHERE s.id IN (SELECT id FROM services WHERE tenant_id = ").push_bind(tenant.0);
        select.push(" AND id > ").push_bind(page.after_or_first());
        select.push(" ORDER BY id LIMIT ").push_bind(page.rows());
        select.push(") ORDER BY s.id, t.position");
        Ok(page.cut(self.fetch_services(select).await?, |service| service.value.id.0))
    }

    pub(crate) async fn services_after(
        &mut self,
        after: ServiceId,
        rows: u32,
    ) -> Result<Vec<Service>, StoreError> {
        let mut select = QueryBuilder::<Sqlite>::new(SELECT);
        select.push("WHERE s.id IN (SELECT id FROM services WHERE id > ").push_bind(after.0);
        select.push(" ORDER BY id LIMIT ").push_bind(rows);
        select.push(") ORDER BY s.id, t.position");
        Ok(self.fetch_services(select).await?.into_iter().map(|stored| stored.value).collect())
    }

    async fn fetch_services(
        &mut self,
        mut select: QueryBuilder<Sqlite>,
    ) -> Result<Vec<Stored<Service>>, StoreError> {
        services(&select.build().fetch_all(self.connection()).await?)
    }
}

impl Write {
    pub async fn insert_service(&mut self, service: &Service) -> Result<(), StoreError> {
        let now = integer(self.now_secs());
        query(
            "INSERT INTO services (id, tenant_id, slug, name, auth_header, timeouts, max_body_bytes,
                                   jwt, limits, traffic, version, created_at, updated_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)",
        )
        .bind(service.id.0)
        .bind(service.tenant.0)
        .bind(service.slug.as_str())
        .bind(service.name.as_str())
        .bind(service.auth_header.as_str())
        .bind(timeouts_json(service.timeouts)?)
        .bind(service.max_body_bytes.map(integer))
        .bind(issuers_json(&service.jwt)?)
        .bind(service_limits_json(&service.limits)?)
        .bind(traffic_json(&service.traffic)?)
        .bind(now)
        .bind(now)
        .execute(self.connection())
        .await
        .map_err(taken(Unique::ServiceSlug))?;
        self.insert_targets(service).await
    }

    pub async fn update_service(&mut self, service: &Service) -> Result<(), StoreError> {
        let now = integer(self.now_secs());
        query(
            "UPDATE services SET slug = ?, name = ?, auth_header = ?, timeouts = ?, max_body_bytes = ?, jwt = ?,
                                 limits = ?, traffic = ?, version = version + 1, updated_at = ?
             WHERE id = ?",
        )
        .bind(service.slug.as_str())
        .bind(service.name.as_str())
        .bind(service.auth_header.as_str())
        .bind(timeouts_json(service.timeouts)?)
        .bind(service.max_body_bytes.map(integer))
        .bind(issuers_json(&service.jwt)?)
        .bind(service_limits_json(&service.limits)?)
        .bind(traffic_json(&service.traffic)?)
        .bind(now)
        .bind(service.id.0)
        .execute(self.connection())
        .await
        .map_err(taken(Unique::ServiceSlug))?;
        query("DELETE FROM targets WHERE service_id = ?")
            .bind(service.id.0)
            .execute(self.connection())
            .await?;
        self.insert_targets(service).await
    }

    /// Refused while a key names it, since without the restriction the key would open everything; and while a route does.
    pub async fn delete_service(&mut self, id: ServiceId) -> Result<(), StoreError> {
        self.refuse_if_used(
            "SELECT EXISTS (SELECT 1 FROM key_services WHERE service_id = ?)",
            id.0,
            Dependent::Keys,
        )
        .await?;
        self.refuse_if_used(
            "SELECT EXISTS (SELECT 1 FROM route_services WHERE service_id = ?)",
            id.0,
            Dependent::Routes,
        )
        .await?;
        query("DELETE FROM services WHERE id = ?").bind(id.0).execute(self.connection()).await?;
        Ok(())
    }

    async fn insert_targets(&mut self, service: &Service) -> Result<(), StoreError> {
        for (position, target) in (0_i64..).zip(&service.targets) {
            query(
                "INSERT INTO targets (service_id, position, id, url, weight, draining, reach)
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(service.id.0)
            .bind(position)
            .bind(target.id.0)
            .bind(target.url.to_string())
            .bind(target.weight)
            .bind(target.duty == Duty::Draining)
            .bind(reach_text(target.reach))
            .execute(self.connection())
            .await?;
        }
        Ok(())
    }
}

/// Rows of one service stand together, in the order of its targets.
fn services(rows: &[SqliteRow]) -> Result<Vec<Stored<Service>>, StoreError> {
    let mut services: Vec<Stored<Service>> = Vec::new();
    for row in rows {
        let fields = Fields { table: "services", row };
        let id = fields.id("id", ServiceId)?;
        let target = target(&fields)?;
        match services.last_mut() {
            Some(last) if last.value.id == id => last.value.targets.push(target),
            Some(_) | None => services.push(service(&fields, id, target)?),
        }
    }
    Ok(services)
}

fn service(fields: &Fields<'_>, id: ServiceId, first: Target) -> Result<Stored<Service>, StoreError> {
    fields.stored(Service {
        id,
        tenant: fields.id("tenant_id", TenantId)?,
        slug: fields.parsed("slug", ServiceSlug::parse)?,
        name: fields.parsed("name", DisplayName::parse)?,
        auth_header: fields.parsed("auth_header", HeaderName::parse)?,
        targets: vec![first],
        timeouts: fields.parsed("timeouts", parse_timeouts)?,
        max_body_bytes: fields.optional_unsigned("max_body_bytes")?,
        jwt: fields.parsed("jwt", parse_issuers)?,
        limits: fields.parsed("limits", parse_service_limits)?,
        traffic: fields.parsed("traffic", parse_traffic)?,
    })
}

fn target(fields: &Fields<'_>) -> Result<Target, StoreError> {
    Ok(Target {
        id: fields.id("target_id", TargetId)?,
        url: fields.parsed("url", BaseUrl::parse)?,
        weight: fields.value("weight")?,
        duty: if fields.value("draining")? { Duty::Draining } else { Duty::Serving },
        reach: fields.parsed("reach", parse_reach)?,
    })
}

pub(crate) const fn reach_text(reach: Reach) -> &'static str {
    match reach {
        Reach::Public => "public",
        Reach::Private => "private",
    }
}

pub(crate) fn parse_reach(text: &str) -> Result<Reach, &'static str> {
    match text {
        "public" => Ok(Reach::Public),
        "private" => Ok(Reach::Private),
        _ => Err("reach is neither public nor private"),
    }
}

/// An issuer as the column holds it.
#[derive(Serialize, Deserialize)]
struct IssuerColumn {
    reach: Reach,
    issuer: JwtIssuerDraft,
}

fn issuers_json(issuers: &[JwtIssuer]) -> Result<String, StoreError> {
    let column =
        |issuer: &JwtIssuer| IssuerColumn { reach: issuer.reach, issuer: JwtIssuerDraft::from(&issuer.spec) };
    serde_json::to_string(&issuers.iter().map(column).collect::<Vec<_>>())
        .map_err(|error| StoreError::Corrupt { table: "services", problem: error.to_string() })
}

fn parse_issuers(json: &str) -> Result<Vec<JwtIssuer>, String> {
    let columns: Vec<IssuerColumn> = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let issuer = |IssuerColumn { reach, issuer }: IssuerColumn| {
        issuer
            .within_bounds()
            .parse()
            .map(|spec| JwtIssuer { spec, reach })
            .map_err(|problems| problems.to_string())
    };
    columns.into_iter().map(issuer).collect()
}

fn traffic_json(traffic: &Traffic) -> Result<String, StoreError> {
    serde_json::to_string(&TrafficDraft::from(traffic))
        .map_err(|error| StoreError::Corrupt { table: "services", problem: error.to_string() })
}

fn parse_traffic(json: &str) -> Result<Box<Traffic>, String> {
    let draft: TrafficDraft = serde_json::from_str(json).map_err(|error| error.to_string())?;
    draft.within_bounds().parse().map(Box::new).map_err(|problems| problems.to_string())
}

fn timeouts_json(timeouts: Timeouts) -> Result<String, StoreError> {
    serde_json::to_string(&TimeoutsDraft::from(timeouts))
        .map_err(|error| StoreError::Corrupt { table: "services", problem: error.to_string() })
}

fn parse_timeouts(json: &str) -> Result<Timeouts, serde_json::Error> {
    let TimeoutsDraft { connect, first_byte, idle, total } = serde_json::from_str(json)?;
    Ok(Timeouts {
        connect: connect.map(|text| text.0),
        first_byte: first_byte.map(|text| text.0),
        idle: idle.map(|text| text.0),
        total: total.map(|text| text.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_build_has_kept_loads_within_the_bounds_of_today() {
        let kept = r#"{"health_check":{"interval":"2h","timeout":"1h"},"failure_on":["2xx","503"]}"#;
        let read = TrafficDraft::from(&*parse_traffic(kept).unwrap());
        assert_eq!(read.failure_on.unwrap(), ["503"]);
        let check = read.health_check.unwrap();
        assert_eq!((check.interval.unwrap().0.as_secs(), check.timeout.unwrap().0.as_secs()), (7_200, 60));
        let names = vec![r#""EdDSA","ES256""#; 1_000].join(",");
        let kept = format!(
            r#"[{{"reach":"public","issuer":{{"issuer":"i","audience":"a","jwks_url":"https://i.example/keys","algorithms":[{names}]}}}}]"#
        );
        let read = parse_issuers(&kept).unwrap();
        assert_eq!(read[0].spec.algorithms.as_ref().map(Vec::len), Some(2));
    }
}
