//! All keys, fast: a million rows one by one through the driver's channel would take seconds, so the database
//! packs a page of keys into one run of bytes, and only that crosses. Ids and hashes cross as they are, which
//! is half the work of writing them in hexadecimal; what follows them is text without control characters.

use std::collections::HashMap;

use sqlx::{Row, query, query_scalar};
use tollgate_core::credential::KeyHash;
use tollgate_core::resource::{
    ConsumerId, DisplayName, Key, KeyId, PlanId, RetiredHash, ServiceId, TenantId,
};
use uuid::Uuid;

use super::parse_scope;
use crate::error::StoreError;
use crate::limits::parse_limits;
use crate::store::Read;

/// Ends a field, and a record: ASCII's own separators, which no name or prefix can contain.
const FIELD_END: char = '\u{1f}';
const RECORD_END: u8 = 0x1e;

const KEYS: &str = "SELECT max(id), CAST(group_concat(record, '') AS BLOB) FROM (
    SELECT id, id || tenant_id || hash
               || ifnull(plan_id, x'00000000000000000000000000000000')
               || ifnull(consumer_id, x'00000000000000000000000000000000')
               || restricted || ifnull(expires_at, '') || x'1f' || subscribed_at || x'1f' || prefix
               || x'1f' || name || x'1f' || ifnull(scope, '') || x'1f' || ifnull(limits, '') || x'1e' AS record
    FROM keys WHERE id > ? ORDER BY id LIMIT ?)";

/// The size is in the row's header: what is long is not read for it.
const LONGEST_SCOPE: &str = "SELECT max(octet_length(scope)) FROM (
    SELECT scope FROM keys WHERE id > ? ORDER BY id LIMIT ?)";

const SERVICES: &str = "SELECT CAST(group_concat(key_id || service_id, '') AS BLOB) FROM (
    SELECT key_id, service_id FROM key_services WHERE key_id > ? AND key_id <= ? ORDER BY key_id, service_id)";

const RETIRED: &str = "SELECT CAST(group_concat(key_id || hash || valid_until || x'1e', '') AS BLOB) FROM (
    SELECT key_id, hash, valid_until FROM retired_hashes
    WHERE key_id > ? AND key_id <= ? ORDER BY valid_until, hash)";

/// Keys in the order of their ids, not yet unpacked.
pub(crate) struct PackedKeys {
    pub last: KeyId,
    keys: Vec<u8>,
    services: Vec<u8>,
    retired: Vec<u8>,
}

impl Read {
    /// The keys of all tenants after the one given, as many as `rows`, and fewer where their scopes would be more than
    /// `scope_bytes` together; `None` where there are no more.
    pub(crate) async fn packed_keys_after(
        &mut self,
        after: KeyId,
        rows: u32,
        scope_bytes: u32,
    ) -> Result<Option<PackedKeys>, StoreError> {
        let longest: Option<u32> =
            query_scalar(LONGEST_SCOPE).bind(after.0).bind(rows).fetch_one(self.connection()).await?;
        let rows = rows.min(scope_bytes / longest.unwrap_or_default().max(1)).max(1);
        let row = query(KEYS).bind(after.0).bind(rows).fetch_one(self.connection()).await?;
        let last: Option<Uuid> = row.try_get(0)?;
        let keys: Option<Vec<u8>> = row.try_get(1)?;
        let Some((last, keys)) = last.zip(keys) else { return Ok(None) };
        let services = self.packed(SERVICES, after, last).await?;
        let retired = self.packed(RETIRED, after, last).await?;
        Ok(Some(PackedKeys { last: KeyId(last), keys, services, retired }))
    }

    async fn packed(
        &mut self,
        select: &'static str,
        after: KeyId,
        last: Uuid,
    ) -> Result<Vec<u8>, StoreError> {
        let row = query(select).bind(after.0).bind(last).fetch_one(self.connection()).await?;
        Ok(row.try_get::<Option<Vec<u8>>, _>(0)?.unwrap_or_default())
    }
}

impl PackedKeys {
    pub fn unpack(&self) -> Result<Vec<Key>, StoreError> {
        self.keys().ok_or_else(|| StoreError::Corrupt {
            table: "keys",
            problem: format!("a key of the page up to {} does not parse", self.last),
        })
    }

    fn keys(&self) -> Option<Vec<Key>> {
        let mut services = self.services()?;
        let mut retired = self.retired()?;
        let mut keys = Vec::new();
        let mut rest = Bytes(&self.keys);
        while !rest.0.is_empty() {
            let mut key = key(&mut rest)?;
            // The record says whether the key is restricted; to nothing, where no service is listed.
            if let Some(allowed) = &mut key.services {
                *allowed = services.remove(&key.id).unwrap_or_default().into();
            }
            key.retired = retired.remove(&key.id).unwrap_or_default();
            keys.push(key);
        }
        Some(keys)
    }

    fn services(&self) -> Option<HashMap<KeyId, Vec<ServiceId>>> {
        let mut services: HashMap<KeyId, Vec<ServiceId>> = HashMap::new();
        let mut rest = Bytes(&self.services);
        while !rest.0.is_empty() {
            let key = KeyId(rest.id()?);
            services.entry(key).or_default().push(ServiceId(rest.id()?));
        }
        Some(services)
    }

    fn retired(&self) -> Option<HashMap<KeyId, Vec<RetiredHash>>> {
        let mut retired: HashMap<KeyId, Vec<RetiredHash>> = HashMap::new();
        let mut rest = Bytes(&self.retired);
        while !rest.0.is_empty() {
            let key = KeyId(rest.id()?);
            let hash = rest.hash()?;
            let valid_until_secs = rest.text()?.parse().ok()?;
            retired.entry(key).or_default().push(RetiredHash { hash, valid_until_secs });
        }
        Some(retired)
    }
}

fn key(rest: &mut Bytes<'_>) -> Option<Key> {
    let id = KeyId(rest.id()?);
    let tenant = TenantId(rest.id()?);
    let hash = rest.hash()?;
    let plan = rest.id()?;
    let consumer = rest.id()?;
    let mut fields = rest.text()?.split(FIELD_END);
    let (restricted, expires_at) = fields.next()?.split_at_checked(1)?;
    let key = Key {
        id,
        tenant,
        hash,
        plan: (!plan.is_nil()).then_some(PlanId(plan)),
        consumer: (!consumer.is_nil()).then_some(ConsumerId(consumer)),
        services: (restricted == "1").then(Box::default),
        expires_at_secs: if expires_at.is_empty() { None } else { Some(expires_at.parse().ok()?) },
        subscribed_at_secs: fields.next()?.parse().ok()?,
        prefix: fields.next()?.into(),
        name: DisplayName::parse(fields.next()?).ok()?,
        // Compact JSON has no control characters.
        scope: match fields.next()? {
            "" => None,
            json => parse_scope(json).ok()?,
        },
        limits: match fields.next()? {
            "" => Vec::new(),
            json => parse_limits(json).ok()?,
        },
        retired: Vec::new(),
    };
    fields.next().is_none().then_some(key)
}

/// What is not unpacked yet.
struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn id(&mut self) -> Option<Uuid> {
        let (id, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(Uuid::from_bytes(*id))
    }

    fn hash(&mut self) -> Option<KeyHash> {
        let (hash, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(KeyHash::from_bytes(*hash))
    }

    /// Up to the end of the record.
    fn text(&mut self) -> Option<&'b str> {
        let end = self.0.iter().position(|byte| *byte == RECORD_END)?;
        let (text, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        std::str::from_utf8(text).ok()
    }
}
