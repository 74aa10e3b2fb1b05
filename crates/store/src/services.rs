//! Services and their targets: one row a target, read together.

use sqlx::query;
use sqlx::sqlite::SqliteRow;
use tollgate_core::address::Reach;
use tollgate_core::resource::{
    BaseUrl, DisplayName, HeaderName, Service, ServiceId, ServiceSlug, Target, TargetId, TenantId, Timeouts,
    TimeoutsDraft,
};

use crate::error::{Dependent, StoreError, Unique, taken};
use crate::page::{Page, Paged};
use crate::row::{Fields, integer};
use crate::store::{Read, Write};
use crate::stored::Stored;

impl Read {
    pub async fn service(
        &mut self,
        tenant: TenantId,
        id: ServiceId,
    ) -> Result<Option<Stored<Service>>, StoreError> {
        let rows = query(
            "SELECT s.*, t.id AS target_id, t.url, t.weight, t.reach
             FROM services s JOIN targets t ON t.service_id = s.id
             WHERE s.id = ? AND s.tenant_id = ? ORDER BY t.position",
        )
        .bind(id.0)
        .bind(tenant.0)
        .fetch_all(self.connection())
        .await?;
        Ok(services(&rows)?.pop())
    }

    pub async fn service_by_slug(
        &mut self,
        tenant: TenantId,
        slug: &ServiceSlug,
    ) -> Result<Option<Stored<Service>>, StoreError> {
        let rows = query(
            "SELECT s.*, t.id AS target_id, t.url, t.weight, t.reach
             FROM services s JOIN targets t ON t.service_id = s.id
             WHERE s.tenant_id = ? AND s.slug = ? ORDER BY t.position",
        )
        .bind(tenant.0)
        .bind(slug.as_str())
        .fetch_all(self.connection())
        .await?;
        Ok(services(&rows)?.pop())
    }

    pub async fn services(
        &mut self,
        tenant: TenantId,
        page: Page,
    ) -> Result<Paged<Stored<Service>>, StoreError> {
        let rows = query(
            "SELECT s.*, t.id AS target_id, t.url, t.weight, t.reach
             FROM services s JOIN targets t ON t.service_id = s.id
             WHERE s.id IN (SELECT id FROM services WHERE tenant_id = ? AND id > ? ORDER BY id LIMIT ?)
             ORDER BY s.id, t.position",
        )
        .bind(tenant.0)
        .bind(page.after_or_first())
        .bind(page.rows())
        .fetch_all(self.connection())
        .await?;
        Ok(page.cut(services(&rows)?, |service| service.value.id.0))
    }

    pub(crate) async fn services_after(
        &mut self,
        after: ServiceId,
        rows: u32,
    ) -> Result<Vec<Service>, StoreError> {
        let rows = query(
            "SELECT s.*, t.id AS target_id, t.url, t.weight, t.reach
             FROM services s JOIN targets t ON t.service_id = s.id
             WHERE s.id IN (SELECT id FROM services WHERE id > ? ORDER BY id LIMIT ?)
             ORDER BY s.id, t.position",
        )
        .bind(after.0)
        .bind(rows)
        .fetch_all(self.connection())
        .await?;
        Ok(services(&rows)?.into_iter().map(|stored| stored.value).collect())
    }
}

impl Write {
    pub async fn insert_service(&mut self, service: &Service) -> Result<(), StoreError> {
        let now = integer(self.now_secs());
        query(
            "INSERT INTO services (id, tenant_id, slug, name, auth_header, timeouts, max_body_bytes,
                                   version, created_at, updated_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?)",
        )
        .bind(service.id.0)
        .bind(service.tenant.0)
        .bind(service.slug.as_str())
        .bind(service.name.as_str())
        .bind(service.auth_header.as_str())
        .bind(timeouts_json(service.timeouts)?)
        .bind(service.max_body_bytes.map(integer))
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
            "UPDATE services SET slug = ?, name = ?, auth_header = ?, timeouts = ?, max_body_bytes = ?,
                                 version = version + 1, updated_at = ?
             WHERE id = ?",
        )
        .bind(service.slug.as_str())
        .bind(service.name.as_str())
        .bind(service.auth_header.as_str())
        .bind(timeouts_json(service.timeouts)?)
        .bind(service.max_body_bytes.map(integer))
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

    /// Refused while a key names it: without the restriction the key would open everything.
    pub async fn delete_service(&mut self, id: ServiceId) -> Result<(), StoreError> {
        self.refuse_if_used(
            "SELECT EXISTS (SELECT 1 FROM key_services WHERE service_id = ?)",
            id.0,
            Dependent::Keys,
        )
        .await?;
        query("DELETE FROM services WHERE id = ?").bind(id.0).execute(self.connection()).await?;
        Ok(())
    }

    async fn insert_targets(&mut self, service: &Service) -> Result<(), StoreError> {
        for (position, target) in (0_i64..).zip(&service.targets) {
            query(
                "INSERT INTO targets (service_id, position, id, url, weight, reach) VALUES (?, ?, ?, ?, ?, ?)",
            )
            .bind(service.id.0)
            .bind(position)
            .bind(target.id.0)
            .bind(target.url.to_string())
            .bind(target.weight)
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
    })
}

fn target(fields: &Fields<'_>) -> Result<Target, StoreError> {
    Ok(Target {
        id: fields.id("target_id", TargetId)?,
        url: fields.parsed("url", BaseUrl::parse)?,
        weight: fields.value("weight")?,
        reach: fields.parsed("reach", parse_reach)?,
    })
}

const fn reach_text(reach: Reach) -> &'static str {
    match reach {
        Reach::Public => "public",
        Reach::Private => "private",
    }
}

fn parse_reach(text: &str) -> Result<Reach, &'static str> {
    match text {
        "public" => Ok(Reach::Public),
        "private" => Ok(Reach::Private),
        _ => Err("reach is neither public nor private"),
    }
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
