//! API keys: their hashes, former hashes, the services they are for, and when they were last used.

mod packed;
mod write;

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite};
use tollgate_core::Problems;
use tollgate_core::credential::KeyHash;
use tollgate_core::resource::{
    ClientId, ConsumerId, DisplayName, Key, KeyId, KeyScope, KeyScopeDraft, PlanId, PlanSlug, RetiredHash,
    ServiceId, ServiceSlug, TenantId,
};
use tollgate_core::usage::KeyUsage;
use uuid::Uuid;

use crate::error::StoreError;
use crate::limits::parse_limits;
use crate::page::{Page, Paged};
use crate::row::{Fields, integer};
use crate::store::Read;
use crate::stored::Stored;

pub(crate) use packed::PackedKeys;

/// A key beside the names of what it refers to, and its last use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    pub key: Key,
    pub plan: Option<PlanSlug>,
    pub consumer: Option<ClientId>,
    /// In the order of their slugs.
    pub services: Option<Vec<ServiceSlug>>,
    /// Since the key is there; `None` where it was never used.
    pub usage: Option<KeyUsage>,
}

/// Rows asked for at once where a list of names is looked up.
const NAMES_A_QUERY: usize = 500;

const SELECT: &str =
    "SELECT k.*, p.slug AS plan, c.client_id AS consumer, u.last_used_at, u.requests, u.rejections,
       (SELECT group_concat(hex(s.id) || ':' || s.slug) FROM key_services ks
        JOIN services s ON s.id = ks.service_id WHERE ks.key_id = k.id) AS services,
       (SELECT group_concat(hex(r.hash) || ':' || r.valid_until) FROM retired_hashes r
        WHERE r.key_id = k.id) AS retired
FROM keys k
LEFT JOIN plans p ON p.id = k.plan_id
LEFT JOIN consumers c ON c.id = k.consumer_id
LEFT JOIN key_use u ON u.key_id = k.id ";

/// The keys that have values whose grace is over.
pub(crate) const LAPSED: &str = "SELECT key_id FROM retired_hashes WHERE valid_until <= ? LIMIT 1000";

impl Read {
    pub async fn key(
        &mut self,
        tenant: TenantId,
        id: KeyId,
    ) -> Result<Option<Stored<KeyRecord>>, StoreError> {
        let mut select = QueryBuilder::<Sqlite>::new(SELECT);
        select.push("WHERE k.id = ").push_bind(id.0).push(" AND k.tenant_id = ").push_bind(tenant.0);
        let row = select.build().fetch_optional(self.connection()).await?;
        row.as_ref().map(record).transpose()
    }

    pub async fn keys(
        &mut self,
        tenant: TenantId,
        page: Page,
    ) -> Result<Paged<Stored<KeyRecord>>, StoreError> {
        let mut select = QueryBuilder::<Sqlite>::new(SELECT);
        select.push("WHERE k.tenant_id = ").push_bind(tenant.0);
        select.push(" AND k.id > ").push_bind(page.after_or_first());
        select.push(" ORDER BY k.id LIMIT ").push_bind(page.rows());
        let rows = select.build().fetch_all(self.connection()).await?;
        let keys = rows.iter().map(record).collect::<Result<_, _>>()?;
        Ok(page.cut(keys, |stored| stored.value.key.id.0))
    }

    /// All keys of the tenant that have one of these names; a name may be had by several.
    pub async fn keys_named(
        &mut self,
        tenant: TenantId,
        names: &[&str],
    ) -> Result<Vec<Stored<KeyRecord>>, StoreError> {
        let mut found = Vec::new();
        for names in names.chunks(NAMES_A_QUERY) {
            let mut select = QueryBuilder::<Sqlite>::new(SELECT);
            select.push("WHERE k.tenant_id = ").push_bind(tenant.0).push(" AND k.name IN (");
            let mut list = select.separated(", ");
            for &name in names {
                list.push_bind(name.to_owned());
            }
            select.push(")");
            for row in &select.build().fetch_all(self.connection()).await? {
                found.push(record(row)?);
            }
        }
        Ok(found)
    }

    /// Some of the keys that have former values whose grace has run out.
    pub async fn keys_with_lapsed_values(
        &mut self,
        now_secs: u64,
    ) -> Result<Vec<Stored<KeyRecord>>, StoreError> {
        let mut select = QueryBuilder::<Sqlite>::new(SELECT);
        select.push("WHERE k.id IN (").push(LAPSED).push(")");
        let rows = select.build().bind(integer(now_secs)).fetch_all(self.connection()).await?;
        rows.iter().map(record).collect()
    }
}

fn record(row: &SqliteRow) -> Result<Stored<KeyRecord>, StoreError> {
    let fields = Fields { table: "keys", row };
    let services = fields.optional_parsed("services", parse_named_services)?.unwrap_or_default();
    let (mut service_ids, mut service_slugs): (Vec<_>, Vec<_>) = services.into_iter().unzip();
    service_ids.sort_unstable();
    service_slugs.sort_unstable();
    let restricted: bool = fields.value("restricted")?;
    let key = Key {
        id: fields.id("id", KeyId)?,
        tenant: fields.id("tenant_id", TenantId)?,
        name: fields.parsed("name", DisplayName::parse)?,
        hash: fields.hash("hash")?,
        prefix: fields.value::<&str>("prefix")?.into(),
        plan: fields.optional_id("plan_id", PlanId)?,
        consumer: fields.optional_id("consumer_id", ConsumerId)?,
        services: restricted.then(|| service_ids.into()),
        scope: fields.optional_parsed("scope", parse_scope)?.flatten(),
        limits: fields.optional_parsed("limits", parse_limits)?.unwrap_or_default(),
        expires_at_secs: fields.optional_unsigned("expires_at")?,
        subscribed_at_secs: fields.unsigned("subscribed_at")?,
        retired: fields.optional_parsed("retired", parse_retired)?.unwrap_or_default(),
    };
    fields.stored(KeyRecord {
        key,
        plan: fields.optional_parsed("plan", PlanSlug::parse)?,
        consumer: fields.optional_parsed("consumer", ClientId::parse)?,
        services: restricted.then_some(service_slugs),
        usage: usage(&fields)?,
    })
}

fn usage(fields: &Fields<'_>) -> Result<Option<KeyUsage>, StoreError> {
    let Some(last_used_secs) = fields.optional_unsigned("last_used_at")? else { return Ok(None) };
    let (requests, rejections) = (fields.unsigned("requests")?, fields.unsigned("rejections")?);
    Ok(Some(KeyUsage { last_used_secs, requests, rejections }))
}

pub(super) fn parse_scope(json: &str) -> Result<Option<Box<KeyScope>>, String> {
    let draft: KeyScopeDraft = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let mut problems = Problems::default();
    let scope = KeyScope::parse(draft.routes.as_deref(), draft.allow_ips.as_deref(), &mut problems);
    if problems.is_empty() { Ok(scope) } else { Err(problems.to_string()) }
}

/// `hex-id:slug,hex-id:slug`
fn parse_named_services(text: &str) -> Result<Vec<(ServiceId, ServiceSlug)>, &'static str> {
    let parse = |pair: &str| {
        let (id, slug) = pair.split_once(':')?;
        Some((ServiceId(Uuid::try_parse(id).ok()?), ServiceSlug::parse(slug).ok()?))
    };
    text.split(',').map(|pair| parse(pair).ok_or("a list of services does not parse")).collect()
}

/// `hex-hash:until,hex-hash:until`, put in the order in which they lapse.
fn parse_retired(text: &str) -> Result<Vec<RetiredHash>, &'static str> {
    let parse = |pair: &str| {
        let (hash, until) = pair.split_once(':')?;
        let hash = KeyHash::from_hex(hash).ok()?;
        Some(RetiredHash { hash, valid_until_secs: until.parse().ok()? })
    };
    let retired: Result<Vec<_>, _> =
        text.split(',').map(|pair| parse(pair).ok_or("a list of former values does not parse")).collect();
    let mut retired = retired?;
    retired.sort_by_key(|retired| (retired.valid_until_secs, retired.hash));
    Ok(retired)
}
